"""The posterior of a scan in coordinates in which the prior is a standard normal distribution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.special import ndtr, ndtri

from strainscope.experiment import ManyCurves
from strainscope.inversion.problem import Measurement, Problem
from strainscope.inversion.refine import ROBUST_SCALE
from strainscope.inversion.warp import FARTHEST, GRID, Warp
from strainscope.prior import Prior

Floats = NDArray[np.float64]

_AMPLITUDE, _CORRELATION, _BACKGROUND = "diffuse_amplitude", "correlation_length", "log10_background"
# What is added to the scattered intensity, by parameter.
_INTENSITIES: Mapping[str, Callable[[Floats], Floats]] = {
    _AMPLITUDE: lambda value: value,
    _BACKGROUND: lambda value: np.asarray(10.0 ** (value - value.max())),
}
# Correlation lengths at which the strength of diffuse scattering is asked for; the least background that it is seen on.
_LENGTHS: Floats = np.concatenate([[-FARTHEST], np.linspace(-3, 3, 25), [FARTHEST]])
_LEAST_SEEN = 1e-8
# Depths at which a profile is looked at: so many where it has its sublayers, as many evenly, so much deeper, and to 1 Å
# at least, as a perfect crystal has none.
_DEPTHS, _DEEPER, _SHALLOWEST = 16, 1.25, 1.0
_LEAST_APART = 1e-3
# A fit on a bound begins its way inside so far out; then steps at most, and the gain at which they end.
_FIRST_REACH, _STEPS, _CLOSE = 3.1, 40, 1e-3


class Target:
    r"""Exact posterior density of the free parameters' coordinates z, with u = Φ(z) the prior's unit coordinates.

    .. math:: \ln p(z) = -\tfrac12 \sum_i r_i^2 - \tfrac12 |z|^2

    Residuals are those of the likelihood, shortened where they are long if the model is granted an error (soft-l1), and
    divided by the root of `spread`.

    Args:
        problem: The scan prepared.
        spread: Factor by which the noise exceeds the assumed one, or points are fewer than they seem [1]; for all
            points, or for each (point,).
        tables_of: One of the same models, whose tables serve this one, too.
    """

    def __init__(self, problem: Problem, *, spread: float | Floats = 1.0, tables_of: "Target | None" = None) -> None:
        self.problem, self.spread, self._tables_of = problem, spread, tables_of
        self._free = problem.prior.free
        self._unit = problem.prior.to_unit(problem.base)
        self.dimension = len(self._free)
        self.evaluations = 0

    @cached_property
    def _many(self) -> tuple[ManyCurves, ...]:
        return self._tables_of._many if self._tables_of else self.problem.many_curves()

    def values(self, z: Floats) -> Floats:
        """Values of all parameters (n, parameter) of places (n, d)."""
        return self.problem.prior.from_unit(self._unit_of(z))

    def _unit_of(self, z: Floats) -> Floats:
        """The prior's unit coordinates (n, parameter) of places (n, d)."""
        unit = np.broadcast_to(self._unit, (len(z), len(self._unit))).copy()
        unit[:, self._free] = ndtr(np.clip(z, -FARTHEST, FARTHEST))
        return unit

    @cached_property
    def _of_profile(self) -> tuple[Prior, NDArray[np.int64]]:
        """The prior of the profile's parameters alone, which come first, and the coordinates that they have."""
        end = self.problem.model.experiment.slices["profile"].stop
        return self.problem.prior.of_first(end), np.flatnonzero(self._free < end)

    def profile_values(self, z: Floats) -> Floats:
        """Values of the profile's parameters (n, profile parameter) of places (n, d)."""
        prior, _ = self._of_profile
        return prior.from_unit(self._unit_of(z)[:, : len(prior.parameters)])

    def profile_slopes(self, z: Floats) -> Floats:
        """Their derivatives (n, profile parameter, profile coordinate) by the coordinates that the profile has."""
        prior, own = self._of_profile
        by_unit = prior.unit_jacobian(self._unit_of(z)[:, : len(prior.parameters)])
        return np.asarray(by_unit[..., self._free[own]] * _normal(z[:, own])[:, None])

    def place(self, values: Floats) -> Floats:
        """Places (n, d) of values of all parameters (n, parameter)."""
        unit = self.problem.prior.to_unit(values)[:, self._free]
        return np.asarray(ndtri(np.clip(unit, 1e-12, 1 - 1e-12)))

    def residuals(self, z: Floats) -> Floats:
        """Residuals (n, point) at places (n, d), the likelihood's all taken together."""
        self.evaluations += len(z)
        found = self.problem.residuals_many(self.values(z), self._many)
        if self.problem.model_error:
            found = robust(found)
        return np.asarray(found / np.sqrt(self.spread))

    def misfit(self, z: Floats) -> Floats:
        """Sum of squares (n,) of scan and prior at places (n, d), infinite where there is none."""
        found = -2 * log_density(z, self.residuals(z))
        return np.where(np.isfinite(found), found, np.inf)

    def warp(self, z: Floats) -> Warp:
        """Unit coordinates, but intensities where a parameter is one; diffuse as seen around a place (d,)."""
        return Warp(intensities=self._intensities, strengths=self._diffuse_strength(z))

    @cached_property
    def _intensities(self) -> dict[int, CubicSpline]:
        """Those parameters that the expected intensity is linear in, as functions of their coordinates."""
        prior, found = self.problem.prior, {}
        for own in self.problem.measurements:
            for name, intensity in _INTENSITIES.items():
                column = self._column(own, name)
                if column is not None:
                    unit = np.broadcast_to(self._unit, (len(GRID), len(self._unit))).copy()
                    unit[:, self._free[column]] = ndtr(GRID)
                    values = prior.from_unit(unit)[:, self._free[column]]
                    found[column] = CubicSpline(GRID, intensity(values))
        return found

    def diffuse(self) -> list[tuple[int, int, int]]:
        """Coordinates of diffuse amplitude, correlation length and background, by measurement where all are free."""
        names = (_AMPLITUDE, _CORRELATION, _BACKGROUND)
        found = [[self._column(own, name) for name in names] for own in self.problem.measurements]
        return [(a, b, c) for a, b, c in found if a is not None and b is not None and c is not None]

    def _column(self, own: Measurement, name: str) -> int | None:
        """Which coordinate is that of a parameter of one measurement's experiment; None if none is."""
        names = [spec.name for spec in own.model.experiment.parameters]
        if name not in names:
            return None
        found = np.flatnonzero(self._free == own.columns[names.index(name)])
        return int(found[0]) if len(found) else None

    def _diffuse_strength(self, z: Floats) -> dict[int, tuple[int, CubicSpline]]:
        """How far diffuse scattering of unit amplitude stands out of the noise, by the correlation length."""
        found = {}
        for own, many in zip(self.problem.measurements, self._many, strict=True):
            amplitude, length = self._column(own, _AMPLITUDE), self._column(own, _CORRELATION)
            if amplitude is not None and length is not None:
                found[amplitude] = (length, self._strength(own, many, z, amplitude, length))
        return found

    def _strength(
        self, own: Measurement, many: ManyCurves, z: Floats, amplitude: int, length: int
    ) -> CubicSpline:
        """ln of how far one scan's diffuse scattering stands out, by the coordinate of the correlation length."""
        places = np.broadcast_to(z, (2 * len(_LENGTHS), len(z))).copy()
        places[:, length] = np.tile(_LENGTHS, 2)
        places[:, amplitude] = np.repeat([-FARTHEST, _FIRST_REACH], len(_LENGTHS))
        expected = many.expected(own.own(self.values(places)))
        without, with_it = expected[: len(_LENGTHS)], expected[len(_LENGTHS) :]
        noise = np.sqrt(np.maximum(without, expected.max() * _LEAST_SEEN))
        strength = np.linalg.norm((with_it - without) / noise, axis=1)
        logs = np.log(np.maximum(strength, 1e-30))
        return CubicSpline(_LENGTHS, logs - logs.max())

    def climb(self, z: Floats) -> Floats:
        """The maximum (d,) of the density uphill of a place (d,), which is taken a little inside the bounds."""
        last: dict[bytes, tuple[Floats, Floats]] = {}

        def at(z: Floats) -> tuple[Floats, Floats]:
            key = z.tobytes()
            if key not in last:
                last.clear()
                residuals, jacobian = self.linearised(z[None])
                last[key] = residuals[0], jacobian[0]
            return last[key]

        def residuals_at(z: Floats) -> Floats:
            return at(z)[0]

        def jacobian_at(z: Floats) -> Floats:
            return at(z)[1]

        solution = least_squares(
            residuals_at,
            np.clip(z, -_FIRST_REACH, _FIRST_REACH),
            jac=jacobian_at,
            ftol=_CLOSE,
            xtol=None,
            gtol=None,
            max_nfev=_STEPS,
        )
        return np.asarray(solution.x)

    def linearised(self, z: Floats) -> tuple[Floats, Floats]:
        """Residuals of the scan and of the prior, (n, point + d), and their derivatives, at places (n, d)."""
        given, jacobian, _ = self.problem.residuals_with_jacobian(self.values(z))
        residual, slope = self._shortened(given)
        scale = np.sqrt(self.spread)
        of_scan = (slope / scale)[..., None] * (jacobian @ self.slopes(z))
        of_prior = np.broadcast_to(np.eye(self.dimension), (*z.shape, self.dimension))
        return np.concatenate([residual / scale, z], axis=1), np.concatenate([of_scan, of_prior], axis=1)

    def _shortened(self, residual: Floats) -> tuple[Floats, Floats]:
        """Residuals (*, point), long ones shortened, and their derivatives in the given ones."""
        if not self.problem.model_error:
            return residual, np.ones_like(residual)
        long = np.sqrt(1 + (residual / ROBUST_SCALE) ** 2)
        shortened = robust(residual)
        nearly = np.where(shortened == 0, 1.0, shortened * long)
        return shortened, np.where(shortened == 0, 1.0, residual / nearly)

    def features(self, z: Floats) -> "LinearFeatures":
        """Those to describe places around one (d,) by."""
        values, experiment = self.values(z[None])[0], self.problem.model.experiment
        shown = self.problem.model.depths(values, _DEPTHS)
        # A profile may come to reach deeper.
        even = np.linspace(0, _DEEPER * max(shown[-1], _SHALLOWEST), _DEPTHS)
        others = np.flatnonzero(self._free >= experiment.slices["profile"].stop)
        return LinearFeatures(target=self, depth=_apart(shown, even), others=others, warp=self.warp(z))

    def by_features(self, z: Floats, features: "LinearFeatures", weights: Floats) -> Floats:
        """Derivatives (n, k, feature) of weighted sums of the scan's residuals at places (n, d), from a coarser grid.

        Args:
            z: Places, shape (n, d).
            features: Those that residuals are described by.
            weights: Of the residuals, shape (n, k, point).
        """
        problem, free, others = self.problem, self._free, features.others
        n_profile = problem.model.experiment.slices["profile"].stop

        def slope(residual: Floats) -> Floats:
            return self._shortened(residual)[1]

        found = problem.by_profile(self.values(z), features.depth, weights / np.sqrt(self.spread), slope)
        by_warp = np.linalg.inv(features.warp.jacobian(z)[:, others[:, None], others])
        split = 2 * len(features.depth)
        by_z = self.slopes(z)[:, free[others][:, None], others]
        beside = found[..., split:][..., free[others] - n_profile] @ (by_z @ by_warp)
        return np.concatenate([found[..., :split], beside], axis=-1)

    def slopes(self, z: Floats) -> Floats:
        """Derivatives (n, parameter, d) of the values of all parameters at places (n, d)."""
        by_unit = self.problem.prior.unit_jacobian(self._unit_of(z))
        return np.asarray(by_unit[..., self._free] * _normal(z)[:, None])


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearFeatures:
    """What residuals are more nearly linear in than in the coordinates: strain and E over depth, and others, warped.

    Attributes:
        target: Whose coordinates.
        depth: At which the profile is looked at [Å], shape (depth,).
        others: Coordinates that are not of the profile.
        warp: Of those.
    """

    target: Target
    depth: Floats
    others: NDArray[np.int64]
    warp: Warp

    def __call__(self, z: Floats) -> Floats:
        """Features (n, feature) of places (n, d)."""
        depth = np.broadcast_to(self.depth, (len(z), len(self.depth)))
        profile = self.target.problem.model.experiment.profile.evaluate(depth, self.target.profile_values(z))
        return np.concatenate([*profile, self.warp(z)[:, self.others]], axis=1)

    @cached_property
    def blocks(self) -> tuple[tuple[slice, NDArray[np.int64]], ...]:
        """Which features change with which coordinates: no feature with one of another block."""
        of_profile, d = 2 * len(self.depth), self.target.dimension
        end = of_profile + len(self.others)
        return (
            (slice(0, of_profile), np.setdiff1d(np.arange(d), self.others)),
            (slice(of_profile, end), self.others),
        )

    def slopes_by_block(self, z: Floats) -> tuple[Floats, ...]:
        """Derivatives (n, feature, coordinate) at places (n, d), for each block."""
        depth = np.broadcast_to(self.depth, (len(z), len(self.depth)))
        by_values = self.target.problem.model.experiment.profile.gradient(depth, self.target.profile_values(z))
        profile = np.concatenate(by_values, axis=1) @ self.target.profile_slopes(z)
        return profile, self.warp.jacobian(z)[:, self.others][..., self.others]

    def slopes(self, z: Floats) -> Floats:
        """Derivatives (n, feature, d) of the features at places (n, d)."""
        result = np.zeros((len(z), self.blocks[-1][0].stop, z.shape[1]))
        for (rows, columns), own in zip(self.blocks, self.slopes_by_block(z), strict=True):
            result[:, rows, columns] = own
        return result


