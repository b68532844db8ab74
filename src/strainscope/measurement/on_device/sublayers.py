"""Sublayers for the engine, in torch: those of `diffraction.choose_sublayers`, from a fixed number of coarse cells."""

from dataclasses import dataclass

import numpy as np
import torch

from strainscope.diffraction.stack import Coefficients
from strainscope.diffraction.sublayers import (
    BEND,
    CHIRP,
    FACTOR_SHARE,
    FADE,
    GAUSS_OFFSET,
    GROWTH,
    MOST_CELLS,
    PHASE_LIMIT,
    PLACES,
    STRAIN_SHARE,
    THICKEST,
)
from strainscope.measurement.on_device.profiles import TensorProfile

# Coarse cells between two marks: 30 to 60 Å each, of which the sublayers asked for are 10 Å or thicker.
_COARSE = 128
_LEAST_SEGMENT = 1e-6
# A coarse cell stands for so much of a sublayer at least.
_LEAST_PART = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSublayers:
    """Sublayers of a batch, padded with some of no thickness; see `diffraction.sublayers.Sublayers`.

    Attributes:
        thickness: [Å], shape (curve, sublayer).
        strain: At both Gauss points [1], shape (curve, sublayer, 2).
        debye_waller: E there [1], shape (curve, sublayer, 2).
        layer: Index of the stack's layer, shape (curve, sublayer).
        largest: Largest strain of each profile [1], shape (curve,).
    """

    thickness: torch.Tensor
    strain: torch.Tensor
    debye_waller: torch.Tensor
    layer: torch.Tensor
    largest: torch.Tensor


