"""What a scan itself gives reason to doubt: nothing but noise, too few counts, a clipped peak, where the peak lies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from strainscope.crystal import ARCSEC
from strainscope.experiment import Experiment
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import Likelihood
from strainscope.scan import WHOLE_NUMBER_TOLERANCE, Scan

# A peak stands out of the counts around it by so many standard deviations, or it is none: the largest of 10^4 points of
# noise alone does so once in a million scans.
_PEAK_SD = 7.0
# Fewer counts than these at the peak say nothing of a profile: 2 decades below it there is one count.
_FEWEST_COUNTS = 100.0
# Neighbouring points of exactly the same largest intensity: counting noise does not repeat itself.
_CLIPPED_POINTS = 4
# Farther from Bragg's angle than these [arcsec] the peak of an absolute scan is another's: the zero of a θ-2θ axis is
# rarely off by more than 0.1° of θ, that of ω by the miscut of a wafer, at most 1°.
_FARTHEST = {"two-theta-deg": 360.0, "omega-deg": 3600.0}
# How many times as far as on the allowed side the scan must reach on the other to look turned.
_TURNED_REACH = 2.0
# Chance that noise alone leaves so much, below which it does not.
_LEAST_CHANCE = 0.01


@dataclass(frozen=True, kw_only=True)
class ScanDoubts:
    """Reasons in words.

    Attributes:
        refuse: Not to believe any fit.
        check: To look closer.
        notes: What the scan cannot tell.
        clipped: Whether the detector was saturated.
    """

    refuse: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    clipped: bool = False


def doubts_of(scan: Scan, experiment: Experiment, features: Features, likelihood: Likelihood) -> ScanDoubts:
    """What a scan gives reason to doubt.

    Args:
        scan: As it was read.
        experiment: What it is taken for.
        features: Read off from it.
        likelihood: Its counts.
    """
    refuse = _nothing(scan, likelihood)
    misplaced = _misplaced(scan, experiment, features)
    notes = [] if misplaced else [_untold(scan, experiment)]
    clipped = _clipped(scan)
    return ScanDoubts(
        refuse=tuple(refuse),
        check=(*clipped, *misplaced),
        notes=(*_whole_numbers(scan), *notes),
        clipped=bool(clipped),
    )


def _whole_numbers(scan: Scan) -> list[str]:
    """Whether what is called normalised looks like counts, whose noise would be known."""
    if scan.intensity_kind == "counts" or scan.sigma is not None or scan.intensity.max() < _FEWEST_COUNTS:
        return []
    if (np.abs(scan.intensity - np.rint(scan.intensity)) > WHOLE_NUMBER_TOLERANCE).any():
        return []
    return [
        f"Every intensity is a whole number, {scan.intensity.max():.0f} at most, yet called normalised, and its noise "
        "was estimated: if these are counts say so (--intensity counts), and it is known."
    ]


def _untold(scan: Scan, experiment: Experiment) -> str:
    """Which other crystals and wavelengths would have their peak where this scan has it."""
    scaled = "wavelength, which would scale strain and depth."
    farthest = _FARTHEST.get(scan.axis)
    if farthest is None:
        return (
            "Angles are relative to the peak: the scan cannot tell another crystal of similar structure or another "
            + scaled
        )
    nearest = 100 * farthest * ARCSEC / np.tan(experiment.stack.bragg_angle)
    return (
        f"The axis may be off by {farthest / 3600:g}° of incidence: the scan cannot tell another crystal of similar "
        f"structure, its lattice parameters within {nearest:.2g} %, or another such {scaled}"
    )


class Bounded(Protocol):
    """A parameter between two bounds."""

    @property
    def name(self) -> str:
        """As in the sample file."""

    @property
    def lower(self) -> float:
        """Least value."""

    @property
    def upper(self) -> float:
        """Largest value."""


def signs_of_strain(experiment: Experiment, parameters: Iterable[Bounded]) -> set[float]:
    """Signs that the bounds of the profile's amplitudes leave to the strain, 0 among them where one of them is 0."""
    family = experiment.profile.strain
    sign, names = getattr(family, "sign", 1), family.amplitude_names
    return {float(np.sign(sign * end)) for p in parameters if p.name in names for end in (p.lower, p.upper)}


