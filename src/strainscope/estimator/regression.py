"""Estimators that give one value of each parameter: the published networks, trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from strainscope.estimator.baselines import baseline_network
from strainscope.estimator.grids import checked_curves
from strainscope.estimator.inputs import TargetScale, network_input
from strainscope.estimator.weights import save_weights

Floats = NDArray[np.float64]

KIND = "regression"
_OWN_KEYS = ("kind", "model", "points", "window", "scale")
# Intensities below this share of a curve's own maximum are read as it: log10 must stay finite.
_LEAST = 1e-12
_CURVES_AT_ONCE = 256


def regression_input(curves: torch.Tensor) -> torch.Tensor:
    """Curves (batch, angle), window taken off already, as the published networks read them; same shape, 0 to 1.

    Raises:
        ValueError: a flat curve.
    """
    return network_input(curves / curves.amax(dim=1, keepdim=True), least=_LEAST)


class RegressionEstimator:
    """A published network that was trained: values of its parameters, without posteriors.

    Its values may break constraints and leave the ranges, as those of the published networks do.

    Args:
        network: With trained weights.
        model: Its name among the baselines.
        scale: Of its predictions.
        points: Of a curve, the window's among them.
        window: Points at the large-angle end that it does not read.
        about: What else is known of it: plan, angles, metrics.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        model: str,
        scale: TargetScale,
        points: int,
        window: int,
        about: Mapping[str, Any],
    ) -> None:
        self.network, self.model, self.scale = network.eval(), model, scale
        self.points, self.window = points, window
        self.about = {key: value for key, value in about.items() if key not in _OWN_KEYS}

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.scale.names

    def point(self, curves: NDArray[np.floating]) -> Floats:
        """Values (n, parameter) of curves (n, angle) on the whole grid.

        Raises:
            ValueError: curves on another grid than the network knows, or one that is no curve: flat, or no number.
        """
        curves = checked_curves(curves, self.points)[:, : self.points - self.window]
        result = np.empty((len(curves), len(self.names)))
        with torch.no_grad():
            for first in range(0, len(curves), _CURVES_AT_ONCE):
                block = torch.from_numpy(np.ascontiguousarray(curves[first : first + _CURVES_AT_ONCE]))
                scaled = self.network(regression_input(block)).double()
                result[first : first + len(block)] = self.scale.values(scaled).numpy()
        return result

    def save(self, path: Path) -> None:
        """Write weights, name of the network, scale, grid and what is known of them."""
        scale = {"names": self.names, "lower": self.scale.lower, "upper": self.scale.upper}
        about = {
            "kind": KIND,
            "model": self.model,
            "points": self.points,
            "window": self.window,
            "scale": {key: list(value) for key, value in scale.items()},
            **self.about,
        }
        save_weights(path, self.network.state_dict(), about)


def regression_from(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> RegressionEstimator:
    """The estimator of weights and what a file says of them.

    Raises:
        KeyError, RuntimeError, ValueError: they do not fit together.
    """
    scale = TargetScale(**{key: tuple(about["scale"][key]) for key in ("names", "lower", "upper")})
    points, window = about["points"], about["window"]
    # The fresh weights are overwritten; they must not move torch's global generator.
    with torch.random.fork_rng(devices=[]):
        network = baseline_network(about["model"], points=points - window, parameters=len(scale.names))
    network.load_state_dict(dict(tensors))
    return RegressionEstimator(
        network, model=about["model"], scale=scale, points=points, window=window, about=about
    )
