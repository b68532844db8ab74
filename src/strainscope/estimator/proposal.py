"""A trained estimator as what proposes profiles for a measured scan."""

import reprlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from strainscope.estimator.coordinates import Coordinates
from strainscope.estimator.grids import sample_difference
from strainscope.measurement import AMPLITUDE, NetworkGrid, grid_scan, lattice_of
from strainscope.prior import Prior
from strainscope.sample import Sample
from strainscope.scan import Scan

Floats = NDArray[np.float64]

# Of an instrument's own numbers the fit finds the rest: what the estimator knows of them need not cover their bounds.
_FOUND_ANYWAY = ("diffuse_amplitude", "offset_arcsec", "log10_scale", "log10_background")


class DrawsScans(Protocol):
    """What a `ScanProposal` asks: a `PosteriorEstimator`, or an ensemble of them."""

    about: dict[str, Any]
    coordinates: Coordinates

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""

    def sample(self, curves: NDArray[np.floating], draws: int, seed: int) -> Floats:
        """Draws (curve, draw, parameter)."""


class ScanProposal:
    """Draws of the parameters behind measured scans of a sample, by an estimator of scans.

    Args:
        estimator: Trained on scans of the sample.
        sample: The sample.
        name: Of the estimator, for reports.

    Raises:
        ValueError: the estimator reads something else, or its prior does not cover the sample's bounds.
    """

    def __init__(self, estimator: DrawsScans, sample: Sample, *, name: str) -> None:
        self.name = name
        check_serves(name, estimator.about, estimator.coordinates, sample)
        self._estimator, self._stack = estimator, sample.experiment().stack
        self._grid = NetworkGrid(**estimator.about["grid"]).at(self._stack)
        self._lattice = lattice_of(self._stack)

    def draws(self, scan: Scan, number: int, *, seed: int) -> Mapping[str, Floats]:
        """Values of the experiment's parameters by name, in the scan's unit of intensity and on its axis."""
        gridded = grid_scan(scan, self._grid, self._stack)
        told = np.concatenate([self._lattice.settings, gridded.told])
        row = np.concatenate([gridded.channels.ravel(), told]).astype(np.float32)
        drawn = self._estimator.sample(row[None], number, seed)[0]
        column = dict(zip(self._estimator.names, drawn.T, strict=True))
        column["diffuse_amplitude"] = 10.0 ** column.pop(AMPLITUDE)
        peak = np.log10(gridded.peak_counts / gridded.counts_per_unit)
        for key in ("log10_scale", "log10_background"):
            column[key] = column[key] + peak
        column["offset_arcsec"] = column["offset_arcsec"] + gridded.zero_arcsec
        return column


def check_serves(name: str, about: Mapping[str, Any], coordinates: Coordinates, sample: Sample) -> None:
    """Raise unless an estimator proposes profiles for scans of a sample.

    Args:
        name: Of the estimator.
        about: What its file says of it.
        coordinates: Of its parameters.
        sample: The sample.

    Raises:
        ValueError: the estimator reads something else, or its prior does not cover the sample's bounds.
    """
    if "told" not in about:
        raise ValueError(
            f"{name}: reads noise-free curves; choose an estimator of scans (for GGG 444 ggg444-lab), or train one."
        )
    _check_sample(name, about, sample)
    _check_bounds(name, coordinates, sample.prior())


def _check_sample(name: str, about: Mapping[str, Any], sample: Sample) -> None:
    """Raise unless an estimator knows the sample, some of whose parameters may be held."""
    found = sample_difference(about, sample.settings(), may_hold=True)
    if found is not None:
        key, its, asked = found
        has = "it free" if asked is None and key.startswith("fit.") else reprlib.repr(asked)
        raise ValueError(
            f"{name}: was trained on scans of {key} = {reprlib.repr(its)}; the sample has {has}. Go without the "
            "estimator, or train one for the sample."
        )


def _check_bounds(name: str, known: Coordinates, asked: Prior) -> None:
    """Raise unless an estimator's prior covers another one's bounds, where the other's parameters are free or held."""
    bounds = dict(zip(known.names, known.bounds, strict=True))
    outside: list[str] = []
    for spec in asked.parameters:
        if spec.name in _FOUND_ANYWAY or spec.name not in bounds:
            continue
        low, high = bounds[spec.name]
        value = asked.held.get(spec.name)
        ends = (spec.lower, spec.upper) if value is None else (value, value)
        room = 1e-6 * (high - low)
        if ends[0] < low - room or ends[1] > high + room:
            unit = "" if spec.unit == "1" else f" {spec.unit}"
            given = f"{ends[0]:g} to {ends[1]:g}" if value is None else f"{value:g}, held"
            outside.append(f"{spec.name} = {low:g} to {high:g}{unit} (the sample's: {given})")
    if outside:
        raise ValueError(
            f"{name}: its prior has {', '.join(outside)}. Set fit.NAME.bounds, or the value held, within that, go "
            "without the estimator, or train one for the sample."
        )
