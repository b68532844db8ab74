"""A folder of scans as a stack: their places from a table or a shape, their curves in one file."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strainscope.readers import is_instrument_file, read_scan
from strainscope.sample.parts import ScanSettings
from strainscope.scan import UNITS, Scan
from strainscope.series import find_scans, read_rows

Floats = NDArray[np.float64]

_LARGEST_TABLE_BYTES = 500_000_000
# Angles of two scans are alike within this share of a step.
_ALIKE = 1e-3
_UNSAID = ScanSettings()
_NAMES = {"delta-theta-arcsec": "delta_theta", "omega-deg": "omega", "two-theta-deg": "two_theta"}


def places_by_shape(scans: Sequence[Path], shape: tuple[int, int]) -> NDArray[np.intp]:
    """Row and column of scans that run through a map row by row, shape (scan, 2).

    Raises:
        ValueError: there are not as many as places.
    """
    if shape[0] * shape[1] != len(scans):
        raise ValueError(
            f"--shape {shape[0]} {shape[1]}: makes {shape[0] * shape[1]} places, but there are {len(scans)} scans; "
            "where some are missing, give a --table with file, y and x."
        )
    return np.stack(np.divmod(np.arange(len(scans)), shape[1]), axis=1)


def places_by_table(scans: Sequence[Path], table: Path) -> tuple[NDArray[np.intp], Floats, Floats]:
    """Row and column of scans (scan, 2) by a CSV with the columns file, y and x, and the positions of both.

    Raises:
        OSError: the table is missing or cannot be read.
        ValueError: a column or a row that is missing, or a place that is named twice.
    """
    _, rows = read_rows(table, ("file", "y", "x"), limit_bytes=_LARGEST_TABLE_BYTES)
    where: dict[str, tuple[float, float]] = {}
    for number, line in enumerate(rows, start=2):
        try:
            place = (float(line["y"]), float(line["x"]))
        except ValueError:
            place = (np.nan, np.nan)
        if not np.isfinite(place).all():
            raise ValueError(f"{table}: line {number}: y and x must be numbers.")
        name = Path(line["file"]).name
        if name in where:
            raise ValueError(f"{table}: line {number} is a second row for {name}; give every scan one.")
        where[name] = place
    unknown = [path.name for path in scans if path.name not in where]
    if unknown:
        raise ValueError(f"{table}: has no row for {unknown[0]} ({len(unknown)} scans have none).")
    absent = sorted(where.keys() - {path.name for path in scans})
    if absent:
        raise ValueError(
            f"{table}: has a row for {absent[0]}, which is not among the scans ({len(absent)} rows); remove the row, "
            "or put the file there."
        )
    given = np.array([where[path.name] for path in scans])
    (y, row), (x, column) = (np.unique(values, return_inverse=True) for values in given.T)
    places = np.stack([row, column], axis=1)
    _, own, counts = np.unique(places, axis=0, return_inverse=True, return_counts=True)
    if counts.max() > 1:
        first, second = np.flatnonzero(own == np.argmax(counts))[:2]
        raise ValueError(
            f"{table}: {scans[first].name} and {scans[second].name} are both at y {given[first, 0]:g}, x "
            f"{given[first, 1]:g}; a map has one scan at each place."
        )
    return places, y, x


def natural(path: Path) -> list[tuple[int, int, str]]:
    """By which names sort as people count: scan2 before scan10."""
    words = re.split(r"(\d+)", path.name)
    return [(0, int(word), "") if word.isdigit() else (1, 0, word.casefold()) for word in words]


def stack_folder(
    folder: Path,
    out: Path,
    *,
    axis: str | None = None,
    intensity: str | None = None,
    said: ScanSettings = _UNSAID,
    table: Path | None = None,
    shape: tuple[int, int] | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Write the scans of a folder as a stack; places without a scan are NaN.

    Args:
        folder: With the scans.
        out: The file to write; it appears whole.
        axis: See `strainscope.scan.AXES`.
        intensity: See `strainscope.scan.INTENSITIES`.
        said: What the sample file says of text, where neither is given.
        table: CSV with file, y and x.
        shape: Rows and columns, where there is no table: scans in the order of their names fill row after row.
        progress: Called with the share done.

    Raises:
        OSError: a file cannot be read.
        ValueError: a scan cannot be read, its angles are others, or it is not said where the scans are.
    """
    import h5py

    scans = sorted(find_scans([folder], but=table), key=natural)
    if (table is None) == (shape is None):
        raise ValueError(
            f"{folder}: is a folder; give --shape ROWS COLUMNS, or a --table with file, y and x, not both."
        )
    if table is not None:
        places, y, x = places_by_table(scans, table)
    else:
        assert shape is not None
        places = places_by_shape(scans, shape)
        y, x = (np.arange(float(length)) for length in shape)

    def read(path: Path) -> Scan:
        if is_instrument_file(path):
            return read_scan(path, axis=axis, intensity_kind=intensity)
        return read_scan(path, axis=axis or said.axis, intensity_kind=intensity or said.intensity)

    first = read(scans[0])
    fresh = out.with_name(out.name + ".new")
    try:
        with h5py.File(fresh, "w") as file:
            group = file.create_group("entry/data")
            angle = _NAMES[first.axis]
            group.attrs.update({"NX_class": "NXdata", "signal": "intensity", "axes": ["y", "x", angle]})
            group["y"], group["x"], group[angle] = y, x, first.angle
            group[angle].attrs["units"] = UNITS[first.axis]
            size = (len(y), len(x), len(first.angle))
            names = ["intensity", *(["intensity_errors"] if first.sigma is not None else [])]
            for name in names:
                group.create_dataset(name, size, dtype=np.float64, fillvalue=np.nan, chunks=(1, 1, size[2]))
            group["intensity"].attrs["kind"] = first.intensity_kind
            for i, (path, (row, column)) in enumerate(zip(scans, places, strict=True)):
                scan = first if i == 0 else read(path)
                found = _positions(path, scan, scans[0], first)
                for name, values in zip(names, (scan.intensity, scan.sigma), strict=False):
                    # Whole rows: HDF5 takes long over single points.
                    whole = np.full(size[2], np.nan)
                    whole[found] = values
                    group[name][row, column] = whole
                progress((i + 1) / len(scans))
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    os.replace(fresh, out)


