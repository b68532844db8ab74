"""Device and precision of a training."""

from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision


class _WholeInputs(MixedPrecision):
    """Mixed precision that leaves inputs as they are: three digits are too few for a curve that spans eight decades."""

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401
        return data


def fabric_of(precision: str) -> Fabric:
    """The fastest device there is, at "32-true" or "bf16-mixed"."""
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if precision == "32-true":
        return Fabric(accelerator=device, devices=1, precision="32-true")
    return Fabric(accelerator=device, devices=1, plugins=_WholeInputs("bf16-mixed", device))