def turned_axis(scan: Scan, experiment: Experiment, features: Features, signs: set[float]) -> list[str]:
    """A hint where the strained side lies where strain of these signs cannot put it."""
    signs = signs - {0.0}
    if len(signs) != 1:
        return []
    theta = scan.theta(bragg_angle=experiment.stack.bragg_angle, asymmetry=experiment.stack.asymmetry)
    first, last = ((theta[[0, -1]] - experiment.stack.incidence_angle) / ARCSEC).tolist()
    low = features.low_shoulder_arcsec if features.low_shoulder_arcsec is not None else first
    high = features.high_shoulder_arcsec if features.high_shoulder_arcsec is not None else last
    reach_low, reach_high = features.peak_arcsec - low, high - features.peak_arcsec
    expansion = signs == {1.0}
    allowed, other = (reach_low, reach_high) if expansion else (reach_high, reach_low)
    if other <= _TURNED_REACH * allowed:
        return []
    return [
        f"The scan's strained side lies at {'larger' if expansion else 'smaller'} angles than the peak, but this "
        f"sample's {'expansion' if expansion else 'contraction'} lies at {'smaller' if expansion else 'larger'} ones: "
        "turn the sign of the axis if it runs the other way, or allow the other sign of strain."
    ]


def unlikely(chance: float, reduced_chi2: float, model_error: float) -> list[str]:
    """Whether counting, and the error granted to the model, would rarely leave so large a sum of squares.

    Args:
        chance: That it does, see `misfit_chance`.
        reduced_chi2: Sum of squared residuals of the best fit by degrees of freedom.
        model_error: Relative, granted to the model [1].
    """
    if chance >= _LEAST_CHANCE:
        return []
    shown = f"{chance:.1g}" if chance > 0 else "less than 1e-300"
    granted, more = "alone leaves", "a"
    if model_error:
        granted, more = f"and a model error of {100 * model_error:g} % leave", "a larger"
    return [
        f"Counting noise {granted} so large a misfit with a chance of {shown} (reduced chi-square "
        f"{reduced_chi2:.2f}): crystal, wavelength, axis or model may be wrong. If none of these is, {more} "
        "--model-error widens the bands by what is left."
    ]


def _nothing(scan: Scan, likelihood: Likelihood) -> list[str]:
    counts = scan.intensity * likelihood.counts_per_unit
    largest, usual = float(counts.max()), float(np.median(counts))
    if largest < _FEWEST_COUNTS:
        return [
            f"Too few counts to say anything: {largest:.0f} at the strongest point; at least {_FEWEST_COUNTS:g} are "
            "needed, and 1e4 for more than the largest strain: measure longer."
        ]
    if largest - usual < _PEAK_SD * np.sqrt(max(usual, 1.0)):
        return [
            f"No peak stands out of the noise: {largest:.0f} counts at the strongest point, {usual:.0f} at most "
            "others; is the reflection in the scan?"
        ]
    return []


def _clipped(scan: Scan) -> list[str]:
    top = scan.intensity == scan.intensity.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], top.astype(np.int64), [0]])))
    longest = int((edges[1::2] - edges[::2]).max())
    if longest < _CLIPPED_POINTS:
        return []
    return [
        f"{longest} neighbouring points have exactly the largest intensity, {scan.intensity.max():g}: the detector "
        "was saturated; measure the peak with an absorber, or remove these points."
    ]


def _misplaced(scan: Scan, experiment: Experiment, features: Features) -> list[str]:
    farthest = _FARTHEST.get(scan.axis)
    if farthest is None or abs(features.peak_arcsec) <= farthest:
        return []
    bragg = np.degrees(experiment.stack.incidence_angle)
    return [
        f"The peak lies {features.peak_arcsec / 3600:+.3f}° from the angle of incidence at which this crystal reflects "
        f"({bragg:.3f}°), farther than a zero error ({farthest / 3600:g}°): crystal, reflection or wavelength may be "
        "another."
    ]
