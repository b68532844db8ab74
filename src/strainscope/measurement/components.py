"""What simulated samples reflect and scatter before any instrument: expensive, and worth measuring more than once."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import ARCSEC
from strainscope.diffraction import choose_sublayers, no_sublayers
from strainscope.diffraction.engine import angle_tables, reflectivities
from strainscope.experiment import AngleGrid, DiffuseSpread, Experiment, angle_grid, layer_peaks
from strainscope.experiment.diffuse_spread import Histogram
from strainscope.inversion.problem import fringe_depth
from strainscope.measurement.gridding import GridAngles
from strainscope.measurement.settings import LabSettings
from strainscope.prior import Prior

Floats = NDArray[np.float64]

# The strongest point is looked for this close to the substrate's peak [arcsec]: a thick layer without disorder can be
# strong too, and nobody would take that for the substrate.
PEAK_WINDOW = 60.0
# Simulated angles beyond the scans, in the widest resolution's widths.
_MARGIN_WIDTHS = 2.5
# Behind these resolutions: 1e-4 rms of log10 (median of samples), 1e-3 for one in a hundred.
_SUBLAYER_TOLERANCE = 3e-2
_POINTS_PER_FRINGE = 3.5
_STEPS_PER_WIDTH = 5.0
# Draws of the prior that show how far its strains go, and the room beyond them.
_DRAWS = 16_384
_STRAIN_ROOM = 1.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """What the samples of a batch reflect and scatter.

    Attributes:
        profile: Parameters of the profiles, shape (scan, parameter).
        reflectivity: Sigma and pi [1] at the simulated angles, shape (scan, 2, node).
        disorder: Histogram of disorder over strain [Å], see `experiment.DiffuseSpread`, shape (scan, layer, bin).
        maximum_strain: Largest strain [1], shape (scan,).
        largest_disorder: Largest 1 - E [1] (K where disorder is tied to strain), shape (scan,).
    """

    profile: Floats
    reflectivity: NDArray[np.float32]
    disorder: Histogram
    maximum_strain: Floats
    largest_disorder: Floats

    def __len__(self) -> int:
        return len(self.profile)

    def part(self, chosen: slice) -> "Components":
        """Some of them."""
        return Components(
            profile=self.profile[chosen],
            reflectivity=self.reflectivity[chosen],
            disorder=self.disorder[chosen],
            maximum_strain=self.maximum_strain[chosen],
            largest_disorder=self.largest_disorder[chosen],
        )


def draw_profiles(experiment: Experiment, prior: Prior, number: int, *, rng: np.random.Generator) -> Floats:
    """Parameters of profiles, uniform in the prior's unit coordinates, shape (number, parameter)."""
    return prior.from_unit(rng.random((number, len(prior.names))))[:, experiment.slices["profile"]]


