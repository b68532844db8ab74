"""From a profile to expected counts: crystal × profile × instrument on the angles of a scan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC
from strainscope.diffraction import Sublayers, choose_sublayers, diffuse_scattering, no_sublayers
from strainscope.diffraction.engine import (
    AngleTables,
    angle_tables,
    reflectivities,
    reflectivity_jacobian,
    side_by_side,
)
from strainscope.diffraction.polynomials import DType
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.experiment.angle_grid import AngleGrid, angle_grid, layer_peaks
from strainscope.experiment.experiment import LARGEST_MISCUT_DEG, Experiment
from strainscope.experiment.kernel_table import LOG_STEP, WIDTH_ROOM
from strainscope.experiment.profile_response import ProfileResponse
from strainscope.instrument import Smearing, sample, sample_gradient, sample_transposed, widest_step

Floats = NDArray[np.float64]

# The margin of the simulated angles stays this far [arcsec] above the horizon.
_FROM_HORIZON = 10.0
# Tables of resolutions begin this much below the least width that is asked for.
_TABLE_ROOM = 1.02 * WIDTH_ROOM * math.exp(LOG_STEP)


def smearing_on(grid: AngleGrid, experiment: Experiment) -> Smearing:
    """An experiment's resolution on a uniform grid."""
    resolution = experiment.resolution
    return Smearing(
        start_arcsec=grid.start_arcsec,
        step_arcsec=grid.step_arcsec,
        number=grid.number,
        resolution=resolution,
        spectrum=experiment.spectrum,
        polarization_weights=None if resolution.holds_polarization else experiment.polarization_weights,
    )


