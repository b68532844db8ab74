"""The posterior estimator: an embedding of curve and settings, then a neural spline flow in free coordinates."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zuko
from numpy.typing import NDArray
from torch import nn

from strainscope.estimator.coordinates import Coordinates, coordinates_from
from strainscope.estimator.draws import draw
from strainscope.estimator.features import CurveFeatures, ScanFeatures
from strainscope.estimator.grids import checked_curves
from strainscope.estimator.recalibration import (
    LEAST_DRAWS,
    Recalibration,
    learnt_recalibration,
    recalibration_from,
)
from strainscope.estimator.weights import save_weights

Floats = NDArray[np.float64]

KIND = "posterior"
_OWN_KEYS = ("kind", "points", "settings", "architecture", "coordinates", "recalibration")
# Draws that are made together: their numbers stay in the cache.
_DRAWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the network.

    Attributes:
        width: Of the embedding.
        inner: Width inside its residual blocks.
        blocks: Number of these.
        context: Numbers that the flow sees.
        transforms: Spline transformations, each of half the coordinates given the others.
        bins: Of each spline.
        hidden: Width of the flow's networks.
    """

    width: int = 384
    inner: int = 1024
    blocks: int = 4
    context: int = 128
    transforms: int = 3
    bins: int = 8
    hidden: int = 128

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 1 <= value <= 16_384:
                raise ValueError(f"network.{name} = {value}; it must lie in 1 to 16,384.")


class _Residual(nn.Module):
    """x + B gelu(A norm(x)); starts as the identity."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.outer(nn.functional.gelu(self.inner(self.norm(x))))
        return x + change


class PosteriorNetwork(nn.Module):
    """Log density of free coordinates given curves or scans.

    Args:
        points: Of a curve, or of the grid that scans are brought onto.
        settings: Numbers that the network is told of a scan's measurement; 0 for noise-free curves.
        parameters: Number of coordinates.
        architecture: Sizes.
    """

    def __init__(self, points: int, settings: int, parameters: int, architecture: Architecture) -> None:
        super().__init__()
        self.points, self.settings = points, settings
        self.architecture = architecture
        self.features = ScanFeatures(points, settings) if settings else CurveFeatures(points)
        width = architecture.width
        self.embedding = nn.Sequential(
            nn.Linear(self.features.number, width),
            *(_Residual(width, architecture.inner) for _ in range(architecture.blocks)),
            nn.LayerNorm(width),
            nn.Linear(width, architecture.context),
        )
        # A point estimate beside the flow: it teaches the embedding early, and serves where speed is all.
        self.point = nn.Linear(architecture.context, parameters)
        self.flow = zuko.flows.NSF(
            parameters,
            context=architecture.context,
            bins=architecture.bins,
            transforms=architecture.transforms,
            hidden_features=[architecture.hidden] * 2,
            # Half of the coordinates at a time: three times as fast to sample as one by one.
            passes=2,
        )

    def standardise(self, curves: torch.Tensor) -> None:
        """Take mean and scales of the inputs from curves (n, row)."""
        self.features.standardise(curves)

    @property
    def row(self) -> int:
        """Numbers that make a curve (its points), or a scan: see `ScanFeatures`."""
        return 3 * self.points + self.settings if self.settings else self.points

    def context(self, curves: torch.Tensor) -> torch.Tensor:
        """What the flow sees of curves or scans (batch, row)."""
        result: torch.Tensor = self.embedding(self.features(curves))
        return result

    def losses(
        self,
        curves: torch.Tensor,
        free: torch.Tensor,
        to_unit: Callable[[torch.Tensor], torch.Tensor],
        weights: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean negative log density of coordinates (batch, parameter), and the point estimate's smooth-L1 loss.

        The latter is that of unit coordinates, which `to_unit` makes, and counts each parameter by its weight,
        (parameter,), if given.
        """
        context = self.context(curves).float()
        # Splines need all digits.
        with torch.autocast(curves.device.type, enabled=False):
            density = self.flow(context).log_prob(free)
        gap = nn.functional.smooth_l1_loss(
            to_unit(self.point(context)), to_unit(free), beta=0.02, reduction="none"
        )
        return -density.mean(), (gap if weights is None else weights * gap).mean()


