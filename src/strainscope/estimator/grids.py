"""What an estimator is asked about, against what it knows: angles, points, sample."""

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Keys of a sample that decide which curve its parameters have; lattice parameters in use differ by too little.
_PHYSICS = (
    *("crystal", "films", "reflection", "wavelength", "incidence", "debye_waller", "bragg_law"),
    *("strain", "disorder", "diffuse", "spectrum", "monochromator", "resolution", "background"),
)
# What of these only bounds parameters.
_RANGES = {
    "strain": ("minimum_strain", "largest_surface_strain", "weight_range", "height_range"),
    "resolution": ("fwhm_range_arcsec",),
}
# Angles count as the same within this share of a step.
_SAME_STEP = 1e-3


def checked_curves(curves: NDArray[np.floating], row: int, *, what: str = "curves") -> NDArray[np.float32]:
    """Curves or scans (n, row) as float32.

    Raises:
        ValueError: rows of another length than an estimator knows.
    """
    curves = np.asarray(curves, dtype=np.float32)
    if curves.ndim != 2 or curves.shape[1] != row:
        unit = "points" if what == "curves" else "numbers"
        raise ValueError(
            f"{what} have shape {curves.shape}; this estimator knows {what} of {row} {unit}, one in each row."
        )
    return curves


def check_asked(
    about: Mapping[str, Any],
    *,
    angle_arcsec: Floats,
    sample: Mapping[str, Any] | None = None,
    scans: bool = False,
) -> None:
    """Raise unless an estimator knows some angles and sample; what its file does not say is not checked.

    Args:
        about: What its file says of it.
        angle_arcsec: Points of the curves it is asked about [arcsec], shape (angle,).
        sample: Settings of the sample that they come from.
        scans: Whether they are scans with counting noise, not noise-free curves.

    Raises:
        ValueError: scans for one that reads curves or the like, other angles, or a sample in another instrument, or
            another sample, than the ones that it knows.
    """
    if ("told" in about) != scans:
        kinds = ("noise-free curves", "scans with counting noise")
        raise ValueError(
            f"the set holds {kinds[scans]}; the estimator reads {kinds[not scans]}. Choose a set of its kind, or "
            "another estimator."
        )
    if "angle_arcsec" in about:
        known = np.asarray(about["angle_arcsec"], dtype=np.float64)
        asked = np.asarray(angle_arcsec, dtype=np.float64)
        same = known.shape == asked.shape and (
            len(known) < 2 or bool((np.abs(known - asked) < _SAME_STEP * abs(known[1] - known[0])).all())
        )
        if not same:
            raise ValueError(
                f"the curves have {_grid(asked)}; the estimator knows {_grid(known)}. "
                "Choose curves on its grid, or train one on theirs."
            )
    if sample is not None and "sample" in about:
        check_sample(about, sample)


def check_sample(about: Mapping[str, Any], sample: Mapping[str, Any]) -> None:
    """Raise unless an estimator knows a sample, from what its file says of it and the sample's settings.

    Raises:
        ValueError: another crystal, reflection, wavelength, film, instrument, ….
    """
    found = sample_difference(about, sample)
    if found is not None:
        name, its, other = found
        raise ValueError(
            f"the curves are of {name} = {reprlib.repr(other)}; the estimator knows {reprlib.repr(its)}. "
            "Choose curves of its sample, or train one on theirs."
        )


def sample_difference(
    about: Mapping[str, Any], sample: Mapping[str, Any], *, may_hold: bool = False
) -> tuple[str, object, object] | None:
    """The first setting in which a sample differs from those that an estimator knows: key, its value, the sample's.

    Args:
        about: What the estimator's file says of it.
        sample: Settings of the sample.
        may_hold: Whether parameters that the estimator's sample leaves free may be held.
    """
    known = (about["sample"], *about.get("other_samples", ()))
    differences = [_difference(own, sample, may_hold) for own in known]
    return differences[0] if all(differences) else None


def _difference(
    own: Mapping[str, Any], asked: Mapping[str, Any], may_hold: bool
) -> tuple[str, object, object] | None:
    """The first setting of a sample that differs from another's, and both values."""
    for key in _PHYSICS:
        one, other = (_telling(key, sample.get(key)) for sample in (own, asked))
        if _differ(one, other):
            return key, one, other
    held, theirs = (_held(sample) for sample in (own, asked))
    for key in sorted(held if may_hold else held | theirs):
        if _differ(held.get(key), theirs.get(key)):
            return f"fit.{key}", held.get(key), theirs.get(key)
    return None


def _telling(key: str, setting: object) -> object:
    """What of a setting decides about curves: ranges are the prior's matter."""
    if key in _RANGES and isinstance(setting, Mapping):
        return {name: value for name, value in setting.items() if name not in _RANGES[key]}
    return setting


def _held(sample: Mapping[str, Any]) -> dict[str, float]:
    """Values of a sample's parameters that are held."""
    return {name: own["value"] for name, own in sample.get("fit", {}).items() if own.get("held")}


def _differ(one: object, other: object) -> bool:
    """Whether two settings mean different things; tables of wavelengths differ by less than 1e-4."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > 1e-3 * abs(one)
    return one != other


def _grid(angles: Floats) -> str:
    if not len(angles):
        return "no points"
    return f"{len(angles)} points from {angles[0]:.6g} to {angles[-1]:.6g} arcsec"