def between(depth: Floats, places: Floats) -> Floats:
    """Shares (*, depth) of values at ascending depths in the straight lines between them at places (*); 0 below."""
    cell = np.clip(np.searchsorted(depth, places) - 1, 0, len(depth) - 2)
    share = (places - depth[cell]) / (depth[cell + 1] - depth[cell])
    inside = (share >= 0) & (share <= 1)
    shares = np.zeros((*places.shape, len(depth)))
    np.put_along_axis(shares, cell[..., None], np.where(inside, 1 - share, 0.0)[..., None], axis=-1)
    np.put_along_axis(shares, cell[..., None] + 1, np.where(inside, share, 0.0)[..., None], axis=-1)
    return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanModel:
    """Expected intensity at the points of one scan, with exact derivatives.

    Attributes:
        experiment: Sample and instrument.
        position: Angle of incidence minus the substrate's Bragg position [arcsec], shape (point,).
        fringe_depth: Largest depth whose fringes matter [Å].
        narrowest_fwhm_arcsec: Narrowest resolution that the grid resolves.
        widest_fwhm_arcsec: Widest one that will be asked for.
        least_fwhm_arcsec: Least one that will be asked for, where that is narrower than is resolved: the grid is fine
            enough to smear by it; 0 if none is.
        offset_range: Smallest and largest offset that will be asked for [arcsec].
        points_per_fringe: Simulated angles a fringe; 7.5 errs by 3e-5 of log10 behind a resolution of 12 arcsec.
    """

    experiment: Experiment
    position: Floats
    fringe_depth: float
    narrowest_fwhm_arcsec: float
    widest_fwhm_arcsec: float
    offset_range: tuple[float, float]
    least_fwhm_arcsec: float = 0.0
    points_per_fringe: float = 7.5

    @cached_property
    def grid(self) -> AngleGrid:
        """Angles of the simulation: the scan's range and the Bragg peaks, with a margin for the resolution."""
        peaks, widths = layer_peaks(self.experiment.stack)
        margin = 2.5 * self.widest_fwhm_arcsec + 10 * float(widths.max())
        low, high = self.offset_range
        farther = 1.0
        if self.experiment.miscut:
            ends = np.array([-LARGEST_MISCUT_DEG, LARGEST_MISCUT_DEG])
            farther = float(self.experiment.stretch(ends)[0].max())
        first = min(farther * (float(self.position.min()) - high), float(peaks.min()))
        last = max(farther * (float(self.position.max()) - low), float(peaks.max()))
        finest = self.narrowest_fwhm_arcsec / 8
        if self.least_fwhm_arcsec > 0:
            finest = min(finest, widest_step(self.least_fwhm_arcsec / _TABLE_ROOM))
        stack = self.experiment.stack
        ends = (np.array(stack.incidence_limits) - stack.incidence_angle) / ARCSEC
        # The margin ends where a beam would graze the surface; the scan itself must not reach there.
        return angle_grid(
            stack,
            first_arcsec=min(max(first - margin, ends[0] + _FROM_HORIZON), first),
            last_arcsec=max(min(last + margin, ends[1] - _FROM_HORIZON), last),
            finest_arcsec=finest,
            fringe_depth=self.fringe_depth,
            points_per_fringe=self.points_per_fringe,
        )

    @cached_property
    def tables(self) -> AngleTables:
        """Engine tables at the simulated angles, float64."""
        return self._tables(self.grid.node_arcsec, np.float64)

    def tables_at(self, nodes: NDArray[np.int64]) -> AngleTables:
        """Engine tables at some of the simulated angles, float32: for ranking."""
        return self._tables(self.grid.node_arcsec[nodes], np.float32)

    def _tables(self, positions: Floats, dtype: DType) -> AngleTables:
        stack = self.experiment.stack
        theta = stack.incidence_angle + ARCSEC * positions
        low, high = stack.incidence_limits
        if theta.min() <= low or theta.max() >= high:
            raise ValueError(
                f"the scan reaches angles of incidence from {np.degrees(theta.min()):.3f} to "
                f"{np.degrees(theta.max()):.3f}°; they must lie in ({np.degrees(low):.3g}, "
                f"{np.degrees(high):.3g})° for both beams to be above the surface. Is the axis named rightly?"
            )
        return angle_tables(theta, stack, dtype=dtype, bragg_law=self.experiment.bragg_law)

    @cached_property
    def tables_float32(self) -> AngleTables:
        """Engine tables at all simulated angles, float32."""
        return self.tables_at(np.arange(len(self.grid.node_arcsec)))

    @cached_property
    def lever(self) -> Floats:
        """Position on the scan from -1 at its first to 1 at its last point."""
        first, last = float(self.position.min()), float(self.position.max())
        return (2 * self.position - first - last) / (last - first)

    @cached_property
    def smearing(self) -> Smearing:
        """The resolution on the uniform grid."""
        return smearing_on(self.grid, self.experiment)

    def places(self, values: Floats) -> Floats:
        """Simulated angle (*, point) of every point of the scan, for values of all parameters (*, parameter)."""
        where = self.experiment.slices
        position = self.position - values[..., where["scale"]][..., :1]
        if self.experiment.miscut:
            position = position * self.experiment.stretch(values[..., where["miscut"]])[0]
        return np.asarray(position)

    def to_points(self, values: Floats) -> Floats:
        """From reflectivities at the simulated angles to intensities at the points, as one matrix a polarization.

        Args:
            values: Of all parameters, shape (parameter,); resolution and offset are taken from them.

        Returns:
            Shape (2, point, node): smearing, then sampling; scale and background left out.
        """
        where = self.experiment.slices
        position = self.places(values)
        weights = self.smearing.matrix(values[where["resolution"]], position)
        return np.stack([rows @ self.grid.fill for rows in weights])

    def sublayers(self, profile_values: Floats) -> Sublayers:
        """Sublayers of a batch of profiles, values (curve, parameter)."""
        return choose_sublayers(
            self.experiment.profile,
            profile_values,
            self.tables.exact,
            self.experiment.stack,
            tolerance=self.experiment.tolerance,
        )

    def perfect_peak(self, resolution_values: Floats) -> tuple[float, float]:
        """Position [arcsec] and height [1] of the strongest peak of the undamaged stack, resolution included."""
        r = reflectivities(self.tables, no_sublayers())[0]
        smeared = self.smearing.smear((self.grid.fill @ r.T).T, resolution_values)
        top = smeared.max()
        above = np.flatnonzero(smeared >= 0.5 * top)
        run = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
        highest = max(run, key=lambda part: smeared[part].max())
        middle = 0.5 * (highest[0] + highest[-1])
        return self.grid.start_arcsec + self.grid.step_arcsec * middle, float(top)

    def expected(self, values: Floats) -> Floats:
        """Expected intensity (point,) for values of all parameters (parameter,)."""
        return np.asarray(self._evaluate(values[None], self.sublayers(self._own(values[None])), None)[0][0])

    def expected_with_jacobian(self, values: Floats) -> tuple[Floats, Floats]:
        """Expected intensity (*, point) and its derivatives (*, point, parameter), values (*, parameter)."""
        flat = values.reshape(-1, values.shape[-1])
        own = self._own(flat)
        cells = self.sublayers(own)
        depth = gauss_depths(cells.upper, cells.thickness)
        gradient = self.experiment.profile.gradient(depth.reshape(len(own), -1), own)
        slopes = [slope.reshape(*depth.shape, -1) for slope in gradient]
        return _shaped(values, *self._evaluate(flat, cells, slopes))

    def _own(self, values: Floats) -> Floats:
        """Those of the profile."""
        return values[..., self.experiment.slices["profile"]]

    def depths(self, values: Floats, number: int) -> Floats:
        """About so many depths [Å] at which a profile is seen, closer where it is steeper, ascending.

        Args:
            values: Of all parameters, shape (parameter,).
            number: Of depths.
        """
        cells = self.sublayers(values[self.experiment.slices["profile"]][None])
        edges = np.append(cells.upper[0], cells.upper[0, -1] + cells.thickness[0, -1])
        even = np.interp(np.linspace(0, 1, number), np.linspace(0, 1, len(edges)), edges)
        breaks = self.experiment.profile.breakpoints(values[self.experiment.slices["profile"]][None])[0]
        return np.unique(np.concatenate([even, breaks[(breaks > 0) & (breaks < edges[-1])]]))

    def profile_response(self, values: Floats, depth: Floats) -> ProfileResponse:
        """How intensities answer to strain and E over depth, from reflectivities of single precision.

        Args:
            values: Of all parameters, shape (curve, parameter).
            depth: Ascending [Å], shape (depth,); a profile is taken to change linearly between them, and not below
                the last. E is that to which the profile's power refers.
        """
        profile, own = self.experiment.profile, self._own(values)
        cells = self.sublayers(own)
        hats = between(depth, gauss_depths(cells.upper, cells.thickness))
        none = np.zeros_like(hats)
        by_strain, by_factor = (np.concatenate(part, axis=-1) for part in ((hats, none), (none, hats)))
        r, columns = reflectivity_jacobian(self.tables_float32, cells, by_strain, by_factor)

        def measured(i: int) -> tuple[Floats, Floats]:
            slopes = (by_strain[i], by_factor[i])
            nothing = np.empty((2, 0, r.shape[-1]))
            seen, changes = r[i].astype(np.float64), nothing
            if self.experiment.diffuse:
                seen, columns[i], changes = self._add_diffuse(
                    seen, columns[i], values[i], _one(cells, i), slopes
                )
            return self._through_instrument(seen, changes, values[i], True)

        expected, beside = zip(*side_by_side(measured, range(len(values))), strict=True)
        if profile.debye_waller_power != 1:
            at = profile.evaluate(np.broadcast_to(depth, (len(own), len(depth))), own)[1]
            columns[:, :, len(depth) :] *= profile.power_slope(at)[:, None, :, None]
        return ProfileResponse(
            model=self, values=values, expected=np.stack(expected), beside=np.stack(beside), columns=columns
        )

    def seen_by(self, weights: Floats, values: Floats) -> Floats:
        """Weights of reflectivities that give the same sums as weights of the intensities.

        Args:
            weights: Of the points, shape (k, point).
            values: Of all parameters, shape (parameter,).

        Returns:
            For sigma and pi at the simulated angles, shape (k, 2, node).
        """
        where, grid = self.experiment.slices, self.grid
        place = (grid.start_arcsec, grid.step_arcsec, grid.number)
        scale = 10.0 ** values[where["scale"]][1]
        on_grid = sample_transposed(scale * weights, *place, self.places(values))
        both = self.smearing.smear_transposed(on_grid, values[where["resolution"]])
        return np.asarray((grid.fill.T @ both.reshape(-1, grid.number).T).T).reshape(len(weights), 2, -1)

    def diffuse(self, values: Floats) -> Floats:
        """Diffuse scattering alone [1] at the simulated angles for sigma and pi, shape (2, node).

        Args:
            values: Of all parameters, shape (parameter,).
        """
        number = len(self.grid.node_arcsec)
        if not self.experiment.diffuse:
            return np.zeros((2, number))
        cells = _one(self.sublayers(self._own(values[None])), 0)
        return self._add_diffuse(np.zeros((2, number)), np.empty((2, 0, number)), values, cells, None)[0]

    def _evaluate(
        self, values: Floats, cells: Sublayers, by_profile: Sequence[Floats] | None
    ) -> tuple[Floats, Floats]:
        """Expected intensities (curve, point), and their derivatives if the profiles' are given at the Gauss points."""
        if by_profile is not None:
            r, columns = reflectivity_jacobian(self.tables, cells, *by_profile)
        else:
            r = reflectivities(self.tables, cells)
            columns = np.empty((len(values), 2, 0, r.shape[-1]))

        def measured(i: int) -> tuple[Floats, Floats]:
            seen, changes = r[i], columns[i]
            if self.experiment.diffuse:
                slopes = None if by_profile is None else (by_profile[0][i], by_profile[1][i])
                seen, changes, beside = self._add_diffuse(seen, changes, values[i], _one(cells, i), slopes)
                changes = np.concatenate([changes, beside], axis=1)
            return self._through_instrument(seen, changes, values[i], by_profile is not None)

        intensity, jacobian = zip(*side_by_side(measured, range(len(values))), strict=True)
        return np.stack(intensity), np.stack(jacobian)

    def _add_diffuse(
        self,
        r: Floats,
        columns: NDArray[Any],
        values: Floats,
        cells: Sublayers,
        slopes: tuple[Floats, Floats] | None,
    ) -> tuple[Floats, NDArray[Any], Floats]:
        """Reflectivities of one curve, and derivatives (2, parameter, node), with the diffuse scattering added.

        The last are its derivatives in amplitude and correlation length, none without slopes.
        """
        amplitude, length = values[self.experiment.slices["diffuse"]]
        shape, changes = diffuse_scattering(self.tables, cells, float(length), *(slopes or (None, None)))
        squares = self.experiment.stack.polarization_factors[:, None] ** 2
        own = np.stack([shape, amplitude * changes[-1]]) if slopes is not None else np.empty((0, len(shape)))
        seen = r + amplitude * squares * shape
        return seen, columns + amplitude * squares[..., None] * changes[:-1], squares[..., None] * own

    def _through_instrument(
        self, r: Floats, columns: Floats, values: Floats, derivatives: bool
    ) -> tuple[Floats, Floats]:
        """Smear, sample at the points, scale and add the background."""
        where, grid = self.experiment.slices, self.grid
        resolution = values[where["resolution"]]
        _, log_scale, log_background, slope = values[where["scale"]]
        scale, background = 10.0**log_scale, 10.0**log_background * (1 + slope * self.lever)
        place = (grid.start_arcsec, grid.step_arcsec)
        position = self.places(values)
        stacked = np.concatenate([r[None], np.moveaxis(columns, 1, 0)])
        filled = (grid.fill @ stacked.reshape(-1, stacked.shape[-1]).T).T.reshape(
            *stacked.shape[:-1], grid.number
        )
        smeared = self.smearing.smear(filled, resolution)
        counts = sample(smeared, *place, position)
        if not derivatives:
            return scale * counts[0] + background, np.empty(0)
        by_resolution = sample(self.smearing.smear_gradient(filled[0], resolution), *place, position)
        by_place = scale * sample_gradient(smeared[0], *place, position)
        farther, by_miscut = 1.0, np.empty((0, len(position)))
        if self.experiment.miscut:
            farther, slope = (float(part) for part in self.experiment.stretch(values[where["miscut"]][0]))
            by_miscut = (by_place * position * slope / farther)[None]
        jacobian = np.concatenate(
            [
                scale * counts[1:],
                scale * by_resolution,
                -farther * by_place[None],
                np.log(10) * scale * counts[:1],
                np.log(10) * background[None],
                10.0**log_background * self.lever[None],
                by_miscut,
            ]
        )
        return scale * counts[0] + background, jacobian.T


def _one(cells: Sublayers, i: int) -> Sublayers:
    """Those of one curve."""
    return Sublayers(
        thickness=cells.thickness[i],
        strain=cells.strain[i],
        debye_waller=cells.debye_waller[i],
        layer=cells.layer[i],
        upper=cells.upper[i],
    )


def _shaped(values: Floats, expected: Floats, jacobian: Floats) -> tuple[Floats, Floats]:
    """Intensities and derivatives of curves as their values (*, parameter) stand."""
    outer = values.shape[:-1]
    return expected.reshape(*outer, *expected.shape[1:]), jacobian.reshape(*outer, *jacobian.shape[1:])
