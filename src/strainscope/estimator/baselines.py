"""The published networks that ours is compared with, by name: `v1`, `v2`, `v3` and `cnn2023`.

The first three are a research prototype's for ion-implanted garnets: residual networks of dilated convolutions that
never shorten the curve. The fourth is that of Boulle & Debelle for ZrO2, which halves it eight times. Each takes
curves as `strainscope.estimator.inputs.network_input` makes them, shape (batch, angle), and returns parameters scaled
to [0, 1], shape (batch, parameter): v3 through a sigmoid, the others linear, so that they may leave [0, 1].

Convolutions in front of a batch normalization have no bias (it would take it away again), nor has the last one of
the attention (softmax does not see it): the functions are the published ones, with fewer idle weights.

References:
    Boulle & Debelle, Mach. Learn.: Sci. Technol. 4 (2023) 015002, doi:10.1088/2632-2153/acab4c
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

_STEM_KERNEL = 9
_DILATIONS = (1, 2, 4, 8, 16, 32)


class _Block(nn.Module):
    """relu(x + norm(conv(relu(norm(conv(x)))))), both convolutions dilated and as long as their input."""

    def __init__(self, channels: int, *, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2

        def convolution() -> nn.Conv1d:
            return nn.Conv1d(channels, channels, kernel, padding=padding, dilation=dilation, bias=False)

        self.change = nn.Sequential(
            convolution(), nn.BatchNorm1d(channels), nn.ReLU(), convolution(), nn.BatchNorm1d(channels)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.change(x)
        return torch.relu(x + change)


class _AveragePooling(nn.Module):
    """Mean over the curve: (batch, channel, angle) to (batch, channel)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=-1)


