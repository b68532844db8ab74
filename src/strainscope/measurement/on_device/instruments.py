"""How scans are measured, in torch: settings drawn for each, and points added up; see `measurement.scans`."""

from dataclasses import dataclass

import numpy as np
import torch

from strainscope.diffraction import Stack
from strainscope.experiment import KernelTable
from strainscope.experiment.kernel_table import LOG_STEP, STENCIL
from strainscope.instrument.grid import CARDINALS
from strainscope.instrument.grid import STENCIL as INTERPOLATION_POINTS
from strainscope.measurement.gridding import angle_of
from strainscope.measurement.settings import LabSettings
from strainscope.scan import MIN_POINTS

# Strains at which their angle is tabulated: read straight between them, it is right to 1e-4 arcsec.
_STRAINS = 16_384


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorInstruments:
    """How each scan is measured, tensors (scan,); see `measurement.scans.Instruments`."""

    fwhm_arcsec: torch.Tensor
    lorentz_fraction: torch.Tensor
    diffuse_amplitude: torch.Tensor
    correlation_length: torch.Tensor
    counts: torch.Tensor
    background: torch.Tensor
    step_arcsec: torch.Tensor
    low_arcsec: torch.Tensor
    high_arcsec: torch.Tensor
    zero_error_arcsec: torch.Tensor


class TensorDraws:
    """Draws how scans are measured.

    Args:
        settings: Ranges.
        fwhm_range: Of the resolution's width [arcsec].
        stack: Gives the angle of a strain.
        largest_strain: That is asked for, by magnitude [1].
        device: Where tensors lie.

    Raises:
        ValueError: a distribution of lorentz_fraction that rises from 0.
    """

    def __init__(
        self,
        settings: LabSettings,
        fwhm_range: tuple[float, float],
        *,
        stack: Stack,
        largest_strain: float,
        device: torch.device,
    ) -> None:
        if settings.lorentz_shape[0] != 1:
            raise ValueError(
                f"lorentz_shape[0] = {settings.lorentz_shape[0]:g}; only 1 is there, a density that falls from 0 on."
            )
        self._settings, self._fwhm, self._device = settings, fwhm_range, device
        strain = np.linspace(0.0, largest_strain, _STRAINS)
        angle = angle_of(strain / (1 + strain), stack)
        self._per_strain = (_STRAINS - 1) / largest_strain
        self._angle = torch.as_tensor(angle, dtype=torch.float64, device=device)

    def __call__(self, largest_strain: torch.Tensor, generator: torch.Generator) -> TensorInstruments:
        """How scans of samples with these largest strains, by magnitude (scan,), are measured."""
        settings, n = self._settings, len(largest_strain)

        def share() -> torch.Tensor:
            return torch.rand(n, dtype=torch.float64, device=self._device, generator=generator)

        def even(limits: tuple[float, float]) -> torch.Tensor:
            return limits[0] + share() * (limits[1] - limits[0])

        def logs(limits: tuple[float, float]) -> torch.Tensor:
            return limits[0] * (limits[1] / limits[0]) ** share()

        step = logs(settings.step_arcsec)
        whole = self._angle_of(largest_strain).clamp(max=0.0) * even(settings.beyond_strain)
        whole = whole - even(settings.beyond_arcsec)
        low = torch.where(share() < settings.whole_share, whole, -even(settings.low_reach_arcsec))
        strong, weak = logs(settings.diffuse_amplitude), logs(settings.negligible_amplitude)
        return TensorInstruments(
            fwhm_arcsec=even(self._fwhm),
            lorentz_fraction=1 - (1 - share()) ** (1 / settings.lorentz_shape[1]),
            diffuse_amplitude=torch.where(share() < settings.diffuse_share, strong, weak),
            correlation_length=logs(settings.correlation_length_A),
            counts=logs(settings.counts),
            background=logs(settings.background),
            step_arcsec=step,
            low_arcsec=torch.minimum(low, -(MIN_POINTS * step).clamp(min=settings.low_reach_arcsec[0])),
            high_arcsec=even(settings.high_reach_arcsec),
            zero_error_arcsec=settings.zero_error_steps * step * (2 * share() - 1),
        )

    def _angle_of(self, strain: torch.Tensor) -> torch.Tensor:
        place = (strain * self._per_strain).clamp(0.0, _STRAINS - 1.001)
        below = place.long()
        return torch.lerp(self._angle[below], self._angle[below + 1], place - below)


