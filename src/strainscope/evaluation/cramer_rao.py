r"""How narrow posteriors of scans can be: the Bayesian Cramér-Rao bound of counting noise and a flat prior.

.. math:: F = \sum_i \frac{1}{μ_i} \frac{∂μ_i}{∂p} \frac{∂μ_i}{∂p}^T + \mathrm{diag}\Big(\frac{12}{w^2}\Big), \qquad
    σ_k \ge \sqrt{(F^{-1})_{kk}}

with the expected counts μ and the widths w of the parameters' ranges, whose uniform distributions have the variance
w²/12. It is that of a posterior which is normal; one that a bound of the range cuts off can be narrower.

References:
    H. L. Van Trees, Detection, Estimation, and Modulation Theory, Part I (Wiley, 1968), section 2.4.
"""

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment, ScanModel
from strainscope.inversion.problem import fringe_depth
from strainscope.measurement import BLOCK, LabSimulator
from strainscope.measurement.targets import AMPLITUDE

Floats = NDArray[np.float64]

_LEAST_COUNTS = 1e-9


def scan_bounds(simulator: LabSimulator, number: int) -> Floats:
    """Bounds of the first scans of a simulator as standard deviations, shape (number, target)."""
    experiment = simulator.targets.experiment
    depth = fringe_depth(experiment, {s.name: (s.lower, s.upper) for s in simulator.targets.prior.parameters})
    rows: list[Floats] = []
    for block in range(-(-number // BLOCK)):
        chosen = slice(0, min(BLOCK, number - block * BLOCK))
        components, instruments = simulator.conditions(block)
        components, instruments = components.part(chosen), instruments.part(chosen)
        points = simulator.points(components, instruments)
        for (angle, _, values), counts in zip(points, instruments.counts, strict=True):
            full = simulator.targets.experiment_values(values[None], np.array([counts]))[0]
            rows.append(_bound(simulator, experiment, angle, full, depth))
    return np.stack(rows)


def _bound(
    simulator: LabSimulator, experiment: Experiment, angle: Floats, values: Floats, depth: float
) -> Floats:
    """Of one scan: points on its axis (m,), values of all parameters of the experiment."""
    offset = values[experiment.slices["scale"]][0]
    narrow, wide = simulator.fwhm_range
    model = ScanModel(
        experiment=experiment,
        position=angle,
        fringe_depth=depth,
        narrowest_fwhm_arcsec=narrow,
        widest_fwhm_arcsec=wide,
        offset_range=(offset - 1.0, offset + 1.0),
    )
    expected, jacobian = model.expected_with_jacobian(values)
    column = {spec.name: jacobian[:, i] for i, spec in enumerate(experiment.parameters)}
    amplitude = values[[spec.name for spec in experiment.parameters].index("diffuse_amplitude")]
    column[AMPLITUDE] = np.log(10) * amplitude * column["diffuse_amplitude"]
    slopes = np.stack([column[name] for name in simulator.targets.names], axis=1)
    width = np.array([high - low for low, high in simulator.targets.bounds.values()])
    information = slopes.T @ (slopes / np.maximum(expected, _LEAST_COUNTS)[:, None])
    # In units of the ranges, so that the inverse is well conditioned.
    scaled = information * np.outer(width, width) + 12 * np.eye(len(width))
    return np.asarray(np.sqrt(np.diag(np.linalg.inv(scaled))) * width)
