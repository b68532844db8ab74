"""Datasets in other formats: HDF5 and Parquet, streamed, there whole or not at all."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from strainscope.dataset.place import Folder
from strainscope.dataset.store import Dataset

Format = Literal["hdf5", "parquet"]
SUFFIXES: dict[str, Format] = {".h5": "hdf5", ".hdf5": "hdf5", ".parquet": "parquet"}
_ROWS = 16_384


def export(
    dataset: Dataset,
    path: Path,
    *,
    force: bool = False,
    start: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Write a dataset as one HDF5 or Parquet file, by the name's ending.

    Args:
        dataset: A complete one.
        path: Ends in .h5, .hdf5 or .parquet.
        force: Replace a file that is there.
        start: Points of the curves, and of their angles, that are left out at the large-angle end.
        progress: Called with the samples done.

    Raises:
        ValueError: another ending, or a start that is none of the curves' points.
        FileExistsError: there is such a file and `force` is off.
        OSError: it cannot be written.
    """
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise ValueError(
            f"{path}: ends in {path.suffix or 'nothing'}; it must be one of {', '.join(SUFFIXES)}."
        )
    points = len(dataset.angle_arcsec)
    if not 0 <= start < points:
        raise ValueError(f"start = {start}; it must lie in 0 to {points - 1}, the curves' points.")
    if path.exists() and (path.is_dir() or not force):
        raise FileExistsError(
            f"{path}: exists; name another file{'' if path.is_dir() else ', or use --force'}."
        )
    own = dataset.place
    if isinstance(own, Folder) and own.path.resolve() in path.resolve().parents:
        raise ValueError(f"{path}: lies in the dataset itself; name a file elsewhere.")
    with _complete(path) as fresh:
        (_hdf5 if kind == "hdf5" else _parquet)(dataset, fresh, points - start, progress)


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """A path beside the target that takes its place once all is written."""
    fresh = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        fresh.replace(path)
    except OSError as error:
        # HDF5 puts a paragraph where other libraries have a reason.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(f"{path}: cannot be written ({reason}); choose another place.") from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _spans(dataset: Dataset) -> Iterator[tuple[int, int]]:
    for first in range(0, dataset.size, _ROWS):
        yield first, min(first + _ROWS, dataset.size)


def _hdf5(dataset: Dataset, path: Path, points: int, progress: Callable[[int], None]) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["strainscope"] = json.dumps(dataset.attributes)
        angle = file.create_dataset("angle", data=dataset.angle_arcsec[:points])
        angle.attrs["units"] = "arcsec"
        curve = file.create_dataset(
            "curve",
            shape=(dataset.size, points),
            dtype="f4",
            chunks=(min(256, dataset.size), points),
            compression="lzf",
            shuffle=True,
        )
        columns = [file.create_dataset(name, shape=(dataset.size,), dtype="f8") for name in dataset.names]
        for name, column in zip(dataset.names, columns, strict=True):
            column.attrs["units"] = dataset.plan.units[name]
        for first, last in _spans(dataset):
            curve[first:last] = dataset.curves(first, last)[:, :points]
            for column, values in zip(columns, dataset.parameters(first, last).T, strict=True):
                column[first:last] = values
            progress(last)


def _parquet(dataset: Dataset, path: Path, points: int, progress: Callable[[int], None]) -> None:
    fields = [
        pa.field(name, pa.float64(), metadata={"units": dataset.plan.units[name]}) for name in dataset.names
    ]
    curve = pa.field("curve", pa.list_(pa.float32(), points))
    about = {
        "strainscope": json.dumps(dataset.attributes),
        "angle_arcsec": json.dumps(dataset.angle_arcsec[:points].tolist()),
    }
    schema = pa.schema([*fields, curve], metadata=about)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for first, last in _spans(dataset):
            flat = pa.array(np.ascontiguousarray(dataset.curves(first, last)[:, :points]).ravel())
            columns = [pa.array(values) for values in dataset.parameters(first, last).T]
            rows = pa.FixedSizeListArray.from_arrays(flat, points)
            writer.write_table(pa.table([*columns, rows], schema=schema))
            progress(last)
