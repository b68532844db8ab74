"""The posterior estimator: an embedding of curve and settings, then a neural spline flow in free coordinates."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zuko
from numpy.typing import NDArray
from torch import nn

from strainscope.estimator.coordinates import Coordinates, coordinates_from
from strainscope.estimator.weights import load_weights, save_weights

Floats = NDArray[np.float64]

# Intensities below this share of a curve's own maximum are taken as it (log10 must stay finite).
_LEAST = 1e-12
_CURVES_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Sizes of the network.

    Attributes:
        width: Of the embedding's layers.
        blocks: Residual blocks of the embedding.
        context: Numbers that the flow sees.
        transforms: Spline transformations.
        bins: Of each spline.
        hidden: Width of the flow's networks.
    """

    width: int = 1024
    blocks: int = 3
    context: int = 256
    transforms: int = 3
    bins: int = 12
    hidden: int = 192

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 1 <= value <= 16_384:
                raise ValueError(f"network.{name} = {value}; it must lie in 1 to 16,384.")


class _Residual(nn.Module):
    """x + B gelu(A norm(x)); starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.outer(nn.functional.gelu(self.inner(self.norm(x))))
        return x + change


class PosteriorNetwork(nn.Module):
    """Log density of free coordinates given curves and settings.

    The curve enters as log10 of the intensity over its maximum, centred and scaled as the training data ask, and as the
    differences of neighbouring points.

    Args:
        points: Of a curve.
        settings: Numbers that describe the measurement; may be 0.
        parameters: Number of coordinates.
        architecture: Sizes.
    """

    def __init__(self, points: int, settings: int, parameters: int, architecture: Architecture) -> None:
        super().__init__()
        self.points, self.settings = points, settings
        self.architecture = architecture
        self.mean: torch.Tensor
        self.scale: torch.Tensor
        self.difference_scale: torch.Tensor
        self.register_buffer("mean", torch.zeros(points))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("difference_scale", torch.ones(()))
        width = architecture.width
        self.embedding = nn.Sequential(
            nn.Linear(2 * points - 1 + settings, width),
            *(_Residual(width) for _ in range(architecture.blocks)),
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
        )

    def standardise(self, curves: torch.Tensor) -> None:
        """Take mean and scales of the inputs from curves (n, point)."""
        logs = _logs(curves)
        self.mean.copy_(logs.mean(dim=0))
        self.scale.copy_((logs - self.mean).std())
        self.difference_scale.copy_(logs.diff(dim=1).std())

    def context(self, curves: torch.Tensor, settings: torch.Tensor | None = None) -> torch.Tensor:
        """What the flow sees of curves (batch, point) and settings (batch, setting)."""
        logs = _logs(curves)
        parts = [(logs - self.mean) / self.scale, logs.diff(dim=1) / self.difference_scale]
        if settings is not None:
            parts.append(settings)
        result: torch.Tensor = self.embedding(torch.cat(parts, dim=1))
        return result

    def losses(
        self, curves: torch.Tensor, free: torch.Tensor, settings: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean negative log density of coordinates (batch, parameter), and the point estimate's smooth-L1 loss."""
        context = self.context(curves, settings).float()
        # Splines need all digits.
        with torch.autocast(curves.device.type, enabled=False):
            density = self.flow(context).log_prob(free)
        gap = nn.functional.smooth_l1_loss(
            torch.sigmoid(1.8138 * self.point(context)), torch.sigmoid(1.8138 * free), beta=0.02
        )
        return -density.mean(), gap


def _logs(curves: torch.Tensor) -> torch.Tensor:
    top = curves.amax(dim=1, keepdim=True)
    return torch.log10(torch.clamp(curves / top, min=_LEAST))


class PosteriorEstimator:
    """Posteriors of curves on the grid that a network knows.

    Attributes:
        network: The network, in evaluation mode.
        coordinates: Of its parameters.
        about: Plan, angles, metrics: what the weights file says.
    """

    def __init__(self, network: PosteriorNetwork, coordinates: Coordinates, about: dict[str, Any]) -> None:
        self.network, self.coordinates, self.about = network.eval(), coordinates, about

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
        curves = self._checked(curves)
        generator = torch.Generator().manual_seed(seed)
        result = np.empty((len(curves), draws, len(self.names)))
        with torch.no_grad():
            for first in range(0, len(curves), _CURVES_AT_ONCE):
                block = torch.from_numpy(curves[first : first + _CURVES_AT_ONCE])
                flow = self.network.flow(self.network.context(block))
                shape = (draws, len(block), len(self.names))
                base = torch.randn(shape, generator=generator)
                free = flow.transform.inv(base).movedim(0, 1).numpy()
                result[first : first + len(block)] = self.coordinates.from_free(free)
        return result

    def _checked(self, curves: NDArray[np.floating]) -> NDArray[np.float32]:
        curves = np.asarray(curves, dtype=np.float32)
        if curves.ndim != 2 or curves.shape[1] != self.network.points:
            raise ValueError(
                f"curves have shape {curves.shape}; this estimator knows curves of {self.network.points} points, "
                "shape (curve, angle)."
            )
        return curves

    def save(self, path: Path) -> None:
        """Write weights, sizes, coordinates and what is known of them."""
        network = self.network
        about = {
            "kind": "posterior",
            "points": network.points,
            "settings": network.settings,
            "architecture": asdict(network.architecture),
            "coordinates": self.coordinates.document(),
            **self.about,
        }
        save_weights(path, network.state_dict(), about)


def load_posterior(path: Path) -> PosteriorEstimator:
    """A trained estimator.

    Raises:
        OSError, ValueError: see `load_weights`; or other weights than a posterior estimator's.
    """
    tensors, about = load_weights(path)
    if about.get("kind") != "posterior":
        raise ValueError(f"{path}: holds a {about.get('kind')} network, not a posterior estimator.")
    coordinates = coordinates_from(about["coordinates"])
    network = PosteriorNetwork(
        about["points"],
        about["settings"],
        len(coordinates.names),
        Architecture(**about["architecture"]),
    )
    network.load_state_dict(tensors)
    kept = {
        key: value
        for key, value in about.items()
        if key not in ("kind", "points", "settings", "architecture", "coordinates")
    }
    return PosteriorEstimator(network, coordinates, kept)
