"""Ways into the bulk of a posterior from many sides: where it is wide it may hold much, far from any maximum."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.descent import INSIDE, steps_from
from strainscope.inversion.problem import Problem
from strainscope.inversion.target import Target, log_density

Floats = NDArray[np.float64]

# Above the best known, in sums of squares for each dimension, lies hardly anything of a posterior.
BULK = 2.0
# Steps towards it at each model error.
_STEPS = 5


def entries(problem: Problem, starts: Floats, peaks: Floats) -> Floats:
    """Places (n, d) just inside the bulk of the posterior, in the coordinates of `Target`.

    A descent to a maximum forgets where it came from; these end as soon as they lie no lower than most of a posterior
    does. The model error falls step by step as in `refine_all`; what does not get in is dropped.

    Args:
        problem: The scan prepared.
        starts: Values of all parameters, spread as the posterior may be, shape (start, parameter).
        peaks: Maxima that are known, shape (peak, d).
    """
    targets = [Target(problem.coarse)]
    targets += [Target(problem.granting(error)) for error in problem.model_errors()]
    z = np.clip(targets[0].place(starts), -INSIDE, INSIDE)
    for target in targets:
        best = float(misfit_at(target, peaks).min())
        z = _enter(target, z, best + BULK * target.dimension)
        if not len(z):
            break
    return z


def _enter(target: Target, z: Floats, enough: float) -> Floats:
    """Those places (n, d) that have, or after some steps from them have, a misfit below what is enough."""
    misfit = misfit_at(target, z)
    for _ in range(_STEPS):
        going = np.flatnonzero(misfit > enough)
        if not len(going):
            break
        tried = steps_from(Centres(target, target.features(z[0]), z[going]))
        found = np.split(misfit_at(target, np.concatenate(tried)), np.cumsum([len(own) for own in tried])[:-1])
        for row, places, values in zip(going, tried, found, strict=True):
            # The nearest of those inside, or the best where none is.
            far = ((places - z[row]) ** 2).sum(axis=1)
            best = np.argmin(np.where(values < enough, far, np.inf) if (values < enough).any() else values)
            if values[best] < misfit[row]:
                z[row], misfit[row] = places[best], values[best]
    return z[misfit <= enough]


def misfit_at(target: Target, z: Floats) -> Floats:
    """Sum of squares (n,) of scan and prior at places (n, d), infinite where there is none."""
    misfit = -2 * log_density(z, target.residuals(z))
    return np.where(np.isfinite(misfit), misfit, np.inf)
