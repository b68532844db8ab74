"""Scans on the network's grid, in torch; see `measurement.gridding`."""

import math

import torch

from strainscope.measurement.gridding import LONGEST_GAP, GridAngles


class TensorGrid:
    """A network's grid at one reflection.

    Args:
        network: The same with the processor.
        device: Where tensors lie.

    Attributes:
        edge: Between the bins [arcsec], shape (point + 1,).
    """

    def __init__(self, network: GridAngles, device: torch.device) -> None:
        self._centre = torch.as_tensor(network.centre, dtype=torch.float64, device=device)
        self.edge = torch.as_tensor(network.edge, dtype=torch.float64, device=device)
        self._peak_step = network.peak_step

    def channels(
        self, counts: torch.Tensor, number: torch.Tensor, angle_sum: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Channels (scan, 3, point) in float32 and counts a point at the peaks (scan,); see `GridAngles.channels`.

        Args:
            counts: In each bin, shape (scan, point).
            number: Of points there, shape (scan, point).
            angle_sum: Of their angles [arcsec], shape (scan, point).
        """
        filled, points = number > 0, number.clamp(min=1)
        at = torch.where(filled, angle_sum / points, torch.nan)
        peak = (counts / points).amax(dim=1)
        value = torch.log10((counts + 0.5) / points) - torch.log10(peak + 0.5)[:, None]
        error = (1 / (math.log(10) * torch.sqrt(counts + 0.5))).clamp(max=1.0)
        left, right = _neighbours(at, filled, self._centre)
        inside = (left >= 0) & (right < filled.shape[1])
        a, b = left.clamp(min=0), right.clamp(max=filled.shape[1] - 1)
        at_left, at_right = at.gather(1, a), at.gather(1, b)
        gap = at_right - at_left
        near = inside & (gap <= LONGEST_GAP * self._peak_step)
        t = torch.where(near, (self._centre - at_left) / gap, 0.0)
        straight = (1 - t) * value.gather(1, a) + t * value.gather(1, b)
        spread = torch.sqrt(((1 - t) * error.gather(1, a)) ** 2 + (t * error.gather(1, b)) ** 2)
        # At an end of the scan, or of a gap in it, a bin with points has its nearest ones.
        to_left = torch.where(inside, self._centre - at_left < at_right - self._centre, left >= 0)
        alone = torch.where(to_left, a, b)
        read = torch.where(near, straight, value.gather(1, alone))
        erring = torch.where(near, spread, error.gather(1, alone))
        measured = near | filled
        channels = torch.stack([read, erring, torch.ones_like(read)], dim=1)
        return torch.where(measured[:, None], channels, 0.0).float(), peak

    def told(
        self, channels: torch.Tensor, step_arcsec: torch.Tensor, peak_counts: torch.Tensor
    ) -> torch.Tensor:
        """What a network is told of scans beside the channels (scan, 4); see `measurement.gridding.told_of`."""
        measured = channels[:, 2] > 0
        last = measured.shape[1] - 1
        place = torch.arange(last + 1, dtype=torch.float64, device=channels.device)
        return torch.stack(
            [
                torch.log10(step_arcsec / self._peak_step),
                (torch.log10(peak_counts) - 5) / 2,
                torch.where(measured, place, torch.inf).amin(dim=1) / last,
                torch.where(measured, place, -torch.inf).amax(dim=1) / last,
            ],
            dim=1,
        )


def _neighbours(
    at: torch.Tensor, filled: torch.Tensor, centre: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bins with points whose angle lies next below each centre, and at or above it; -1 and their number for none."""
    number = filled.shape[1]
    place = torch.arange(number, device=at.device)
    up_to = torch.where(filled, place, -1).cummax(dim=1).values
    from_on = torch.where(filled, place, number).flip(1).cummin(dim=1).values.flip(1)
    # A bin's own points lie to either side of its centre.
    before = torch.nn.functional.pad(up_to[:, :-1], (1, 0), value=-1)
    behind = torch.nn.functional.pad(from_on[:, 1:], (0, 1), value=number)
    left = torch.where(filled & (at < centre), place, before)
    right = torch.where(filled & (at >= centre), place, behind)
    return left, right