class TensorKernels:
    """The resolution of many curves at once; see `experiment.KernelTable`.

    Args:
        kernels: The same with the processor, of two parameters.
        device: Where tensors lie.
    """

    def __init__(self, kernels: KernelTable, device: torch.device) -> None:
        self._number, self._length, self._first = kernels.number, kernels.length, kernels.first
        # Widths, shares, polarizations, frequencies.
        table = kernels.table.reshape(len(kernels.table), 2, 2, -1)
        self._table = torch.as_tensor(table, device=device)

    def smear(self, reflectivity: torch.Tensor, fwhm: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Intensity [1] behind the instrument, shape (curve, number), of sigma and pi (curve, 2, length)."""
        spectrum = torch.fft.rfft(reflectivity)
        place = (torch.log(fwhm) - self._first) / LOG_STEP
        cell = place.long().clamp(1, len(self._table) - STENCIL + 1) - 1
        t = place - cell - 1
        weights = (
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        )
        total = torch.zeros_like(spectrum[:, 0])
        # One term at a time: each is as large as what all scans reflect.
        for q, weight in enumerate(weights):
            for k, part in enumerate((1 - share, share)):
                for polarization in (0, 1):
                    kernel = self._table[cell + q, k, polarization]
                    total += (weight * part)[:, None] * kernel * spectrum[:, polarization]
        smeared: torch.Tensor = torch.fft.irfft(total, self._length)[:, : self._number]
        return smeared


def half_maximum(
    smeared: torch.Tensor, start: float, step: float, window: tuple[float, float]
) -> torch.Tensor:
    """Middle of the half-maximum range [arcsec] around each curve's strongest point in a window, shape (curve,)."""
    last_point = smeared.shape[1] - 1
    first, last = (min(max(round((edge - start) / step), 0), last_point) for edge in window)
    top = first + smeared[:, first : last + 1].argmax(dim=1, keepdim=True)
    half = 0.5 * smeared.gather(1, top)
    place = torch.arange(last_point + 1, device=smeared.device)
    below = smeared < half
    left = torch.where(below & (place < top), place, -1).amax(dim=1, keepdim=True) + 1
    right = torch.where(below & (place > top), place, last_point + 1).amin(dim=1, keepdim=True) - 1

    def crossing(inside: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
        """From the last point above half towards the first one below it; the grid's end where there is none."""
        on_grid = (outside >= 0) & (outside <= last_point)
        here, there = smeared.gather(1, inside), smeared.gather(1, outside.clamp(0, last_point))
        part = (here - half) / torch.where(on_grid, here - there, 1.0)
        return inside + torch.where(on_grid, part, 0.0) * (outside - inside)

    middle = 0.5 * (crossing(left, left - 1) + crossing(right, right + 1))
    return start + step * middle[:, 0]


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSums:
    """Points added up over the bins; see `measurement.scans.Sums`.

    Attributes:
        total: Sum of the intensities, or of the expected counts [1], shape (scan, point).
        number: Points, shape (scan, point).
        angle: Sum of their angles on the scan's axis [arcsec], shape (scan, point).
        strongest: Largest intensity of a single point [1], shape (scan,).
    """

    total: torch.Tensor
    number: torch.Tensor
    angle: torch.Tensor
    strongest: torch.Tensor


def add_up(
    smeared: torch.Tensor,
    start: float,
    step: float,
    instruments: TensorInstruments,
    offset: torch.Tensor,
    edge: torch.Tensor,
) -> TensorSums:
    """Intensities at the points of scans, added up over the bins of the network's grid; see `measurement.scans.add_up`.

    Args:
        smeared: Intensities [1] on a uniform grid of angles of incidence, shape (scan, number).
        start, step: Of that grid [arcsec].
        instruments: Set the points.
        offset: Axis of the scan minus angle of incidence [arcsec], shape (scan,).
        edge: Of the bins on the scan's axis [arcsec], shape (point + 1,).
    """
    between, low = instruments.step_arcsec[:, None], instruments.low_arcsec[:, None]
    # Points below the grid count for nothing.
    first = torch.ceil((edge[0] - low) / between).clamp(min=0)
    end = instruments.high_arcsec.clamp(max=edge[-1])[:, None]
    most = int(torch.ceil((end - low) / between - first).max()) + 1
    angle = low + (first + torch.arange(most, dtype=low.dtype, device=low.device)) * between
    inside = angle < end
    x = (angle - offset[:, None] - start) / step
    left = (x.long() - 2).clamp(0, smeared.shape[1] - INTERPOLATION_POINTS)
    fraction = x - left - 2
    seen = torch.zeros_like(x)
    for q, polynomial in enumerate(CARDINALS.tolist()):
        weight = torch.zeros_like(x)
        for coefficient in polynomial:
            weight = weight * fraction + coefficient
        seen += weight * smeared.gather(1, left + q)
    seen = torch.where(inside, seen.clamp(min=0.0), 0.0)
    column = (torch.searchsorted(edge, angle, right=True) - 1).clamp(0, len(edge) - 2)

    def over_bins(values: torch.Tensor) -> torch.Tensor:
        result = torch.zeros(len(values), len(edge) - 1, dtype=values.dtype, device=values.device)
        return result.scatter_add_(1, column, torch.where(inside, values, 0.0))

    return TensorSums(
        total=over_bins(seen),
        number=over_bins(torch.ones_like(seen)),
        angle=over_bins(angle),
        strongest=seen.amax(dim=1),
    )

