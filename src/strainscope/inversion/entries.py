"""Ways into the bulk of a posterior from many sides: where it is wide it may hold much, far from any maximum."""

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.centres import Centres
from strainscope.inversion.descent import INSIDE, steps_from
from strainscope.inversion.levels import Levels
from strainscope.inversion.target import Target

Floats = NDArray[np.float64]

# Above the best known, in sums of squares for each dimension, lies hardly anything of a posterior.
_BULK = 2.0
# Steps towards it at each model error.
_STEPS = 5


def entries(levels: Levels, starts: Floats, peaks: Floats) -> Floats:
    """Places (n, d) just inside the bulk of the posterior, in the coordinates of `Target`.

    A descent to a maximum forgets where it came from; these end as soon as they lie no lower than most of a posterior
    does. The model error falls step by step as in `refine_all`; what does not get in is dropped.

    Args:
        levels: The posterior from coarse to exact.
        starts: Values of all parameters, spread as the posterior may be, shape (start, parameter).
        peaks: Maxima that are known, shape (peak, d).
    """
    z = np.clip(levels.coarse.place(starts), -INSIDE, INSIDE)
    for target in (levels.coarse, *levels.falling):
        z = _enter(target, z, bulk_edge(target, peaks))
        if not len(z):
            break
    return z


def _enter(target: Target, z: Floats, enough: float) -> Floats:
    """Those places (n, d) that have, or after some steps from them have, a misfit below what is enough."""
    misfit = target.misfit(z)
    for _ in range(_STEPS):
        going = np.flatnonzero(misfit > enough)
        if not len(going):
            break
        tried = steps_from(Centres(target, target.features(z[0]), z[going]))
        found = np.split(target.misfit(np.concatenate(tried)), np.cumsum([len(own) for own in tried])[:-1])
        for row, places, values in zip(going, tried, found, strict=True):
            # The nearest of those inside, or the best where none is.
            far = ((places - z[row]) ** 2).sum(axis=1)
            best = np.argmin(np.where(values < enough, far, np.inf) if (values < enough).any() else values)
            if values[best] < misfit[row]:
                z[row], misfit[row] = places[best], values[best]
    return z[misfit <= enough]


def bulk_edge(target: Target, peaks: Floats) -> float:
    """The misfit above which hardly anything of a posterior with these maxima (peak, d) lies."""
    return float(target.misfit(peaks).min()) + _BULK * target.dimension
