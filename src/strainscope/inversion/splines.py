"""Free-form refinement: a fitted profile carried over into B-splines for strain and E."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment
from strainscope.prior import Prior
from strainscope.profile import CubicBSpline, DepthProfile

Floats = NDArray[np.float64]


def spline_experiment(experiment: Experiment, number: int) -> Experiment:
    """The experiment with B-splines of that many weights for strain and for E."""
    profile = DepthProfile(
        strain=CubicBSpline(number=number), disorder=CubicBSpline(number=number, quantity="debye_waller")
    )
    return replace(experiment, profile=profile)


def spline_start(source: Experiment, values: Floats, prior: Prior) -> Floats:
    """Values of the spline experiment whose profile is closest (least squares over depth) to a fitted one.

    Args:
        source: The experiment of the fit.
        values: Its parameters.
        prior: That of the spline experiment; parameters of the same name are taken over.
    """
    known = dict(zip((s.name for s in source.parameters), values, strict=True))
    result = np.array([known.get(name, 0.0) for name in prior.names])
    own = values[None, source.slices["profile"]]
    family = source.profile.strain
    deepest = [
        prior.parameters[i] for i, name in enumerate(prior.names) if name in ("depth", "disorder_depth")
    ]
    depth = 1.05 * float(family.extent(own[:, : len(family.parameters)], 1e-4)[0])
    depth = float(np.clip(depth, max(s.lower for s in deepest), min(s.upper for s in deepest)))
    places = np.linspace(0, depth, 200)
    strain, factor = (rows[0] for rows in source.profile.evaluate(places[None], own))
    quantities: tuple[tuple[str, Floats, Literal["strain", "debye_waller"]], ...] = (
        ("", strain, "strain"),
        ("disorder_", factor, "debye_waller"),
    )
    for prefix, target, quantity in quantities:
        columns = [i for i, name in enumerate(prior.names) if name.startswith(f"{prefix}weight_")]
        spline = CubicBSpline(number=len(columns), quantity=quantity)
        start = np.concatenate([[depth], np.full(len(columns), spline.limit)])
        basis = spline.gradient(places[None], start[None])[0, :, 1:]
        fixed = spline.evaluate(places[None], start[None])[0] - basis @ start[1:]
        weights = np.linalg.lstsq(basis, target - fixed, rcond=None)[0]
        lower = np.array([prior.parameters[i].lower for i in columns])
        upper = np.array([prior.parameters[i].upper for i in columns])
        result[columns] = np.clip(weights, lower, upper)
        result[prior.names.index(f"{prefix}depth")] = depth
    return result
