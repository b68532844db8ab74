"""Whether to believe a pixel: the rules of a single scan's verdict, as flags of a map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2 as chi2_distribution

from strainscope.inversion.result import VERDICTS
from strainscope.inversion.verdict import doubtful, misses
from strainscope.maps.pixels import Pixels
from strainscope.maps.posterior import FEWEST, Moments

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NO_SCAN = "no scan"
LEVELS = (NO_SCAN, *VERDICTS)
"""Meanings of the numbers in a map of verdicts, from 0."""

# Chance that noise alone leaves so much, below which a pixel is one to check: of 10,000 good ones, one is.
_LEAST_CHANCE = 1e-4
# A parameter is on a bound where its mean is within this share of the prior, in its coordinate, of the end.
_ON_BOUND = 2.5
# What a scan leaves of the prior's variance if it determines a parameter.
_DETERMINED = 0.5

REASONS = (
    ("misses", "the best fit misses the scan: the sample may be wrong, or the pixel is of something else"),
    ("misfit", "the fit leaves more than the noise and the model error"),
    ("rival", "another profile explains the scan nearly as well"),
    ("bound", "a parameter of the profile lies on a bound"),
    ("few_draws", "the posterior could not be drawn well: standard deviations are no more than a guess"),
    ("unsettled", "the fit did not come to its end"),
    ("gaps", "values are missing at some angles"),
    ("undetermined", "a parameter of the profile is not determined"),
    ("no_peak", "no peak stands out of the noise: nothing was fitted"),
)
"""Name and meaning of each bit in a map of reasons, from the lowest."""

NO_PEAK = len(REASONS) - 1
"""Which bit says that a scan has no peak."""

_REFUSE, _CHECK = ("misses",), ("misfit", "rival", "bound", "few_draws", "unsettled")


@dataclass(frozen=True, kw_only=True, eq=False)
class Doubts:
    """About each of some pixels.

    Attributes:
        level: Which of LEVELS, shape (pixel,).
        reasons: Bits of REASONS, shape (pixel,).
        reduced_chi2: Shape (pixel,).
        rms_log10: rms of log10(fit/measured) where something was measured, shape (pixel,).
    """

    level: NDArray[np.uint8]
    reasons: NDArray[np.uint16]
    reduced_chi2: Floats
    rms_log10: Floats


def doubts_of(pixels: Pixels, found: Moments, *, chi2: Floats, ended: Flags, rival: Flags) -> Doubts:
    """What there is to doubt about pixels.

    Args:
        pixels: The pixels.
        found: What is known of their parameters.
        chi2: Plain sum of squared residuals, shape (pixel,).
        ended: Whether the fit came to its end, shape (pixel,).
        rival: Whether another profile has a share of the posterior, shape (pixel,).
    """
    problem, own = pixels.problem, pixels.likelihood
    points = pixels.points
    degrees = np.maximum(points - pixels.dimension, 1)
    reduced = chi2 / degrees
    rms = _rms_log10(own.intensity, own.seen, pixels.expected(found.best))
    misfit = doubtful(rms, reduced)
    if not problem.model_error:
        misfit |= chi2_distribution.sf(chi2, degrees) < _LEAST_CHANCE
    of_profile = problem.prior.free < problem.model.experiment.slices["profile"].stop
    on_bound = (np.abs(found.best) > _ON_BOUND) & (found.left < _DETERMINED)
    flags = {
        "misses": misses(rms, reduced),
        "misfit": misfit,
        "rival": rival,
        "bound": on_bound[:, of_profile].any(axis=1),
        "few_draws": found.effective < FEWEST,
        "unsettled": ~ended,
        "gaps": points < own.seen.shape[1],
        "no_peak": np.zeros(len(chi2), dtype=np.bool_),
        "undetermined": (found.left[:, of_profile] > _DETERMINED).any(axis=1),
    }
    reasons = np.zeros(len(chi2), dtype=np.uint16)
    for bit, (name, _) in enumerate(REASONS):
        reasons |= np.where(flags[name], np.uint16(1 << bit), np.uint16(0))
    refuse = np.any([flags[name] for name in _REFUSE], axis=0)
    check = np.any([flags[name] for name in _CHECK], axis=0)
    level = np.where(refuse, 3, np.where(check, 2, 1)).astype(np.uint8)
    return Doubts(level=level, reasons=reasons, reduced_chi2=reduced, rms_log10=rms)


def _rms_log10(measured: Floats, seen: Flags, fitted: Floats) -> Floats:
    use = seen & (measured > 0)
    gap = np.where(use, np.log10(np.maximum(fitted, 1e-300) / np.where(use, measured, 1.0)), 0.0)
    return np.asarray(np.sqrt((gap**2).sum(axis=1) / np.maximum(use.sum(axis=1), 1)))