class SampleOptics:
    """Reflection and diffuse scattering of a sample's profiles, on one uniform grid of angles.

    Args:
        experiment: The sample.
        prior: Where its profiles come from.
        settings: How scans are measured.
        network: What of them the network reads.
        fwhm_range: Least and largest width of the resolution [arcsec].
    """

    def __init__(
        self,
        experiment: Experiment,
        prior: Prior,
        settings: LabSettings,
        network: GridAngles,
        fwhm_range: tuple[float, float],
    ) -> None:
        self.experiment = replace(experiment, tolerance=max(experiment.tolerance, _SUBLAYER_TOLERANCE))
        self.prior = prior
        stack = experiment.stack
        peaks, plateaus = layer_peaks(stack)
        self.peak_arcsec = float(peaks[-1])
        # The axis of a scan lies off the angle of incidence by the substrate's peak and the error of the zero.
        shift = abs(self.peak_arcsec) + settings.zero_error_steps * settings.step_arcsec[1] + PEAK_WINDOW
        margin = shift + _MARGIN_WIDTHS * fwhm_range[1] + 10 * float(plateaus.max())
        bounds = {spec.name: (spec.lower, spec.upper) for spec in prior.parameters}
        self.angles: AngleGrid = angle_grid(
            stack,
            first_arcsec=min(float(network.edge[0]), float(peaks.min())) - margin,
            last_arcsec=max(float(network.edge[-1]), float(peaks.max())) + margin,
            finest_arcsec=fwhm_range[0] / _STEPS_PER_WIDTH,
            fringe_depth=fringe_depth(experiment, bounds),
            points_per_fringe=_POINTS_PER_FRINGE,
        )
        self.fill = self.angles.fill.astype(np.float32)
        theta = stack.incidence_angle + ARCSEC * self.angles.node_arcsec
        self.tables = angle_tables(theta, stack, dtype=np.float32, bragg_law=experiment.bragg_law)
        self.diffuse = DiffuseSpread(
            stack,
            self.angles.start_arcsec + self.angles.step_arcsec * np.arange(float(self.angles.number)),
            correlation_range=settings.correlation_length_A,
            strain_range=self.strain_range(),
            bragg_law=experiment.bragg_law,
        )

    def strain_range(self) -> tuple[float, float]:
        """Strains between which practically all profiles of the prior stay: their extremes in many draws, and room."""
        family = self.experiment.profile.strain
        own = self.profiles(_DRAWS, rng=np.random.default_rng(0))[:, : len(family.parameters)]
        extreme = family.evaluate(family.maximum(own)[1][:, None], own)[:, 0]
        return _STRAIN_ROOM * min(float(extreme.min()), 0.0), _STRAIN_ROOM * max(float(extreme.max()), 0.0)

    def profiles(self, number: int, *, rng: np.random.Generator) -> Floats:
        """Parameters of profiles, uniform in the prior's unit coordinates, shape (number, parameter)."""
        return draw_profiles(self.experiment, self.prior, number, rng=rng)

    def reflect(self, profile: Floats) -> Components:
        """What samples with these profiles reflect and scatter, values (scan, parameter)."""
        family = self.experiment.profile
        own = profile[:, : len(family.strain.parameters)]
        cells = choose_sublayers(
            family,
            profile,
            self.tables.exact,
            self.experiment.stack,
            tolerance=self.experiment.tolerance,
        )
        names = [spec.name for spec in family.parameters]
        disorder = profile[:, names.index("K")] if "K" in names else 1 - cells.debye_waller.min(axis=(1, 2))
        return Components(
            profile=profile,
            reflectivity=reflectivities(self.tables, cells),
            disorder=self.diffuse.histogram(cells),
            maximum_strain=np.asarray(family.strain.maximum(own)[0], dtype=np.float64),
            largest_disorder=np.asarray(disorder, dtype=np.float64),
        )

    def scattered(
        self, components: Components, amplitude: Floats, correlation_length: Floats, *, length: int
    ) -> Floats:
        """Reflected and diffuse intensity of samples for sigma and pi, on the uniform grid.

        Args:
            components: Of the samples.
            amplitude: Of the diffuse scattering [1], shape (scan,).
            correlation_length: [Å], shape (scan,).
            length: The grid is padded with zeros to so many points.

        Returns:
            Shape (scan, 2, length) [1].
        """
        n, number = len(components), self.angles.number
        coherent = self.fill @ components.reflectivity.reshape(2 * n, -1).T
        diffuse = amplitude * self.diffuse.intensity(components.disorder, correlation_length)
        both = np.zeros((n, 2, length))
        both[..., :number] = coherent.T.reshape(n, 2, -1)
        for i, factor in enumerate(self.experiment.stack.polarization_factors):
            both[:, i, :number] += factor**2 * diffuse.T
        return both

    def undamaged(self, *, length: int) -> Floats:
        """What the undamaged sample reflects, shape (1, 2, length); see `scattered`."""
        both = np.zeros((1, 2, length))
        both[0, :, : self.angles.number] = (self.fill @ reflectivities(self.tables, no_sublayers())[0].T).T
        return both
