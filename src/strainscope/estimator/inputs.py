"""What the published networks read and predict: curves as scaled logarithms, parameters scaled to [0, 1]."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from strainscope.dataset.published import PUBLISHED_RANGES


def network_input(curves: torch.Tensor, *, start: int = 0, least: float | None = None) -> torch.Tensor:
    r"""Curves as the published networks read them.

    .. math:: x_i = \frac{\lg R_i - \min_j \lg R_j}{\max_j \lg R_j - \min_j \lg R_j}

    counted from the large-angle end, where positive strain lies to the right; minimum and maximum are those of the
    points that are read.

    Args:
        curves: Intensities, shape (*, angle), angles growing towards larger θ as datasets store them.
        start: Points left out at the large-angle end (0 where a reader has taken them off already).
        least: Intensities below it are read as it; without it they must all be > 0.

    Returns:
        Shape (*, angle - start), from 0 to 1 in each curve; type and device of the curves.

    Raises:
        ValueError: a start that leaves fewer than two points, intensities that have no logarithm, or a flat curve.
    """
    points = curves.shape[-1]
    if not 0 <= start <= points - 2:
        raise ValueError(f"start = {start}; it must lie in 0 to {points - 2} for curves of {points} points.")
    read = curves[..., : points - start].flip(-1)
    if least is not None:
        if not least > 0:
            raise ValueError(f"least = {least:g}; it must be > 0.")
        read = read.clamp(min=least)
    _require(read > 0, read, "it must be > 0; give `least` for curves with empty points")
    logs = read.log10()
    _require(logs.isfinite(), read, "it must be finite")
    lowest, highest = logs.aminmax(dim=-1, keepdim=True)
    height = highest - lowest
    if not bool((height > 0).all()):
        raise ValueError("a curve has the same intensity at every point; it cannot be scaled to [0, 1].")
    return (logs - lowest) / height


def _require(holds: torch.Tensor, values: torch.Tensor, rule: str) -> None:
    if bool(holds.all()):
        return
    first = tuple((~holds).nonzero()[0].tolist())
    place = ", ".join(map(str, first))
    raise ValueError(
        f"intensity[{place}] (counted from the large-angle end) = {float(values[first]):g}; {rule}."
    )


@dataclass(frozen=True, kw_only=True)
class TargetScale:
    """Parameters scaled so that their ranges become [0, 1].

    Attributes:
        names: Of the parameters, in order.
        lower: What becomes 0.
        upper: What becomes 1.
    """

    names: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        for name, lower, upper in zip(self.names, self.lower, self.upper, strict=True):
            if not lower < upper:
                raise ValueError(
                    f"range of {name} = {lower:g} to {upper:g}; its lower end must be < the upper."
                )

    @classmethod
    def of(
        cls, names: Sequence[str], ranges: Mapping[str, tuple[float, float]] = PUBLISHED_RANGES
    ) -> "TargetScale":
        """The scale of parameters with given names; more ranges than names do no harm.

        Raises:
            ValueError: a parameter without a range.
        """
        unknown = [name for name in names if name not in ranges]
        if unknown:
            raise ValueError(f"no range for {', '.join(unknown)}; there are ranges for {', '.join(ranges)}.")
        return cls(
            names=tuple(names),
            lower=tuple(ranges[name][0] for name in names),
            upper=tuple(ranges[name][1] for name in names),
        )

    @property
    def widths(self) -> tuple[float, ...]:
        """Widths of the ranges."""
        return tuple(upper - lower for lower, upper in zip(self.lower, self.upper, strict=True))

    def scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Scaled parameters of values, both (*, parameter); nothing is cut off outside [0, 1]."""
        return (values - values.new_tensor(self.lower)) / values.new_tensor(self.widths)

    def values(self, scaled: torch.Tensor) -> torch.Tensor:
        """Values of scaled parameters, both (*, parameter): the inverse of `scaled`."""
        return scaled.new_tensor(self.lower) + scaled * scaled.new_tensor(self.widths)
