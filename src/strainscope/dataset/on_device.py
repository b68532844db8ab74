"""Curves of a plan's samples simulated in a GPU's memory, where they stay; see `dataset.simulate.Simulator`."""

import numpy as np
import torch

from strainscope.dataset.simulate import Simulator
from strainscope.measurement.on_device import TensorChooser, TensorProfile, reflectivity

# Curves that are simulated together: some hundred MB.
_TOGETHER = 2048


class DeviceCurves:
    """The curves of a plan.

    Args:
        simulator: The same with the processor.
        device: Where they are simulated.

    Raises:
        ValueError: families that are not there in torch, diffuse scattering, or an instrument that varies.
    """

    def __init__(self, simulator: Simulator, device: torch.device) -> None:
        if not simulator.linear:
            raise ValueError(
                "the sample has diffuse scattering, or the plan varies the instrument; it does without either."
            )
        self._plan, self._tables = simulator.plan, simulator.tables
        model = simulator.model
        self._profile = model.experiment.slices["profile"]
        self._choose = TensorChooser(
            TensorProfile(model.experiment.profile, device),
            simulator.tables.exact,
            model.experiment.stack.interfaces,
            tolerance=model.experiment.tolerance,
            device=device,
        )
        self._matrix = torch.as_tensor(simulator.matrix, dtype=torch.float64, device=device)
        _, log_scale, log_background, slope = simulator.fixed[model.experiment.slices["scale"]]
        background = 10.0**log_background * (1 + slope * model.lever)
        self._scale = float(10.0**log_scale)
        self._background = torch.as_tensor(np.asarray(background), dtype=torch.float64, device=device)
        self._device = device

    def simulate(self, varying: np.ndarray) -> torch.Tensor:
        """Curves of given values of the parameters that vary (curve, parameter), float32 (curve, angle)."""
        profile = self._plan.with_held(varying)[:, self._profile]
        values = torch.tensor(profile, dtype=torch.float64, device=self._device)
        firsts = range(0, len(values), _TOGETHER)
        return torch.cat([self._curves(values[first : first + _TOGETHER]) for first in firsts])

    def _curves(self, profile: torch.Tensor) -> torch.Tensor:
        reflected = reflectivity(self._tables, self._choose(profile)).flatten(1).double()
        return (self._scale * (reflected @ self._matrix) + self._background).float()
