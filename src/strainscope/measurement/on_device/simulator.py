"""Scans of one sample as laboratories measure them, simulated in a device's memory; see `measurement.simulate`."""

from dataclasses import replace

import numpy as np
import torch

from strainscope.measurement.components import PEAK_WINDOW
from strainscope.measurement.on_device.coordinates import UnitCoordinates
from strainscope.measurement.on_device.grid import TensorGrid
from strainscope.measurement.on_device.instruments import (
    TensorDraws,
    TensorInstruments,
    TensorKernels,
    TensorSums,
    add_up,
    half_maximum,
)
from strainscope.measurement.on_device.optics import TensorComponents, TensorOptics
from strainscope.measurement.simulate import LabSimulator
from strainscope.prior import Prior

# CUDA draws Poisson counts in 32 bits.
_MOST_COUNTS = 4e9


class DeviceSimulator:
    """Simulated scans of one sample, from the draw of the profiles to the counting noise without a copy.

    What is drawn differs from what `LabSimulator` draws, the distributions are the same.

    Args:
        simulator: The same with the processor.
        device: Where everything lies.

    Raises:
        ValueError: families, distributions or counts that are not there in torch.
    """

    def __init__(self, simulator: LabSimulator, device: torch.device) -> None:
        optics = simulator.optics
        _check_counts(simulator)
        own = {spec.name for spec in optics.experiment.profile.parameters}
        self._coordinates = UnitCoordinates(
            Prior(
                parameters=tuple(spec for spec in optics.prior.parameters if spec.name in own),
                constraints=optics.prior.constraints,
                held={name: value for name, value in optics.prior.held.items() if name in own},
            )
        )
        self.device = device
        self.optics = TensorOptics(optics, length=simulator.kernels.length, device=device)
        self._draws = TensorDraws(
            simulator.settings,
            simulator.fwhm_range,
            stack=simulator.stack,
            largest_strain=max(map(abs, optics.strain_range())),
            device=device,
        )
        self._kernels = TensorKernels(simulator.kernels, device)
        self._grid = TensorGrid(simulator.network, device)
        self._lattice = torch.as_tensor(simulator.lattice.settings, dtype=torch.float64, device=device)
        self._angles, peak = optics.angles, optics.peak_arcsec
        self._window = peak - PEAK_WINDOW, peak + PEAK_WINDOW

    def profiles(self, number: int, generator: torch.Generator) -> torch.Tensor:
        """Parameters of so many profiles, uniform in the prior's unit coordinates, shape (number, parameter)."""
        shape = number, self._coordinates.number
        unit = torch.rand(shape, dtype=torch.float64, device=self.device, generator=generator)
        return self._coordinates.values(unit)

    def scans(self, number: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """So many scans.

        Returns:
            Rows as `estimator.features.ScanFeatures` reads them, float32 (scan, row), and the targets behind them,
            float64 (scan, target).
        """
        components = self.optics.reflect(self.profiles(number, generator))
        return self.measure(components, self._draws(components.largest, generator), generator)

    def measure(
        self, components: TensorComponents, instruments: TensorInstruments, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and targets of samples measured with counting noise; see `scans`."""
        sums, offset, scale = self.expected(components, instruments)
        # The sum of Poisson counts is a Poisson count: a bin's points need not be drawn one by one.
        # What is no number ends a training with words of its own, and CUDA's draws with an assertion.
        broken = sums.total.isnan()
        counts = torch.poisson(sums.total.nan_to_num(0.0), generator=generator).masked_fill(broken, torch.nan)
        channels, peak = self._grid.channels(counts, sums.number, sums.angle)
        told = self._grid.told(channels, instruments.step_arcsec, peak)
        lattice = self._lattice.expand(len(told), -1)
        rows = torch.cat([channels.flatten(1), lattice.float(), told.float()], dim=1)
        beside = (
            torch.log10(instruments.diffuse_amplitude),
            instruments.correlation_length,
            instruments.fwhm_arcsec,
            instruments.lorentz_fraction,
            offset,
            torch.log10(scale / peak),
            torch.log10(instruments.counts * instruments.background / peak),
        )
        return rows, torch.cat([components.profile, torch.stack(beside, dim=1)], dim=1)

    def expected(
        self, components: TensorComponents, instruments: TensorInstruments
    ) -> tuple[TensorSums, torch.Tensor, torch.Tensor]:
        """Expected counts over the bins, the scans' axis minus angle of incidence [arcsec] (scan,), and their scale."""
        start, step = self._angles.start_arcsec, self._angles.step_arcsec
        scattered = self.optics.scattered(
            components, instruments.diffuse_amplitude, instruments.correlation_length
        )
        smeared = self._kernels.smear(scattered, instruments.fwhm_arcsec, instruments.lorentz_fraction)
        offset = instruments.zero_error_arcsec - half_maximum(smeared, start, step, self._window)
        sums = add_up(smeared, start, step, instruments, offset, self._grid.edge)
        background = instruments.counts * instruments.background
        scale = (instruments.counts - background) / sums.strongest
        expected = scale[:, None] * sums.total + background[:, None] * sums.number
        return replace(sums, total=expected), offset, scale


def _check_counts(simulator: LabSimulator) -> None:
    """Raise where a bin may hold more counts than are drawn right."""
    settings = simulator.settings
    points = float(np.ceil(np.diff(simulator.network.edge).max() / settings.step_arcsec[0]))
    most = settings.counts[1] * points
    if most > _MOST_COUNTS:
        raise ValueError(
            f"{most:.2g} counts may fall into a bin of the network's grid; a GPU draws at most {_MOST_COUNTS:.0e}."
        )