class TensorChooser:
    """Chooses sublayers.

    Args:
        profile: Families.
        angles: Coefficients at the angles that will be simulated.
        interfaces: Of the stack [Å], shape (film,).
        tolerance: See `diffraction.choose_sublayers`.
        device: Where tensors lie.
    """

    def __init__(
        self,
        profile: TensorProfile,
        angles: Coefficients,
        interfaces: np.ndarray,
        *,
        tolerance: float,
        device: torch.device,
    ) -> None:
        def there(values: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.asarray(values), dtype=torch.float64, device=device)

        self._profile, self._tolerance = profile, tolerance
        self._interfaces, self._places = there(interfaces), there(PLACES)
        self._response = there(np.abs(angles.strain_response.real).max(axis=1))
        self._lowest, self._highest = (
            there(angles.detuning.real.min(axis=1)),
            there(angles.detuning.real.max(axis=1)),
        )

    def __call__(self, values: torch.Tensor) -> TensorSublayers:
        """Sublayers of profiles with these parameters (curve, parameter).

        Raises:
            ValueError: a profile that would need more than 20,000 of them.
        """
        n, profile, tolerance = len(values), self._profile, self._tolerance
        largest = profile.largest(values)
        extent = profile.extent(
            values, largest, strain=STRAIN_SHARE * tolerance, factor=FACTOR_SHARE * tolerance
        )[:, None]
        marks = torch.cat(
            [torch.zeros_like(extent), profile.breakpoints(values), self._interfaces.expand(n, -1), extent], dim=1
        )
        marks = torch.minimum(marks.clamp(min=0), extent).sort(dim=1).values
        depth, parts = self._coarse(values, largest, marks)
        boundary = self._boundaries(marks, depth, parts)
        thickness = boundary.diff(dim=1)
        layer = torch.searchsorted(self._interfaces, boundary[:, :-1] + 0.5 * thickness)
        middle, shift = boundary[:, :-1] + 0.5 * thickness, GAUSS_OFFSET * thickness
        points = torch.stack([middle - shift, middle + shift], dim=2)
        strain, factor = profile.evaluate(points.reshape(n, -1), values, largest)
        return TensorSublayers(
            thickness=thickness,
            strain=strain.reshape(points.shape),
            debye_waller=factor.reshape(points.shape),
            layer=layer,
            largest=largest,
        )

    def _coarse(
        self, values: torch.Tensor, largest: torch.Tensor, marks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Boundaries of coarse cells [Å] (curve, cell + 1), and how many sublayers each stands for (curve, cell)."""
        n, width = len(values), marks.diff(dim=1)
        inside = torch.arange(_COARSE, dtype=marks.dtype, device=marks.device) / _COARSE
        upper = (marks[:, :-1, None] + width[..., None] * inside).reshape(n, -1)
        thickness = (width[..., None] / _COARSE).expand(-1, -1, _COARSE).reshape(n, -1)
        depth = (upper[..., None] + thickness[..., None] * self._places).reshape(n, -1)
        strain, factor = (own.reshape(n, -1, 4) for own in self._profile.evaluate(depth, values, largest))
        wanted = thickness / self._parts_needed(strain, factor, upper, thickness).clamp(min=_LEAST_PART)
        # Neighbours may differ by a share only: the lower envelope of cones around all.
        centre = upper + 0.5 * thickness
        # What is no cell at all must not thin out its neighbours.
        present = thickness * _COARSE > _LEAST_SEGMENT
        wanted = torch.where(present, wanted.clamp(min=1e-9, max=4 * THICKEST), 4 * THICKEST)
        wanted = (wanted - GROWTH * centre).cummin(dim=1).values + GROWTH * centre
        wanted = (wanted + GROWTH * centre).flip(1).cummin(dim=1).values.flip(1) - GROWTH * centre
        return torch.cat([upper, marks[:, -1:]], dim=1), thickness / wanted

    def _parts_needed(
        self, strain: torch.Tensor, factor: torch.Tensor, upper: torch.Tensor, thickness: torch.Tensor
    ) -> torch.Tensor:
        """As the processor's, from the profile at four places in each cell (curve, cell, 4)."""
        layer = torch.searchsorted(self._interfaces, upper + 0.5 * thickness)
        response = self._response[layer]
        delta = strain / (1 + strain)
        shift = response * delta.mean(dim=2)
        farthest = torch.maximum((self._lowest[layer] - shift).abs(), (self._highest[layer] - shift).abs())
        phase = 0.5 * farthest * thickness
        across = float(1 / (PLACES[3] - PLACES[0]))
        chirp = response * thickness * (delta[..., 3] - delta[..., 0]).abs() * across / 8
        bend = response * thickness * _bent(delta)
        amplitude = factor * (1 - delta)
        fade = _bent(amplitude) * phase.clamp(max=1.0) ** 2
        fade = fade + (amplitude[..., 3] - amplitude[..., 0]).abs() * chirp
        root = (0.5 * self._tolerance) ** 0.5
        causes = (
            phase / PHASE_LIMIT,
            (chirp / (CHIRP * root)).sqrt(),
            (bend / (BEND * root)) ** (1 / 3),
            (fade / (FADE * root)) ** (1 / 3),
        )
        return torch.stack(causes).amax(dim=0)

    def _boundaries(self, marks: torch.Tensor, depth: torch.Tensor, parts: torch.Tensor) -> torch.Tensor:
        """Boundaries of the sublayers [Å], shape (curve, sublayer + 1): equal shares between two marks."""
        n = len(marks)
        each = parts.reshape(n, -1, _COARSE).sum(dim=2)
        number = torch.ceil(each - 1e-6).clamp(min=1) * (marks.diff(dim=1) > _LEAST_SEGMENT)
        behind = number.cumsum(dim=1)
        most = int(behind[:, -1].max())
        if most > MOST_CELLS:
            raise ValueError(
                f"a profile needs more than {MOST_CELLS} sublayers (it extends to {float(marks.max()):g} Å); narrow "
                "the angular range or the depth, or raise the tolerance."
            )
        k = torch.arange(1, max(most, 1) + 1, dtype=marks.dtype, device=marks.device).expand(n, -1).contiguous()
        segment = torch.searchsorted(behind, k).clamp(max=number.shape[1] - 1)
        total = torch.cat([torch.zeros_like(parts[:, :1]), parts.cumsum(dim=1)], dim=1)
        at_mark = total[:, ::_COARSE]
        own, before = number.gather(1, segment), (behind - number).gather(1, segment)
        share = ((k - before) / own.clamp(min=1)).clamp(max=1.0)
        low, high = at_mark.gather(1, segment), at_mark.gather(1, segment + 1)
        goal = low + share * (high - low)
        cell = (torch.searchsorted(total, goal) - 1).clamp(0, parts.shape[1] - 1)
        start, end = depth.gather(1, cell), depth.gather(1, cell + 1)
        inside = (goal - total.gather(1, cell)) / parts.gather(1, cell).clamp(min=1e-300)
        lower = start + inside.clamp(0.0, 1.0) * (end - start)
        lower = torch.where(share < 1, lower, marks.gather(1, segment + 1))
        lower = torch.where(k <= behind[:, -1:], lower, marks[:, -1:])
        return torch.cat([marks[:, :1], lower], dim=1)


def _bent(values: torch.Tensor) -> torch.Tensor:
    """How far values at the four places (*, 4) are from a straight line."""
    return (values[..., 0] + values[..., 3] - values[..., 1] - values[..., 2]).abs()
