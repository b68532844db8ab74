"""Scans of which more searching would not find a profile to believe."""

import numpy as np

from strainscope.inversion.likelihood import rms_log10
from strainscope.inversion.problem import Problem
from strainscope.inversion.refine import Fit
from strainscope.inversion.scan_doubts import doubts_of, signs_of_strain, turned_axis
from strainscope.inversion.verdict import misses


def spoilt(problem: Problem) -> tuple[bool, bool]:
    """Whether a scan itself says that no fit is to be believed, and whether one says why none may be found."""
    free = [spec for spec in problem.prior.parameters if spec.name not in problem.prior.held]
    worthless = suspect = False
    for own in problem.measurements:
        experiment = own.model.experiment
        doubts = doubts_of(own.scan, experiment, own.features, own.likelihood)
        turned = turned_axis(own.scan, experiment, own.features, signs_of_strain(experiment, free))
        worthless |= bool(doubts.refuse)
        suspect |= doubts.clipped or bool(turned)
    return worthless, suspect


def missed(problem: Problem, fit: Fit) -> bool:
    """Whether a fit misses the scans, as the verdict has it."""
    measured = np.concatenate([own.likelihood.intensity for own in problem.measurements])
    degrees = max(len(fit.residuals) - len(problem.prior.free), 1)
    return bool(misses(rms_log10(measured, fit.model), fit.chi2 / degrees))
