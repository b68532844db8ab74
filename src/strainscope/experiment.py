"""From a profile to expected counts: crystal × profile × instrument on the angles of a scan.

Angles here are positions: glancing angle of incidence minus that of the substrate's kinematic Bragg
condition, in arcsec, growing with the angle of incidence.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags, identity

from strainscope.crystal import ARCSEC
from strainscope.diffraction import (
    BRAGG_LAWS,
    Stack,
    Sublayers,
    choose_sublayers,
    diffuse_scattering,
    no_sublayers,
)
from strainscope.diffraction.engine import AngleTables, angle_tables, reflectivities, reflectivity_jacobian
from strainscope.diffraction.polynomials import DType
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.instrument import Resolution, Smearing, Spectrum, sample, sample_gradient
from strainscope.profile import Constraint, DepthProfile, ParameterSpec

Floats = NDArray[np.float64]

# Points of local interpolation between simulated angles.
_STENCIL = 6
# The margin of the simulated angles stays this far [arcsec] above the horizon.
_FROM_HORIZON = 10.0
# Simulated angles across the narrowest Bragg plateau.
_PER_PLATEAU = 24


def _spec(name: str, unit: str, lower: float, upper: float, description: str) -> ParameterSpec:
    return ParameterSpec(name=name, unit=unit, lower=lower, upper=upper, description=description)


DIFFUSE_PARAMETERS = (
    _spec("diffuse_amplitude", "1", 0.0, 10.0, "strength of the diffuse scattering of the disordered layer"),
    _spec("correlation_length", "Å", 20.0, 2000.0, "correlation length of the disorder"),
)
SCALE_PARAMETERS = (
    _spec("offset_arcsec", "arcsec", -60.0, 60.0, "position of the scan's zero on the angle of incidence"),
    _spec("log10_scale", "1", -12.0, 12.0, "log10 of the intensity that a reflectivity of 1 would give"),
    _spec("log10_background", "1", -15.0, 12.0, "log10 of the background at the middle of the scan"),
    _spec("background_slope", "1", -1.0, 1.0, "relative change of the background from the middle to the end"),
)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A sample with unknown profile in an instrument.

    Attributes:
        stack: Films and substrate at one reflection and wavelength.
        profile: Families of strain and disorder.
        resolution: Resolution function.
        spectrum: Lines of the source as they appear on the axis; None for one sharp line.
        polarization_weights: Shares of sigma and pi in the incident beam, sum 1.
        diffuse: Whether the disordered layer scatters diffusely.
        bragg_law: "exact" or "linear".
        tolerance: rms error of log10 reflectivity that the sublayers may cause.
    """

    stack: Stack
    profile: DepthProfile
    resolution: Resolution
    spectrum: Spectrum | None = None
    polarization_weights: tuple[float, float] = (0.5, 0.5)
    diffuse: bool = False
    bragg_law: str = "exact"
    tolerance: float = 3e-4

    def __post_init__(self) -> None:
        if self.bragg_law not in BRAGG_LAWS:
            raise ValueError(f"bragg_law = {self.bragg_law!r}; known are {', '.join(BRAGG_LAWS)}.")
        weights = self.polarization_weights
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-9:
            raise ValueError(f"polarization_weights = {weights}; they must be >= 0 and sum to 1.")
        if not 0 < self.tolerance <= 0.1:
            raise ValueError(f"tolerance = {self.tolerance:g}; it must lie in (0, 0.1] (rms of log10).")

    @cached_property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """Profile, diffuse scattering (if any), resolution, then offset, scale and background."""
        diffuse = DIFFUSE_PARAMETERS if self.diffuse else ()
        return self.profile.parameters + diffuse + self.resolution.parameters + SCALE_PARAMETERS

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Those of the profile's families."""
        return self.profile.constraints

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where profile, diffuse, resolution and scale parameters stand."""
        counts = {
            "profile": len(self.profile.parameters),
            "diffuse": len(DIFFUSE_PARAMETERS) if self.diffuse else 0,
            "resolution": len(self.resolution.parameters),
            "scale": len(SCALE_PARAMETERS),
        }
        stops = np.cumsum(list(counts.values()))
        return {name: slice(int(s) - n, int(s)) for (name, n), s in zip(counts.items(), stops, strict=True)}


@dataclass(frozen=True, kw_only=True, eq=False)
class AngleGrid:
    """A uniform grid fine enough for the resolution, and the angles on it that are simulated.

    Attributes:
        start_arcsec, step_arcsec, number: The uniform grid.
        node_arcsec: Positions of the simulated angles [arcsec], shape (node,).
        fill: From the nodes to the grid, (number, node): local interpolation, and local means where nodes lie
            closer than the grid.
    """

    start_arcsec: float
    step_arcsec: float
    number: int
    node_arcsec: Floats
    fill: csr_array


def angle_grid(
    stack: Stack,
    *,
    first_arcsec: float,
    last_arcsec: float,
    finest_arcsec: float,
    fringe_depth: float,
    points_per_fringe: float,
) -> AngleGrid:
    """A grid from first to last: fine at the peaks of substrate and films, coarser away from them.

    Away from the peaks the spacing resolves the fringes of the damaged depth; near them it grows with the
    distance, as the curve becomes smoother.

    Args:
        stack: Sets the peaks and their widths.
        first_arcsec, last_arcsec: Range [arcsec].
        finest_arcsec: Step of the uniform grid [arcsec], from the resolution.
        fringe_depth: Largest depth whose fringes matter [Å].
        points_per_fringe: Simulated angles for each of those fringes.
    """
    peaks, widths = layer_peaks(stack)
    number = max(int(np.ceil((last_arcsec - first_arcsec) / finest_arcsec)) + 1, 2 * _STENCIL)
    # A plateau's sharp edges need nodes between the grid's points, which hold the curve's local mean.
    parts = 2 * int(np.ceil(0.5 * finest_arcsec / (widths.min() / _PER_PLATEAU)))
    fine = finest_arcsec / parts
    positions = first_arcsec + fine * np.arange((number - 1) * parts + 1, dtype=np.float64)
    coarsest = _fringe(stack, fringe_depth) / points_per_fringe
    distance = np.min(np.maximum(np.abs(positions[:, None] - peaks) - widths, 0), axis=1)
    spacing = np.minimum(coarsest, fine + 0.1 * distance)
    films = sum(layer.thickness for layer in stack.layers[:-1])
    if films:
        # Fringes of the films' full thickness matter near the peaks, where they are strong.
        film_spacing = _fringe(stack, films) / points_per_fringe
        spacing = np.minimum(spacing, max(film_spacing, fine) + 0.01 * distance)
    nodes = _spread(np.maximum(spacing / fine, 1.0))
    means = _local_means(number, parts)
    return AngleGrid(
        start_arcsec=first_arcsec,
        step_arcsec=finest_arcsec,
        number=number,
        node_arcsec=np.asarray(positions[nodes], dtype=np.float64),
        fill=csr_array(means @ _interpolation(nodes, len(positions))),
    )


def _fringe(stack: Stack, depth: float) -> float:
    """Period [arcsec] of the fringes of a depth [Å]."""
    return float(stack.wavelength / (2 * depth * np.cos(stack.bragg_angle)) / ARCSEC)


def _spread(stride: Floats) -> NDArray[np.int64]:
    """Indices from first to last, each at most its own and its follower's stride from the one before."""
    last = len(stride) - 1
    chosen = [0]
    while chosen[-1] < last:
        here = chosen[-1]
        step = max(1, int(stride[here]))
        # The spacing ahead may be finer.
        while step > 1 and stride[min(here + step, last)] < 0.7 * step:
            step -= max(1, step // 8)
        chosen.append(min(here + step, last))
    return np.array(chosen, dtype=np.int64)


def _local_means(number: int, parts: int) -> csr_array:
    """From the fine points to the grid's: means over one grid step, corrected to fourth order for the width."""
    if parts <= 1:
        return csr_array(identity(number, format="csr"))
    offsets = np.arange(-parts // 2, parts // 2 + 1)
    weights = np.full(len(offsets), 1 / parts)
    weights[[0, -1]] *= 0.5
    rows = np.repeat(np.arange(number), len(offsets))
    columns = np.clip(rows * parts + np.tile(offsets, number), 0, (number - 1) * parts)
    shape = (number, (number - 1) * parts + 1)
    means = csr_array((np.tile(weights, number), (rows, columns)), shape=shape)
    # A mean exceeds the value by step² f''/24.
    second = diags([1.0, -2.0, 1.0], [-1, 0, 1], shape=(number, number), format="lil")
    second[0, :] = second[-1, :] = 0
    return csr_array((identity(number, format="csr") - second.tocsr() / 24) @ means)


def layer_peaks(stack: Stack) -> tuple[Floats, Floats]:
    """Positions and plateau widths [arcsec] of the Bragg peaks of the layers, refraction included."""
    gamma_0, gamma_h = np.sin(stack.incidence_angle), np.sin(stack.bragg_angle + stack.asymmetry)
    asymmetry = gamma_0 / gamma_h
    sine = np.sin(2 * stack.bragg_angle)
    positions, widths = [], []
    for layer in stack.layers:
        refraction = -layer.chi_0.real * (1 + 1 / asymmetry) / (2 * sine)
        shift = -layer.mismatch * np.cos(stack.asymmetry) * np.sin(stack.bragg_angle) * 2 * gamma_h / sine
        positions.append((refraction + shift) / ARCSEC)
        coupling = abs(np.sqrt(layer.chi_h * layer.chi_hbar))
        widths.append(2 * coupling / (np.sqrt(asymmetry) * sine) / ARCSEC)
    return np.array(positions), np.array(widths)


def _interpolation(nodes: NDArray[np.int64], number: int) -> csr_array:
    """Lagrange interpolation of `_STENCIL` points from the nodes to every grid point."""
    grid = np.arange(number)
    cell = np.clip(np.searchsorted(nodes, grid, side="right") - 1, 0, len(nodes) - 2)
    first = np.clip(cell - _STENCIL // 2 + 1, 0, len(nodes) - _STENCIL)
    columns = first[:, None] + np.arange(_STENCIL)
    places = nodes[columns].astype(np.float64)
    weights = np.ones_like(places)
    for i in range(_STENCIL):
        for j in range(_STENCIL):
            if i != j:
                weights[:, i] *= (grid - places[:, j]) / (places[:, i] - places[:, j])
    rows = np.repeat(grid, _STENCIL)
    return csr_array((weights.ravel(), (rows, columns.ravel())), shape=(number, len(nodes)))


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanModel:
    """Expected intensity at the points of one scan, with exact derivatives.

    Attributes:
        experiment: Sample and instrument.
        position: Angle of incidence minus the substrate's Bragg position [arcsec], shape (point,).
        fringe_depth: Largest depth whose fringes matter [Å].
        narrowest_fwhm_arcsec: Narrowest resolution that will be asked for.
        widest_fwhm_arcsec: Widest one.
        offset_range: Smallest and largest offset that will be asked for [arcsec].
        points_per_fringe: Simulated angles a fringe; 7.5 errs by 3e-5 of log10 behind a resolution of 12 arcsec.
    """

    experiment: Experiment
    position: Floats
    fringe_depth: float
    narrowest_fwhm_arcsec: float
    widest_fwhm_arcsec: float
    offset_range: tuple[float, float]
    points_per_fringe: float = 7.5

    @cached_property
    def grid(self) -> AngleGrid:
        """Angles of the simulation: the scan's range and the Bragg peaks, with a margin for the resolution."""
        peaks, widths = layer_peaks(self.experiment.stack)
        margin = 2.5 * self.widest_fwhm_arcsec + 10 * float(widths.max())
        low, high = self.offset_range
        first = min(float(self.position.min()) - high, float(peaks.min()))
        last = max(float(self.position.max()) - low, float(peaks.max()))
        stack = self.experiment.stack
        ends = (np.array(stack.incidence_limits) - stack.incidence_angle) / ARCSEC
        # The margin ends where a beam would graze the surface; the scan itself must not reach there.
        return angle_grid(
            stack,
            first_arcsec=min(max(first - margin, ends[0] + _FROM_HORIZON), first),
            last_arcsec=max(min(last + margin, ends[1] - _FROM_HORIZON), last),
            finest_arcsec=self.narrowest_fwhm_arcsec / 10,
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
    def lever(self) -> Floats:
        """Position on the scan from -1 at its first to 1 at its last point."""
        first, last = float(self.position.min()), float(self.position.max())
        return (2 * self.position - first - last) / (last - first)

    @cached_property
    def smearing(self) -> Smearing:
        """The resolution on the uniform grid."""
        resolution = self.experiment.resolution
        return Smearing(
            start_arcsec=self.grid.start_arcsec,
            step_arcsec=self.grid.step_arcsec,
            number=self.grid.number,
            resolution=resolution,
            spectrum=self.experiment.spectrum,
            polarization_weights=None
            if resolution.holds_polarization
            else self.experiment.polarization_weights,
        )

    def to_points(self, values: Floats) -> Floats:
        """From reflectivities at the simulated angles to intensities at the points, as one matrix a polarization.

        Args:
            values: Of all parameters, shape (parameter,); resolution and offset are taken from them.

        Returns:
            Shape (2, point, node): smearing, then sampling; scale and background left out.
        """
        where = self.experiment.slices
        position = self.position - values[where["scale"]][0]
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
        return self._evaluate(values, derivatives=False)[0]

    def expected_with_jacobian(self, values: Floats) -> tuple[Floats, Floats]:
        """Expected intensity (point,) and its derivatives (point, parameter)."""
        return self._evaluate(values, derivatives=True)

    def diffuse(self, values: Floats) -> Floats:
        """Diffuse scattering alone [1] at the simulated angles for sigma and pi, shape (2, node).

        Args:
            values: Of all parameters, shape (parameter,).
        """
        where, number = self.experiment.slices, len(self.grid.node_arcsec)
        if not self.experiment.diffuse:
            return np.zeros((2, number))
        cells = self.sublayers(values[where["profile"]][None])
        nothing = [np.empty((1, cells.thickness.shape[1], 2, 0))] * 2
        zero, none = np.zeros((2, number)), np.empty((2, 0, number))
        return self._add_diffuse(zero, none, values[where["diffuse"]], cells, nothing, False)[0]

    def _evaluate(self, values: Floats, *, derivatives: bool) -> tuple[Floats, Floats]:
        where = self.experiment.slices
        own = values[where["profile"]][None]
        cells = self.sublayers(own)
        n_cell, n_own = cells.thickness.shape[1], own.shape[1]
        if derivatives:
            depth = gauss_depths(cells.upper, cells.thickness).reshape(1, -1)
            slopes = [s.reshape(1, n_cell, 2, n_own) for s in self.experiment.profile.gradient(depth, own)]
            r, columns = (a[0] for a in reflectivity_jacobian(self.tables, cells, slopes[0], slopes[1]))
        else:
            slopes = [np.empty((1, n_cell, 2, 0))] * 2
            r, columns = reflectivities(self.tables, cells)[0], np.empty((2, 0, len(self.grid.node_arcsec)))
        if self.experiment.diffuse:
            r, columns = self._add_diffuse(r, columns, values[where["diffuse"]], cells, slopes, derivatives)
        return self._through_instrument(r, columns, values, derivatives)

    def _add_diffuse(
        self,
        r: Floats,
        columns: Floats,
        values: Floats,
        cells: Sublayers,
        slopes: list[Floats],
        derivatives: bool,
    ) -> tuple[Floats, Floats]:
        amplitude, length = values
        one = Sublayers(
            thickness=cells.thickness[0],
            strain=cells.strain[0],
            debye_waller=cells.debye_waller[0],
            layer=cells.layer[0],
            upper=cells.upper[0],
        )
        chain = (slopes[0][0], slopes[1][0]) if derivatives else (None, None)
        shape, changes = diffuse_scattering(self.tables, one, float(length), *chain)
        squares = self.experiment.stack.polarization_factors[:, None] ** 2
        r = r + amplitude * squares * shape
        if derivatives:
            columns = columns + amplitude * squares[..., None] * changes[:-1]
            extra = np.stack([shape, amplitude * changes[-1]])
            columns = np.concatenate([columns, squares[..., None] * extra], axis=1)
        return r, columns

    def _through_instrument(
        self, r: Floats, columns: Floats, values: Floats, derivatives: bool
    ) -> tuple[Floats, Floats]:
        """Smear, sample at the points, scale and add the background."""
        where, grid = self.experiment.slices, self.grid
        resolution = values[where["resolution"]]
        offset, log_scale, log_background, slope = values[where["scale"]]
        scale, background = 10.0**log_scale, 10.0**log_background * (1 + slope * self.lever)
        place = (grid.start_arcsec, grid.step_arcsec)
        position = self.position - offset
        stacked = np.concatenate([r[None], np.moveaxis(columns, 1, 0)])
        filled = (grid.fill @ stacked.reshape(-1, stacked.shape[-1]).T).T.reshape(
            *stacked.shape[:-1], grid.number
        )
        smeared = self.smearing.smear(filled, resolution)
        counts = sample(smeared, *place, position)
        if not derivatives:
            return scale * counts[0] + background, np.empty(0)
        by_resolution = sample(self.smearing.smear_gradient(filled[0], resolution), *place, position)
        by_offset = -sample_gradient(smeared[0], *place, position)
        jacobian = np.concatenate(
            [
                scale * counts[1:],
                scale * by_resolution,
                scale * by_offset[None],
                np.log(10) * scale * counts[:1],
                np.log(10) * background[None],
                10.0**log_background * self.lever[None],
            ]
        )
        return scale * counts[0] + background, jacobian.T