class _AttentionPooling(nn.Module):
    """Weighted sum over the curve, the weights from a softmax of what each point's channels say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.score = nn.Sequential(
            nn.Conv1d(channels, channels // 4, 1), nn.ReLU(), nn.Conv1d(channels // 4, 1, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.score(x), dim=-1)
        return (x * weights).sum(dim=-1)


class ResidualNetwork(nn.Module):
    """Stem, dilated residual blocks at full length, pooling over the curve, a multilayer perceptron.

    Args:
        channels: Of each block; the dilations are 1, 2, 4, … 32. The stem has the first one's.
        kernel: Points of a block's convolutions.
        transitions: Whether a 1×1 convolution leads into each block; without it all channels must be equal.
        attention: Whether pooling is by attention; otherwise by the mean.
        hidden: Widths of the perceptron's hidden layers.
        dropout: Share of its hidden units that are dropped in training.
        sigmoid: Whether the output passes through a sigmoid.
        parameters: Outputs.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...],
        kernel: int,
        transitions: bool,
        attention: bool,
        hidden: tuple[int, ...],
        dropout: float,
        sigmoid: bool,
        parameters: int,
    ) -> None:
        super().__init__()
        if not transitions and len(set(channels)) > 1:
            raise ValueError(f"channels = {channels}; they must all be equal, or transitions = True.")
        first, last = channels[0], channels[-1]
        layers: list[nn.Module] = [
            nn.Conv1d(1, first, _STEM_KERNEL, padding=_STEM_KERNEL // 2, bias=False),
            nn.BatchNorm1d(first),
            nn.ReLU(),
        ]
        before = first
        for width, dilation in zip(channels, _DILATIONS, strict=True):
            if transitions:
                layers.append(nn.Conv1d(before, width, 1))
            layers.append(_Block(width, kernel=kernel, dilation=dilation))
            before = width
        layers.append(_AttentionPooling(last) if attention else _AveragePooling())
        for width in hidden:
            layers += [nn.Linear(before, width), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            before = width
        layers.append(nn.Linear(before, parameters))
        if sigmoid:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Scaled parameters (batch, parameter) of scaled curves (batch, angle) of any length."""
        scaled: torch.Tensor = self.layers(curves[:, None, :])
        return scaled


class StridedNetwork(nn.Module):
    """The network of Boulle & Debelle (2023), after their description and their own published notebook.

    Four times: a convolution with stride 2, one with stride 1, both followed by batch normalization and ReLU, then
    the maximum of every two points; channels 16, 32, 64, 128. All positions that are left are read at once: 4 of
    1001 points, 512 numbers (3 of 701 and 691, 2 of 651). Initial weights, batch normalization without a scale, and
    its momentum and least variance are those of their program, Keras.

    Args:
        points: Of a curve; at least 171.
        parameters: Outputs.

    Raises:
        ValueError: nothing would be left of so few points.
    """

    _KERNEL = 15
    _CHANNELS = (16, 32, 64, 128)
    _HIDDEN = (1000, 100)

    def __init__(self, *, points: int, parameters: int) -> None:
        super().__init__()
        self.points = points
        positions = points
        layers: list[nn.Module] = []
        before = 1
        for width in self._CHANNELS:
            layers += self._convolution(before, width, stride=2)
            layers += self._convolution(width, width, stride=1)
            layers.append(nn.MaxPool1d(2))
            positions = (positions + 1) // 2 // 2
            before = width
        if positions < 1:
            raise ValueError(f"points = {points}; cnn2023 halves a curve eight times and needs at least 171.")
        layers.append(nn.Flatten())
        before *= positions
        for width in self._HIDDEN:
            layers += [nn.Linear(before, width, bias=False), self._normalization(width), nn.ReLU()]
            before = width
        layers.append(nn.Linear(before, parameters))
        self.layers = nn.Sequential(*layers)
        self._start()

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Scaled parameters (batch, parameter) of scaled curves (batch, angle)."""
        if curves.shape[-1] != self.points:
            raise ValueError(
                f"curves have {curves.shape[-1]} points; this network is built for {self.points}."
            )
        scaled: torch.Tensor = self.layers(curves[:, None, :])
        return scaled

    @classmethod
    def _convolution(cls, before: int, width: int, *, stride: int) -> list[nn.Module]:
        convolution = nn.Conv1d(
            before, width, cls._KERNEL, stride=stride, padding=cls._KERNEL // 2, bias=False
        )
        return [convolution, cls._normalization(width), nn.ReLU()]

    @staticmethod
    def _normalization(width: int) -> nn.BatchNorm1d:
        normalization = nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)
        normalization.weight.requires_grad_(False)  # it stays 1
        return normalization

    def _start(self) -> None:
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def _v1(points: int, parameters: int) -> nn.Module:
    return ResidualNetwork(
        channels=(32,) * 6,
        kernel=7,
        transitions=False,
        attention=False,
        hidden=(64, 32),
        dropout=0.0,
        sigmoid=False,
        parameters=parameters,
    )


def _v2(points: int, parameters: int) -> nn.Module:
    return ResidualNetwork(
        channels=(64,) * 6,
        kernel=7,
        transitions=False,
        attention=True,
        hidden=(128, 64),
        dropout=0.0,
        sigmoid=False,
        parameters=parameters,
    )


def _v3(points: int, parameters: int) -> nn.Module:
    return ResidualNetwork(
        channels=(32, 48, 64, 96, 128, 128),
        kernel=15,
        transitions=True,
        attention=True,
        hidden=(256, 128),
        dropout=0.2,
        sigmoid=True,
        parameters=parameters,
    )


def _cnn2023(points: int, parameters: int) -> nn.Module:
    return StridedNetwork(points=points, parameters=parameters)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A published network.

    Attributes:
        description: What it is, in one sentence.
        source: Who published it.
        build: The network from the points of a curve and the number of parameters.
    """

    description: str
    source: str
    build: Callable[[int, int], nn.Module]


_PROTOTYPE = "research prototype, report of 2025-10-29"

BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "v1": Baseline(
            description="six dilated residual blocks (32 channels, k 7), mean over the curve, perceptron",
            source=_PROTOTYPE,
            build=_v1,
        ),
        "v2": Baseline(
            description="six dilated residual blocks (64 channels, k 7), attention pooling, perceptron",
            source=_PROTOTYPE,
            build=_v2,
        ),
        "v3": Baseline(
            description="six dilated residual blocks (32 to 128 channels, k 15), attention pooling, perceptron",
            source=_PROTOTYPE,
            build=_v3,
        ),
        "cnn2023": Baseline(
            description="eight convolutions (16 to 128 channels, k 15) with stride and pooling, perceptron",
            source="Boulle & Debelle, Mach. Learn.: Sci. Technol. 4 (2023) 015002, doi:10.1088/2632-2153/acab4c",
            build=_cnn2023,
        ),
    }
)
"""The published networks by name."""


def baseline_network(name: str, *, points: int, parameters: int = 7) -> nn.Module:
    """A published network with fresh weights (from torch's global generator: seed it first).

    Args:
        name: One of `BASELINES`.
        points: Of a curve as the network reads it, the window's start taken off.
        parameters: Outputs.

    Raises:
        ValueError: no network of that name, no points or parameters, or too few points for it.
    """
    if name not in BASELINES:
        raise ValueError(f"baseline = {name!r}; it must be one of {', '.join(BASELINES)}.")
    for what, value in (("points", points), ("parameters", parameters)):
        if value < 1:
            raise ValueError(f"{what} = {value}; it must be >= 1.")
    return BASELINES[name].build(points, parameters)


def weight_count(network: nn.Module) -> int:
    """Number of weights that are trained."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
