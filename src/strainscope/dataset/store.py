"""A dataset: Zarr v3, one shard after another, each checked by its checksums, marked once complete."""

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import MemoryStore

from strainscope.dataset.bucket import StoreError
from strainscope.dataset.place import Place, place_of
from strainscope.dataset.plan import Plan, checked
from strainscope.dataset.simulate import BLOCK, Curves

Floats = NDArray[np.float64]

FORMAT = 1
CURVE, ANGLE = "curve", "angle"
_ATTRIBUTES = "strainscope"
_SHARD_BYTES = 48 * 2**20
# Bits of a float32's mantissa that are kept: what is cut off is below 3e-5 of a value, and noise to a compressor.
_MANTISSA_BITS = 14


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the samples of a plan lie in a store.

    Attributes:
        plan: What the data are.
        device: "cpu" or "cuda": what simulates the curves.
    """

    plan: Plan
    device: str = "cpu"

    @cached_property
    def rows(self) -> int:
        """Samples in a shard, a multiple of BLOCK."""
        curve = 4 * self.plan.angles.number
        return BLOCK * max(1, min(16, _SHARD_BYTES // (BLOCK * curve)))

    @property
    def shards(self) -> int:
        """Number of shards."""
        return math.ceil(self.plan.size / self.rows)

    def span(self, shard: int) -> tuple[int, int]:
        """First sample of a shard, and the first of the next."""
        return shard * self.rows, min((shard + 1) * self.rows, self.plan.size)

    def attributes(self, *, complete: bool) -> dict[str, Any]:
        """What the root says of the data."""
        identity = self.plan.identity()
        where = ", on a GPU" if self.device == "cuda" else ""
        own = {
            "format": FORMAT,
            "version": version("strainscope"),
            "engine": f"fourth-order Magnus, float32, sublayers by tolerance{where}",
            "tolerance_rms_log10": self.plan.tolerance,
            "parameters": list(self.plan.names),
            "held": self.plan.held,
            **identity,
            "complete": complete,
        }
        # Keys in one order, whatever the plan's file had.
        return {_ATTRIBUTES: json.loads(json.dumps(own, sort_keys=True))}

    def metadata(self) -> dict[str, bytes]:
        """The store's JSON files, by path, of the dataset not yet complete."""
        store = MemoryStore()
        root = zarr.create_group(store, attributes=self.attributes(complete=False))
        angles = self.plan.angle_arcsec
        root.create_array(
            ANGLE,
            shape=angles.shape,
            chunks=angles.shape,
            dtype="float64",
            compressors=[Crc32cCodec()],
            dimension_names=["angle"],
            attributes={
                "units": "arcsec",
                "long_name": "angle of incidence from the substrate's "
                + ("refracted peak" if self.plan.angles.zero == "peak" else "kinematic Bragg angle"),
            },
            fill_value=np.nan,
        )
        for name in self.plan.names:
            root.create_array(
                name,
                shape=(self.plan.size,),
                chunks=(self.rows,),
                dtype="float64",
                compressors=[
                    BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=8),
                    Crc32cCodec(),
                ],
                dimension_names=["sample"],
                attributes={"units": self.plan.units[name]},
                fill_value=np.nan,
            )
        root.create_array(
            CURVE,
            shape=(self.plan.size, len(angles)),
            chunks=(BLOCK, len(angles)),
            shards=(self.rows, len(angles)),
            dtype="float32",
            compressors=[BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=4), Crc32cCodec()],
            dimension_names=["sample", "angle"],
            attributes={"units": "1", "long_name": "intensity, per unit of incident intensity"},
            fill_value=np.nan,
        )
        with warnings.catch_warnings():
            # Format 3 does not have it yet; xarray asks for it all the same.
            warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
            zarr.consolidate_metadata(store)
        return {path: buffer.to_bytes() for path, buffer in store._store_dict.items()}


def rounded(curves: Curves) -> Curves:
    """Curves with the mantissa's last bits rounded off (half to even): nine kept of every ten bytes that matter."""
    cut = 23 - _MANTISSA_BITS
    bits = np.ascontiguousarray(curves, dtype=np.float32).view(np.uint32)
    half = np.uint32((1 << (cut - 1)) - 1) + ((bits >> np.uint32(cut)) & np.uint32(1))
    return ((bits + half) & ~np.uint32((1 << cut) - 1)).view(np.float32)