def _positions(path: Path, scan: Scan, other: Path, first: Scan) -> NDArray[np.intp]:
    """Which of the first scan's angles another one has, shape (point,); it may lack some.

    Raises:
        ValueError: it has others, or another kind of axis or intensities.
    """
    ours = (scan.axis, scan.intensity_kind, scan.sigma is None)
    if ours != (first.axis, first.intensity_kind, first.sigma is None):
        raise ValueError(f"{path}: axis or intensities are of another kind than those of {other.name}.")
    if len(scan.angle) > len(first.angle):
        raise ValueError(
            f"{path}: has {len(scan.angle)} points, {other.name} has {len(first.angle)}; the first scan of a map has "
            "the angles of all, of which others may lack some. For other angles: strainscope batch."
        )
    # By order where none is missing, as angles may occur twice.
    if len(scan.angle) == len(first.angle):
        found = np.arange(len(first.angle))
    else:
        found = np.clip(np.searchsorted(first.angle, scan.angle), 1, len(first.angle) - 1)
        found -= scan.angle - first.angle[found - 1] < first.angle[found] - scan.angle
    away = np.abs(scan.angle - first.angle[found])
    worst = int(np.argmax(away))
    if away[worst] > _ALIKE * first.step or len(np.unique(found)) < len(found):
        raise ValueError(
            f"{path}: point {worst} is at {scan.angle[worst]:g} {UNITS[scan.axis]}, that of {other.name} at "
            f"{first.angle[found[worst]]:g}; the scans of a map have the same angles. For others: strainscope batch."
        )
    return found
