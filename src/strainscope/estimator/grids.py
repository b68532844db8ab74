"""What an estimator is asked about, against what it knows: angles, points, sample."""

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Keys of a sample that decide which curve its parameters have; lattice parameters in use differ by too little.
_PHYSICS = ("crystal", "films", "reflection", "wavelength", "incidence")
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
        ValueError: scans for one that reads curves or the like, other angles, or another
            crystal, reflection, wavelength, incidence or films.
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
    if sample is None or "sample" not in about:
        return
    own = about["sample"]
    for key in _PHYSICS:
        if _differ(own.get(key), sample.get(key)):
            raise ValueError(
                f"the curves are of {key} = {reprlib.repr(sample.get(key))}; the estimator knows "
                f"{reprlib.repr(own.get(key))}. Choose curves of its sample, or train one on theirs."
            )


def _differ(one: object, other: object) -> bool:
    """Whether two settings mean different things; tables of wavelengths differ by less than 1e-4."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > 1e-3 * abs(one)
    return one != other


def _grid(angles: Floats) -> str:
    if not len(angles):
        return "no points"
    return f"{len(angles)} points from {angles[0]:.6g} to {angles[-1]:.6g} arcsec"