class DatasetWriter:
    """Writes the shards of a dataset; several may write different shards at once.

    Args:
        path: Of the store, or its address.
        layout: Of the plan.
    """

    def __init__(self, path: Place | Path | str, layout: Layout) -> None:
        self.place, self.layout = place_of(path), layout

    def create(self) -> bool:
        """Write what describes the arrays, and the angles, where they are not there as they must be.

        Returns:
            Whether the dataset is marked complete.
        """
        own = self.layout.metadata()
        finished = self._is_file("zarr.json", self._finished())
        for name, content in own.items():
            if not (self._is_file(name, content) or (finished and name == "zarr.json")):
                self.place.put(name, content)
        angles = self.layout.plan.angle_arcsec
        with self.place.explained():
            try:
                there = bool(np.array_equal(self._root[ANGLE][:], angles))
            except Exception:  # noqa: BLE001 (whatever a codec makes of damaged bytes)
                there = False
            if not there:
                self._root[ANGLE][:] = angles
        return finished

    def reopen(self) -> None:
        """Mark the dataset as not complete, as shards of it have to be made again."""
        self.place.put("zarr.json", self.layout.metadata()["zarr.json"])

    def finish(self) -> None:
        """Mark the dataset complete, in one step.

        Raises:
            OSError: another process began another dataset in the same place, as nothing holds a bucket.
        """
        there = self.place.read("zarr.json")
        if there not in (self.layout.metadata()["zarr.json"], self._finished()):
            raise OSError(
                f"{self.place}: another process wrote there meanwhile, and its zarr.json is of another plan; remove "
                "what is there, and generate it anew."
            )
        self.place.put("zarr.json", self._finished())

    def _finished(self) -> bytes:
        """The root's JSON once complete."""
        document = json.loads(self.layout.metadata()["zarr.json"])
        document["attributes"] = self.layout.attributes(complete=True)
        return json.dumps(document, indent=2).encode()

    def _is_file(self, name: str, content: bytes) -> bool:
        return self.place.read(name) == content

    @cached_property
    def _root(self) -> Any:  # noqa: ANN401
        with self.place.explained():
            return zarr.open_group(self.place.store(read_only=False), mode="r+", zarr_format=3)

    def write(self, shard: int, values: Floats, curves: Curves) -> None:
        """Put one shard: parameters (sample, parameter) and curves (sample, angle)."""
        first, last = self.layout.span(shard)
        with self.place.explained():
            for name, column in zip(self.layout.plan.names, values.T, strict=True):
                self._root[name][first:last] = column
            # The curves come last: where they are, the shard is whole.
            self._root[CURVE][first:last] = rounded(curves)

    def _files(self, shard: int) -> dict[str, str]:
        """Name of each array's file that holds a shard."""
        own = {name: f"{name}/c/{shard}" for name in self.layout.plan.names}
        return own | {CURVE: f"{CURVE}/c/{shard}/0"}

    def discard(self, shard: int) -> None:
        """Remove what is there of a shard: what is damaged would be read when it is written over."""
        for name in self._files(shard).values():
            self.place.remove(name)

    def intact(self, shard: int) -> bool:
        """Whether a shard is there and all its checksums hold."""
        first, last = self.layout.span(shard)
        files = self._files(shard)
        # The curves come last: without them nothing else need be asked for.
        if not all(self.place.has(name) for name in reversed(files.values())):
            return False
        try:
            with self.place.explained():
                return all(bool(np.isfinite(self._root[name][first:last]).all()) for name in files)
        except StoreError:
            raise  # what cannot be read is not therefore damaged
        except Exception:  # noqa: BLE001 (whatever a codec makes of damaged bytes, the shard is made again)
            return False

    def holds(self, first: int, values: Floats, curves: Curves) -> bool:
        """Whether these are the samples from `first` on; their shard must be intact."""
        span = slice(first, first + len(values))
        there = np.stack([self._root[name][span] for name in self.layout.plan.names], axis=1)
        return np.array_equal(there, values) and np.array_equal(self._root[CURVE][span], rounded(curves))


class DamagedRootError(ValueError):
    """The file that says what a store holds is no JSON."""


