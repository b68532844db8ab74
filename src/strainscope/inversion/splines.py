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
    """The experiment with B-splines of that many weights for strain and for E.

    A family that is a B-spline already keeps its ranges and takes the number.
    """
    strain, disorder = experiment.profile.strain, experiment.profile.disorder
    strain = strain if isinstance(strain, CubicBSpline) else CubicBSpline()
    if not isinstance(disorder, CubicBSpline):
        disorder = CubicBSpline(quantity="debye_waller")
    profile = DepthProfile(strain=replace(strain, number=number), disorder=replace(disorder, number=number))
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
    extent = 1.05 * float(family.extent(own[:, : len(family.parameters)], 1e-4)[0])
    quantities: tuple[tuple[str, Literal["strain", "debye_waller"]], ...] = (
        ("", "strain"),
        ("disorder_", "debye_waller"),
    )
    for prefix, quantity in quantities:
        # Either depth has bounds of its own, which need not overlap.
        own_depth = prior.parameters[prior.names.index(f"{prefix}depth")]
        depth = float(np.clip(extent, own_depth.lower, own_depth.upper))
        places = np.linspace(0, depth, 200)
        target = source.profile.evaluate(places[None], own)[0 if quantity == "strain" else 1][0]
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