class Described:
    """Places, and the features there for all who ask.

    Args:
        z: Shape (n, d).
        of: The features.
    """

    def __init__(self, z: Floats, of: LinearFeatures) -> None:
        self.z, self.of = z, of

    @cached_property
    def both(self) -> Floats:
        """Features and coordinates, shape (n, feature + d)."""
        return np.concatenate([self.of(self.z), self.z], axis=1)

    @cached_property
    def slopes_by_block(self) -> tuple[Floats, ...]:
        """Derivatives (feature, coordinate, n) of the features, see `LinearFeatures`."""
        return tuple(np.ascontiguousarray(np.moveaxis(own, 0, -1)) for own in self.of.slopes_by_block(self.z))


def _normal(z: Floats) -> Floats:
    """Standard normal density at coordinates (*); outside those that are told apart, that of their end."""
    inside = np.clip(z, -FARTHEST, FARTHEST)
    return np.asarray(np.exp(-0.5 * inside**2) / np.sqrt(2 * np.pi))


def _apart(first: Floats, second: Floats) -> Floats:
    """Both sets of depths in order, without those that coincide."""
    depth = np.unique(np.concatenate([first, second]))
    return np.asarray(depth[np.append(True, np.diff(depth) > _LEAST_APART)])


def robust(residuals: Floats) -> Floats:
    """Residuals whose squares are the soft-l1 loss of the given ones: long ones count by their size."""
    square = (residuals / ROBUST_SCALE) ** 2
    return np.asarray(np.copysign(ROBUST_SCALE * np.sqrt(2 * (np.sqrt(1 + square) - 1)), residuals))


def log_density(z: Floats, residuals: Floats) -> Floats:
    """ln p (n,), not normalised, of places (n, d) with residuals (n, point)."""
    return np.asarray(-0.5 * (residuals**2).sum(axis=1) - 0.5 * (z**2).sum(axis=1))
