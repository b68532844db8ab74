"""The maps of all tiles together: one NeXus (HDF5) file and pictures."""

import json
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.maps.job import Tile
from strainscope.maps.judgement import LEVELS, NO_PEAK, REASONS
from strainscope.maps.page import write_page
from strainscope.maps.pictures import write_pictures
from strainscope.maps.posterior import DERIVED
from strainscope.maps.stack import Stack
from strainscope.maps.survey import Prepared
from strainscope.report import plain_data
from strainscope.report.nexus import AXIS_NAMES
from strainscope.sample import Sample
from strainscope.scan import UNITS

Floats = NDArray[np.float64]

FILE = "map.nxs"


def write_map(
    out: Path, stack: Stack, sample: Sample, ready: Prepared, tiles: list[Tile], folder: Path
) -> dict[str, int]:
    """Write the maps into a folder, from the tiles in another one; the same tiles make the same file.

    Returns:
        How many pixels have each verdict.
    """
    import h5py

    fresh = out / f"{FILE}.new"
    with h5py.File(fresh, "w") as root:
        maps = _Maps(root, stack, sample, ready)
        for tile, found in _tiles(tiles, folder):
            maps.fill(tile, found)
        maps.refuse(ready.survey.peakless)
        levels = root["entry/verdict/level"][()]
    os.replace(fresh, out / FILE)
    write_pictures(out / FILE, out)
    write_page(out, stack, ready, file=FILE)
    return {name: int((levels == i).sum()) for i, name in enumerate(LEVELS)}


def _tiles(tiles: list[Tile], folder: Path) -> Iterator[tuple[Tile, dict[str, NDArray[Any]]]]:
    for tile in tiles:
        with np.load(folder / tile.name, allow_pickle=False) as found:
            yield tile, {name: found[name] for name in found.files}


class _Maps:
    """The file as it is filled."""

    def __init__(self, root: Any, stack: Stack, sample: Sample, ready: Prepared) -> None:  # noqa: ANN401
        prior, survey = ready.problem.prior, ready.survey
        self._root, self._shape, self._there = root, stack.shape, survey.pixels
        self._columns: dict[str, tuple[str, int | None]] = {}
        self._axes = stack.places
        root.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "Strainscope"})
        entry = self._group(root, "entry", "NXentry")
        entry.attrs["default"] = "derived/maximum_strain"
        entry["title"] = stack.path.stem
        entry["program_name"] = "Strainscope"
        entry["program_name"].attrs["version"] = metadata.version("strainscope")
        entry["sample_settings"] = json.dumps(plain_data(sample.settings()), sort_keys=True)
        entry["notes"] = json.dumps(list(survey.notes))
        for kind, specs in (
            ("parameters", [(s.name, s.unit, s.description) for s in prior.parameters]),
            ("derived", list(DERIVED)),
        ):
            group = self._group(entry, kind, "NXcollection")
            group["name"] = np.array([name.encode() for name, _, _ in specs])
            for k, (name, unit, words) in enumerate(specs):
                own = self._data(group, name, "mean")
                own.attrs.update({"unit": unit, "long_name": words, "held": name in prior.held})
                mean, sd = ("mean", "sd") if kind == "parameters" else ("derived", "derived_sd")
                self._map(own, "mean", mean, k, unit)
                self._map(own, "sd", sd, k, unit)
                if kind == "parameters":
                    self._map(own, "best", "best", k, unit)
        verdict = self._data(entry, "verdict", "level")
        self._map(verdict, "level", "level", None, "", dtype=np.uint8)
        verdict["level"].attrs["meanings"] = [name.encode() for name in LEVELS]
        self._map(verdict, "reasons", "reasons", None, "", dtype=np.uint16)
        verdict["reasons"].attrs["meanings"] = [f"{name}: {words}".encode() for name, words in REASONS]
        self._map(verdict, "points", "points", None, "", dtype=np.int32)
        for name in ("reduced_chi2", "rms_log10", "effective"):
            self._map(verdict, name, name, None, "1")
        fit = self._group(entry, "fit", "NXdata")
        angle = AXIS_NAMES[stack.axis]
        fit.attrs.update({"signal": "fitted", "axes": ["y", "x", angle]})
        self._put_axes(fit)
        fit[angle] = stack.angle[survey.frames]
        fit[angle].attrs["units"] = UNITS[stack.axis]
        shape = (*stack.shape, int(survey.frames.sum()))
        fit.create_dataset(
            "fitted",
            shape,
            dtype=np.float32,
            fillvalue=np.float32(np.nan),
            chunks=(1, min(shape[1], 64), shape[2]),
        )

    @staticmethod
    def _group(parent: Any, name: str, kind: str) -> Any:  # noqa: ANN401
        group = parent.create_group(name)
        group.attrs["NX_class"] = kind
        return group

    def _put_axes(self, group: Any) -> None:  # noqa: ANN401
        for name, places in zip(("y", "x"), self._axes[:2], strict=True):
            group[name] = places
            if self._axes[2]:
                group[name].attrs["units"] = self._axes[2]

    def _data(self, parent: Any, name: str, signal: str) -> Any:  # noqa: ANN401
        group = self._group(parent, name, "NXdata")
        group.attrs.update({"signal": signal, "axes": ["y", "x"]})
        self._put_axes(group)
        return group

    def _map(
        self, group: Any, name: str, key: str, column: int | None, unit: str, dtype: type = np.float64  # noqa: ANN401
    ) -> None:
        kind = np.dtype(dtype)
        own = group.create_dataset(
            name, self._shape, dtype=kind, fillvalue=kind.type(np.nan) if kind.kind == "f" else kind.type(0)
        )
        if unit:
            own.attrs["units"] = unit
        self._columns[own.name] = (key, column)

    def refuse(self, peakless: NDArray[np.bool_]) -> None:
        """Say of some pixels (y, x) that they show no peak."""
        for name, value in (("level", LEVELS.index("do not use")), ("reasons", 1 << NO_PEAK)):
            own = self._root[f"entry/verdict/{name}"]
            own[()] = np.where(peakless, own.dtype.type(value), own[()])

    def fill(self, tile: Tile, found: dict[str, NDArray[Any]]) -> None:
        """Put in what is known of a tile."""
        y, x = slice(*tile.y), slice(*tile.x)
        there = self._there[y, x]
        if not there.any():
            return
        for path, (key, column) in self._columns.items():
            part = self._root[path][y, x]
            part[there] = found[key] if column is None else found[key][:, column]
            self._root[path][y, x] = part
        fitted = self._root["entry/fit/fitted"]
        part = fitted[y, x]
        part[there] = found["fitted"]
        fitted[y, x] = part
