"""What a network has to infer of a simulated scan: names, units, bounds, and the way back to the experiment."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment, layer_peaks
from strainscope.measurement.settings import LabSettings
from strainscope.prior import Prior
from strainscope.profile import ParameterSpec

Floats = NDArray[np.float64]

WIDTH, SHARE = "fwhm_arcsec", "lorentz_fraction"
AMPLITUDE = "log10_diffuse_amplitude"

# Room in log10 for what counting noise does to the peak, by which scale and background are divided.
_NOISE_ROOM = 0.3
# Damage takes off the substrate's peak, by absorption and by what the layer itself reflects: a factor of five at most.
_DAMAGE_ROOM = 0.7


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """The parameters behind simulated scans.

    In order: the profile's, log10_diffuse_amplitude, correlation_length, fwhm_arcsec, lorentz_fraction, offset_arcsec,
    log10_scale, log10_background. The amplitude is a logarithm, as it spans decades and only its order tells. Scale and
    background are those of the scan divided by its counts at the peak, so that they need not be known for a measured
    one. The offset is `ScanModel`'s: the scan's axis minus the angle of incidence from the Bragg position.

    Attributes:
        experiment: What is simulated.
        prior: Bounds of profile and resolution.
        settings: Ranges of the rest.
        peak_heights: Intensity [1] at the peak of the undamaged sample with the widest and the narrowest resolution.
    """

    experiment: Experiment
    prior: Prior
    settings: LabSettings
    peak_heights: tuple[float, float]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """In order."""
        given = (spec.name for spec in self.experiment.parameters if spec.name != "background_slope")
        return tuple(AMPLITUDE if name == "diffuse_amplitude" else name for name in given)

    @cached_property
    def units(self) -> dict[str, str]:
        """Unit of each."""
        known = {spec.name: spec.unit for spec in self.experiment.parameters}
        return {name: known.get(name, "1") for name in self.names}

    @cached_property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """What each lies between."""
        peak = -float(layer_peaks(self.experiment.stack)[0][-1])
        width = self.spec(WIDTH).upper
        # The middle of the half-maximum range lies off the plateau by a part of the width where strain is low.
        room = self.settings.zero_error_steps * self.settings.step_arcsec[1] + 0.5 * width
        weak, strong = (float(-np.log10(height)) for height in self.peak_heights)
        amplitude = [float(np.log10(end)) for end in self.settings.amplitude_range]
        background = [float(np.log10(end)) for end in self.settings.background]
        found = {spec.name: (spec.lower, spec.upper) for spec in self.prior.parameters} | {
            AMPLITUDE: (amplitude[0], amplitude[1]),
            "correlation_length": self.settings.correlation_length_A,
            "offset_arcsec": (peak - room, peak + room),
            "log10_scale": (strong - _NOISE_ROOM, weak + _NOISE_ROOM + _DAMAGE_ROOM),
            "log10_background": (background[0] - _NOISE_ROOM, background[1] + _NOISE_ROOM),
        }
        return {name: found[name] for name in self.names}

    def spec(self, name: str) -> ParameterSpec:
        """A parameter of the experiment, with the prior's bounds."""
        return self.prior.parameters[self.prior.names.index(name)]

    def experiment_values(self, values: Floats, peak_counts: Floats) -> Floats:
        """Values of all parameters of the experiment (scan, parameter), for intensities in counts.

        Args:
            values: Targets, shape (scan, target).
            peak_counts: Counts a point at the peak [1], shape (scan,).
        """
        column = dict(zip(self.names, np.asarray(values, dtype=np.float64).T, strict=True))
        column["diffuse_amplitude"] = 10.0 ** column[AMPLITUDE]
        for name in ("log10_scale", "log10_background"):
            column[name] = column[name] + np.log10(peak_counts)
        column["background_slope"] = np.zeros(len(values))
        return np.stack([column[spec.name] for spec in self.experiment.parameters], axis=1)


def check_sample(prior: Prior, settings: LabSettings, *, diffuse: bool) -> None:
    """Raise ValueError unless the sample has all that the settings draw, within its bounds."""
    if not diffuse:
        raise ValueError("the sample has diffuse: false; scans of a laboratory need diffuse: true.")
    for name in (WIDTH, SHARE):
        if name not in prior.names:
            raise ValueError(
                f"the sample's resolution has no {name}; scans are simulated with those that have {WIDTH} and {SHARE}, "
                "such as monochromator-curve (with wings) or pseudo-voigt."
            )
    limits = {
        "diffuse_amplitude": settings.amplitude_range,
        "correlation_length": settings.correlation_length_A,
    }
    for name, (low, high) in limits.items():
        spec = prior.parameters[prior.names.index(name)]
        if low < spec.lower or high > spec.upper:
            raise ValueError(
                f"{name} is drawn from {low:g} to {high:g}; the sample's prior has {spec.lower:g} to {spec.upper:g}. "
                f"Change the settings, or fit.{name}.bounds of the sample."
            )
