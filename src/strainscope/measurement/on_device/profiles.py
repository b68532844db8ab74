"""Strain of two Gaussians, and disorder tied to it, in torch: `profile.DoubleGaussian`, `profile.TiedDisorder`."""

import math

import torch

from strainscope.profile import DepthProfile, DoubleGaussian, NoDisorder, TiedDisorder
from strainscope.profile.family import THINNEST
from strainscope.profile.gaussian import LEAST_DECAY
from strainscope.profile.summit import STRETCH

# Newton's steps to the summit, which halve its bracket where they would leave it.
_STEPS = 12


class TensorProfile:
    """Depth profiles whose parameters are rows (n, 9) of float64, or (n, 7) without disorder.

    Args:
        profile: Families of strain and disorder.
        device: Where tensors lie.

    Raises:
        ValueError: other families.
    """

    def __init__(self, profile: DepthProfile, device: torch.device) -> None:
        strain, disorder = profile.strain, profile.disorder
        if not (isinstance(strain, DoubleGaussian) and isinstance(disorder, TiedDisorder | NoDisorder)):
            raise ValueError(
                f"{type(strain).__name__} and {type(disorder).__name__}; only double-gaussian strain with tied "
                "disorder or none is there."
            )
        self._tied = isinstance(disorder, TiedDisorder)
        self._sign, self._power = strain.sign, profile.debye_waller_power
        self._floor = strain.minimum_strain * math.exp(LEAST_DECAY)
        self._log_minimum = math.log(strain.minimum_strain)
        self._stretch = torch.as_tensor(STRETCH, device=device)

    def evaluate(
        self, depth: torch.Tensor, values: torch.Tensor, largest: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Strain and E [1], each (n, z), at depths (n, z) [Å]; the largest strain is `largest` (n,)."""
        strain = self._strain(depth, values)
        if not self._tied:
            return strain, torch.ones_like(strain)
        k, power = values[:, 7:8], values[:, 8:9]
        share = (strain.abs() / torch.where(largest > 0, largest, 1.0)[:, None]).clamp(max=1.0)
        factor = 1 - k * share**power
        return strain, factor if self._power == 1 else factor.clamp(min=0.0) ** self._power

    def largest(self, values: torch.Tensor) -> torch.Tensor:
        """Largest strain by magnitude [1], shape (n,), between the surface and Rp1."""
        upper, _, second = self._decays(values)
        dmax1, rp1, d02, rp2 = (values[:, i : i + 1] for i in (0, 3, 4, 6))
        grid = rp1 * self._stretch
        best = self._strain(grid, values).abs().argmax(dim=1, keepdim=True)
        low, z, high = (grid.gather(1, (best + i).clamp(0, grid.shape[1] - 1)) for i in (-1, 0, 1))
        for _ in range(_STEPS):
            t, p = z - rp1, z - rp2
            first = dmax1 * torch.exp(-t * t * upper)
            tail = d02 * torch.exp(-z * (z - 2 * rp2) * second)
            slope = -2 * (first * t * upper + tail * p * second)
            bend = -2 * (first * upper * (1 - 2 * t * t * upper) + tail * second * (1 - 2 * p * p * second))
            low, high = torch.where(slope > 0, z, low), torch.where(slope > 0, high, z)
            newton = z - slope / torch.where(bend < 0, bend, -math.inf)
            inside = (bend < 0) & (newton >= low) & (newton <= high)
            z = torch.where(inside, newton, 0.5 * (low + high))
        return self._strain(z, values).abs()[:, 0]

    def extent(self, values: torch.Tensor, largest: torch.Tensor, *, strain: float, factor: float) -> torch.Tensor:
        """Depth [Å], shape (n,), beyond which strain and 1 - E are below their tolerances."""
        half = torch.full_like(largest, 0.5 * strain)
        if self._tied:
            k, power = values[:, 7], values[:, 8]
            tolerance = factor / self._power
            share = (tolerance / k.clamp(min=tolerance)) ** (1 / power)
            half = 0.5 * (share * largest).clamp(1e-300, strain)
        _, lower, second = (own[:, 0] for own in self._decays(values))
        dmax1, rp1, d02, rp2 = (values[:, i] for i in (0, 3, 4, 6))
        first = rp1 + torch.sqrt(torch.log((dmax1 / half).clamp(min=1)) / lower)
        tail = rp2 + torch.sqrt(rp2**2 + torch.log((d02 / half).clamp(min=1)) / second)
        return torch.maximum(first, tail)

    def breakpoints(self, values: torch.Tensor) -> torch.Tensor:
        """Depths [Å] where a cell must end, shape (n, 1)."""
        return values[:, 3:4]

    def _strain(self, depth: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        upper, lower, second = self._decays(values)
        dmax1, rp1, d02, rp2 = (values[:, i : i + 1] for i in (0, 3, 4, 6))
        t = depth - rp1
        first = dmax1 * torch.exp(-torch.where(t < 0, upper, lower) * t * t)
        return self._sign * (first + d02 * torch.exp(-second * depth * (depth - 2 * rp2)))

    def _decays(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """1/s2 (above Rp1), 1/s1 (below it) and 1/s3 [1/Å²], each (n, 1)."""
        dmax1, d01, l1, rp1, d02, l2, rp2 = (values[:, i : i + 1] for i in range(7))
        upper = torch.log(dmax1 / d01)
        lower = torch.log(dmax1.clamp(min=self._floor)) - self._log_minimum
        second = torch.log(d02.clamp(min=self._floor)) - self._log_minimum
        return (
            upper / rp1.clamp(min=THINNEST) ** 2,
            lower / (l1 - rp1).clamp(min=THINNEST) ** 2,
            second / (l2.clamp(min=THINNEST) * (l2 - 2 * rp2).clamp(min=THINNEST)),
        )