def read_attributes(path: Place | Path | str) -> dict[str, Any]:
    """What the root of a dataset says of it.

    Raises:
        OSError: there is nothing, or it cannot be read.
        DamagedRootError: what describes it is no JSON.
        ValueError: it is no dataset of this program, or of another format.
    """
    place = place_of(path)
    content = place.read("zarr.json")
    if content is None and not place.exists():
        raise FileNotFoundError(f"{path}: does not exist; name a dataset (a folder such as d.zarr).")
    if content is None:
        raise ValueError(f"{path}: is no Zarr v3 store (no zarr.json in it); name a dataset.")
    try:
        document = json.loads(content)
    except ValueError:
        raise DamagedRootError(
            f"{path}: its zarr.json is damaged; if strainscope wrote it, mend it with strainscope dataset generate "
            f"PLAN -o {path} --resume"
        ) from None
    try:
        own = document["attributes"][_ATTRIBUTES]
        known = own["format"]
    except (KeyError, TypeError):
        raise ValueError(
            f"{path}: is a Zarr store, but not one that strainscope dataset generate wrote."
        ) from None
    if known != FORMAT:
        raise ValueError(
            f"{path}: its format is {known}, written by strainscope {own.get('version')}; this one reads {FORMAT}. Use "
            "that version, or generate it anew."
        )
    return dict(own)


class Dataset:
    """A complete dataset, for reading.

    Args:
        path: Of the store, or its address such as s3://bucket/d.zarr.
        unfinished: Open one that is not complete, too.

    Raises:
        OSError: there is nothing, or it cannot be read.
        ValueError: it is no dataset, or not complete.
    """

    def __init__(self, path: Place | Path | str, *, unfinished: bool = False) -> None:
        self.place = place_of(path)
        self.attributes = read_attributes(self.place)
        if not self.attributes["complete"] and not unfinished:
            raise ValueError(
                f"{path}: is not complete; finish it with: strainscope dataset generate … -o {path} --resume"
            )
        with self.place.explained():
            self._root: Any = zarr.open_group(self.place.store(read_only=True), mode="r", zarr_format=3)

    @cached_property
    def plan(self) -> Plan:
        """What the data are; the sample as it was when they were made."""
        return checked(self.attributes["plan"], source=str(self.place))

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that vary."""
        return tuple(self.attributes["parameters"])

    @property
    def size(self) -> int:
        """Number of samples."""
        return int(self.attributes["plan"]["size"])

    @cached_property
    def angle_arcsec(self) -> Floats:
        """Points of the curves [arcsec], shape (angle,), growing towards larger θ."""
        return np.asarray(self._read(ANGLE, 0, None))

    def _read(self, name: str, first: int, last: int | None) -> NDArray[Any]:
        """A stretch of an array.

        Raises:
            ValueError: part of it is damaged or missing.
        """
        try:
            with self.place.explained():
                values = np.asarray(self._root[name][first:last])
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(self._damage(name, first)) from error
        # What is missing from the disk reads as NaN, which no simulation stores.
        if self.attributes["complete"] and np.isnan(values).any():
            raise ValueError(self._damage(name, first))
        return values

    def _damage(self, name: str, first: int) -> str:
        return (
            f"{self.place}: {name} is damaged or missing on the disk at or after sample {first:,}; mend it with "
            f"strainscope dataset generate PLAN -o {self.place} --resume"
        )

    def curves(self, first: int, last: int) -> Curves:
        """Curves of samples first to last - 1, shape (sample, angle)."""
        return np.asarray(self._read(CURVE, first, last))

    def parameters(self, first: int, last: int) -> Floats:
        """Parameters of samples first to last - 1, shape (sample, parameter)."""
        return np.stack([self._read(name, first, last) for name in self.names], axis=1)

    def parameter_blocks(self, rows: int = 65536) -> Iterator[Floats]:
        """All parameters, some rows at a time."""
        for first in range(0, self.size, rows):
            yield self.parameters(first, min(first + rows, self.size))

    def curve_blocks(self, rows: int = 4 * BLOCK) -> Iterator[Curves]:
        """All curves, some rows at a time."""
        for first in range(0, self.size, rows):
            yield self.curves(first, min(first + rows, self.size))