class PosteriorEstimator:
    """Posteriors of curves on the grid that a network knows.

    Attributes:
        network: The network, in evaluation mode.
        coordinates: Of its parameters.
        about: Plan, angles, metrics: what the weights file says.
        recalibration: Of the posteriors' widths, or None.
    """

    def __init__(
        self,
        network: PosteriorNetwork,
        coordinates: Coordinates,
        about: dict[str, Any],
        recalibration: Recalibration | None = None,
    ) -> None:
        self.network, self.coordinates, self.about = network.eval(), coordinates, about
        self.recalibration = recalibration

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.coordinates.names

    def point(self, curves: NDArray[np.floating]) -> Floats:
        """Posterior medians, coordinate by coordinate, of curves (n, angle); shape (n, parameter)."""
        return np.median(self.sample(curves, 128, seed=0), axis=1)

    def sample(self, curves: NDArray[np.floating], draws: int, seed: int) -> Floats:
        """Posterior samples of curves (n, angle), shape (n, draws, parameter).

        Raises:
            ValueError: curves on another grid than the network knows.
        """
        curves = checked_curves(curves, self.network.row, what="scans" if self.network.settings else "curves")
        result = np.empty((len(curves), draws, len(self.names)))
        first = 0
        for free in self._draws(
            curves, draws if self.recalibration is None else max(draws, LEAST_DRAWS), seed
        ):
            if self.recalibration is not None:
                free = self.recalibration.apply(free)
            result[first : first + len(free)] = self.coordinates.from_free(free[:, :draws])
            first += len(free)
        return result

    def recalibrate(self, curves: NDArray[np.floating], values: Floats, *, draws: int = 256) -> None:
        """Make the widths of posteriors right on curves (n, angle) of known values (n, parameter), new to it."""
        free = np.concatenate(list(self._draws(checked_curves(curves, self.network.row), draws, seed=0)))
        self.recalibration = learnt_recalibration(free, self.coordinates.to_free(values))

    def _draws(self, curves: NDArray[np.float32], draws: int, seed: int) -> Iterator[Floats]:
        """Draws in free coordinates (curve, draw, parameter), block by block."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            together = max(1, _DRAWS_AT_ONCE // draws)
            for first in range(0, len(curves), together):
                block = torch.from_numpy(curves[first : first + together])
                base = torch.randn((draws, len(block), len(self.names)), generator=generator)
                free = draw(list(self.network.flow.transform.transforms), self.network.context(block), base)
                yield free.movedim(0, 1).numpy().astype(np.float64)

    def save(self, path: Path) -> None:
        """Write weights (matrices in half precision), sizes, coordinates and what is known of them."""
        network = self.network
        about = {
            "kind": KIND,
            "points": network.points,
            "settings": network.settings,
            "architecture": asdict(network.architecture),
            "coordinates": self.coordinates.document(),
            "recalibration": None if self.recalibration is None else self.recalibration.document(),
            **self.about,
        }
        tensors = {
            name: tensor.half() if tensor.ndim >= 2 and tensor.is_floating_point() else tensor
            for name, tensor in network.state_dict().items()
        }
        save_weights(path, tensors, about)


def posterior_from(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> PosteriorEstimator:
    """The estimator of tensors and what their file says of them."""
    coordinates = coordinates_from(about["coordinates"])
    # The fresh weights are overwritten; they must not move torch's global generator.
    with torch.random.fork_rng(devices=[]):
        network = PosteriorNetwork(
            about["points"], about["settings"], len(coordinates.names), Architecture(**about["architecture"])
        )
    network.load_state_dict(dict(tensors))
    kept = {key: value for key, value in about.items() if key not in _OWN_KEYS}
    return PosteriorEstimator(network, coordinates, kept, recalibration_from(about.get("recalibration")))
