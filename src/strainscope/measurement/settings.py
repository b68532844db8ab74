"""What varies from scan to scan in a laboratory, as settings: ranges from which simulated scans are drawn."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from strainscope.sample.base import Positive, Range, Settings

Share = Annotated[float, Field(ge=0, le=1)]


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] > 0:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}]; both ends must be > 0")
    return value


def _below_one(value: tuple[float, float]) -> tuple[float, float]:
    if not value[1] < 1:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}]; both ends must be < 1, as shares of the peak")
    return value


PositiveRange = Annotated[Range, AfterValidator(_positive)]
ShareRange = Annotated[PositiveRange, AfterValidator(_below_one)]


class LabSettings(Settings):
    """Ranges of the scans that a laboratory measures; angles count from the substrate's peak on the scan's axis.

    A scan's low end (the side of expansion) lies beyond the largest strain with the probability `whole_share`, as
    when one measures until nothing is left to see: at `beyond_strain` times the angle of that strain, and
    `beyond_arcsec` farther. Otherwise it lies anywhere within `low_reach_arcsec`, also amid the strained region. Where
    it would lie beyond the network's grid, the grid's end counts. At least 20 points lie below the peak.

    The amplitude of the diffuse scattering has no value of 0, of which a logarithm or a density could make nothing:
    `negligible_amplitude` stands for it.

    Attributes:
        counts: At the strongest point, background included [1]; log-uniform.
        step_arcsec: Between neighbouring points [arcsec]; log-uniform.
        whole_share: Share of scans that reach beyond the largest strain [1].
        beyond_strain: Factor on the angle of the largest strain [1]; uniform.
        beyond_arcsec: How much farther such a scan goes [arcsec]; uniform.
        low_reach_arcsec: Distance of the other scans' low end from the peak [arcsec]; uniform.
        high_reach_arcsec: Distance of the high end from the peak [arcsec]; uniform.
        zero_error_steps: Largest error of the scan's zero, which is meant to be the peak, in steps; uniform.
        background: Expected background over the counts at the strongest point [1]; log-uniform, and may be far below
            one count.
        lorentz_shape: Exponents (a, b) of the beta distribution of lorentz_fraction.
        diffuse_share: Share of samples that scatter diffusely [1].
        diffuse_amplitude: Amplitude of those [1]; log-uniform.
        negligible_amplitude: Amplitude of the others [1]; log-uniform.
        correlation_length_A: Correlation length of the disorder [Å]; log-uniform.
    """

    counts: PositiveRange = (1e3, 1e8)
    step_arcsec: PositiveRange = (1.0, 20.0)
    whole_share: Share = 0.7
    beyond_strain: PositiveRange = (1.05, 1.6)
    beyond_arcsec: PositiveRange = (40.0, 250.0)
    low_reach_arcsec: PositiveRange = (150.0, 3177.0)
    high_reach_arcsec: PositiveRange = (60.0, 300.0)
    zero_error_steps: Annotated[float, Field(ge=0, le=3)] = 1.0
    background: ShareRange = (1e-7, 1e-2)
    lorentz_shape: tuple[Positive, Positive] = (1.0, 6.0)
    diffuse_share: Share = 0.5
    diffuse_amplitude: PositiveRange = (1e-2, 3.0)
    negligible_amplitude: PositiveRange = (1e-4, 1e-2)
    correlation_length_A: PositiveRange = (20.0, 2000.0)

    @model_validator(mode="after")
    def _check(self) -> "LabSettings":
        # One count has to stand out at the strongest point, or the scan's zero and peak mean nothing.
        if self.counts[0] < 10:
            raise ValueError(f"counts from {self.counts[0]:g}; they must be >= 10 at the strongest point")
        error = self.zero_error_steps * self.step_arcsec[1]
        for name in ("low_reach_arcsec", "high_reach_arcsec"):
            reach = getattr(self, name)[0]
            if not reach > error + self.step_arcsec[1]:
                raise ValueError(
                    f"{name} from {reach:g} arcsec; it must be > {error + self.step_arcsec[1]:g} arcsec (largest "
                    "step and error of the zero), so that the substrate's peak lies inside"
                )
        if self.negligible_amplitude[1] > self.diffuse_amplitude[0]:
            raise ValueError(
                f"negligible_amplitude up to {self.negligible_amplitude[1]:g}; it must be <= the least "
                f"diffuse_amplitude, {self.diffuse_amplitude[0]:g}"
            )
        return self

    @property
    def amplitude_range(self) -> tuple[float, float]:
        """Least and largest amplitude of any sample's diffuse scattering [1]."""
        return self.negligible_amplitude[0], self.diffuse_amplitude[1]
