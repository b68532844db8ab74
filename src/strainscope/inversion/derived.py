"""What is published of a profile besides its parameters: largest strain, where it lies, area, damaged depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.profile import DepthProfile

Floats = NDArray[np.float64]

# The damage ends where the strain falls for good below this share of its largest value.
DAMAGED_SHARE = 0.05
_NEGLIGIBLE_SHARE = 1e-4
DERIVED = ("maximum_strain", "maximum_strain_depth", "strain_area", "damaged_depth", "maximum_free_strain")
"""Names, in order; the last where it is known how the substrate clamps the layer."""
_DEPTHS = 512
_PROFILES_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class DerivedQuantity:
    """A number that follows from a profile.

    Attributes:
        name: As in the JSON document.
        unit: "1" or "Å".
        value: Of the best profile.
        interval_68, interval_95: Central intervals of the drawn profiles, widened to hold the value.
        description: What it is, in words.
    """

    name: str
    unit: str
    value: float
    interval_68: tuple[float, float]
    interval_95: tuple[float, float]
    description: str


def derived_quantities(
    profile: DepthProfile, best: Floats, drawn: Floats, *, expansion_ratio: float | None = None
) -> tuple[DerivedQuantity, ...]:
    """Those of a best profile, with intervals from drawn ones.

    Args:
        profile: Families.
        best: Values of the profile's parameters, shape (parameter,).
        drawn: The same of profiles drawn from the posterior, shape (draw, parameter).
        expansion_ratio: Strain along the normal over the free strain, see `crystal.elastic`; None where unknown.
    """
    values = np.concatenate([best[None], drawn])
    columns = np.concatenate(
        [
            _measures(profile, values[i : i + _PROFILES_AT_ONCE])
            for i in range(0, len(values), _PROFILES_AT_ONCE)
        ]
    ).T
    largest, where, area, damaged = columns
    found = [
        ("1", largest, "largest strain by magnitude"),
        ("Å", where, "its depth"),
        ("Å", area, "strain summed over depth: the elongation of the whole layer"),
        (
            "Å",
            damaged,
            f"depth below which the strain stays under {100 * DAMAGED_SHARE:g} % of its maximum",
        ),
    ]
    if expansion_ratio is not None:
        found.append(
            (
                "1",
                largest / expansion_ratio,
                f"largest strain without the substrate's clamping ({expansion_ratio:.3f} times less)",
            )
        )
    return tuple(_quantity(name, *row) for name, row in zip(DERIVED, found, strict=False))


def _quantity(name: str, unit: str, column: Floats, description: str) -> DerivedQuantity:
    value, draws = float(column[0]), column[1:]
    intervals = []
    for tail in (0.16, 0.025):
        low, high = np.quantile(draws, [tail, 1 - tail])
        intervals.append((min(float(low), value), max(float(high), value)))
    return DerivedQuantity(
        name=name,
        unit=unit,
        value=value,
        interval_68=intervals[0],
        interval_95=intervals[1],
        description=description,
    )


def _measures(profile: DepthProfile, values: Floats) -> Floats:
    """Largest strain, its depth, area and damaged depth of profiles (n, parameter), shape (n, 4)."""
    family = profile.strain
    own = values[:, : len(family.parameters)]
    size, where = family.maximum(own)
    largest = np.copysign(size, family.evaluate(where[:, None], own)[:, 0])
    deepest = np.maximum(family.extent(own, _NEGLIGIBLE_SHARE * size), 1.0)
    depth = deepest[:, None] * np.linspace(0, 1, _DEPTHS)
    strain = family.evaluate(depth, own)
    area = np.trapezoid(strain, depth, axis=1)
    above = np.abs(strain) - DAMAGED_SHARE * size[:, None]
    last = _DEPTHS - 1 - np.argmax(above[:, ::-1] > 0, axis=1)
    following = np.minimum(last + 1, _DEPTHS - 1)
    rows = np.arange(len(own))
    a, b = above[rows, last], above[rows, following]
    share = np.where(a > b, a / np.where(a > b, a - b, 1.0), 0.0)
    step = deepest / (_DEPTHS - 1)
    damaged = np.where(size > 0, (last + np.clip(share, 0, 1)) * step, 0.0)
    return np.stack([largest, where, area, np.minimum(damaged, deepest)], axis=1)
