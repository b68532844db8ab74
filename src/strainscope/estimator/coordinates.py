"""Parameters as a network sees them: coordinates in which every value obeys bounds and constraints.

The unit coordinates of `prior` place each parameter between what the others leave it. Their normal quantiles are
unconstrained, and a parameter that a curve tells nothing of is normally distributed in them, as a flow's base is.
Early estimators have standardised logits in their place. Units are those of the bounds; as the coordinates are
relative to these, lengths in Å and in lattice planes give the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from strainscope.prior import Prior
from strainscope.profile import Constraint, ParameterSpec

Floats = NDArray[np.float64]

# Closer than this to a bound (in unit coordinates) a value counts as being this far inside.
INNERMOST = 1e-3
Scale = Literal["probit", "logit"]
# Standard deviation of the logits of a uniform unit coordinate.
LOGIT_SD = float(np.pi / np.sqrt(3))


@dataclass(frozen=True, kw_only=True)
class Coordinates:
    """Values of named parameters and unconstrained coordinates of zero mean and unit variance under a flat prior.

    Attributes:
        names: Parameters, in the order of the columns.
        bounds: Lower and upper of each.
        constraints: Linear inequalities between them.
        scale: "probit", normal quantiles of the unit coordinates, or "logit".
    """

    names: tuple[str, ...]
    bounds: tuple[tuple[float, float], ...]
    constraints: tuple[Constraint, ...]
    scale: Scale = "probit"

    @cached_property
    def prior(self) -> Prior:
        """The prior whose unit coordinates these are."""
        specs = tuple(
            ParameterSpec(name=name, unit="1", lower=low, upper=high, description="")
            for name, (low, high) in zip(self.names, self.bounds, strict=True)
        )
        return Prior(parameters=specs, constraints=self.constraints, held={})

    def to_free(self, values: Floats) -> Floats:
        """Coordinates (*, parameter) of values (*, parameter).

        Raises:
            ValueError: a value outside the bounds, or one that breaks a constraint.
        """
        unit = self.prior.to_unit(values)
        outside = (unit < -1e-6) | (unit > 1 + 1e-6)
        if outside.any():
            *_, column = np.argwhere(outside)[0]
            where = tuple(int(i) for i in np.argwhere(outside)[0])
            low, high = self.bounds[column]
            raise ValueError(
                f"{self.names[column]} = {values[where]:g}; the estimator's prior has {low:g} to {high:g} and "
                f"{'; '.join(map(str, self.constraints))}. Leave such samples out, or widen the prior."
            )
        inside = np.clip(unit, INNERMOST, 1 - INNERMOST)
        if self.scale == "probit":
            return np.asarray(ndtri(inside))
        return np.asarray(np.log(inside / (1 - inside)) / LOGIT_SD)

    def from_free(self, free: Floats) -> Floats:
        """Values (*, parameter) of coordinates (*, parameter): within the bounds, obeying the constraints."""
        return self.prior.from_unit(self._unit(free))

    def _unit(self, free: Floats) -> Floats:
        free = np.asarray(free, dtype=np.float64)
        return np.asarray(ndtr(free) if self.scale == "probit" else 1 / (1 + np.exp(-LOGIT_SD * free)))

    def log_volume(self, free: Floats) -> Floats:
        """log |∂values/∂coordinates|, shape (*): a density in values is one in coordinates less this."""
        free = np.asarray(free, dtype=np.float64)
        unit = self._unit(free)
        room = self.prior.rooms(unit)
        if self.scale == "probit":
            slope = -0.5 * free**2 - 0.5 * np.log(2 * np.pi)
        else:
            slope = np.log(LOGIT_SD) + np.log(unit) + np.log1p(-unit)
        return np.asarray((np.log(room) + slope).sum(axis=-1))

    def document(self) -> dict[str, object]:
        """Plain data."""
        return {
            "names": list(self.names),
            "bounds": [list(pair) for pair in self.bounds],
            "constraints": [{"terms": dict(c.terms), "upper": c.upper} for c in self.constraints],
            "scale": self.scale,
        }


def coordinates_of(
    names: Sequence[str],
    bounds: Mapping[str, tuple[float, float]],
    constraints: Sequence[Constraint],
    scale: Scale = "probit",
) -> Coordinates:
    """The coordinates of some parameters; constraints with others are left out."""
    own = tuple(c for c in constraints if all(name in names for name, _ in c.terms))
    return Coordinates(
        names=tuple(names), bounds=tuple(bounds[name] for name in names), constraints=own, scale=scale
    )


def coordinates_from(document: Mapping[str, object]) -> Coordinates:
    """The coordinates that plain data describe."""
    names, bounds, rows = document["names"], document["bounds"], document["constraints"]
    assert isinstance(names, list)
    assert isinstance(bounds, list)
    assert isinstance(rows, list)
    return Coordinates(
        names=tuple(names),
        bounds=tuple((float(low), float(high)) for low, high in bounds),
        constraints=tuple(Constraint(terms=tuple(r["terms"].items()), upper=float(r["upper"])) for r in rows),
        # Files of the first version do not say it.
        scale="probit" if document.get("scale") == "probit" else "logit",
    )
