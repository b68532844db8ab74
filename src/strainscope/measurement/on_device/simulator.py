"""Scans of one sample as laboratories measure them, simulated in a device's memory; see `measurement.simulate`."""

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


class DeviceSimulator:
    """Simulated scans of one sample, from the draw of the profiles to the counting noise without a copy.

    What is drawn differs from what `LabSimulator` draws, the distributions are the same.

    Args:
        simulator: The same with the processor.
        device: Where everything lies.

    Raises:
        ValueError: a sample or settings that are not there in torch; see `why_not`.
    """

    def __init__(self, simulator: LabSimulator, device: torch.device) -> None:
        optics = simulator.optics
        own = {spec.name for spec in optics.experiment.profile.parameters}
        self._coordinates = UnitCoordinates(
            Prior(
                parameters=tuple(spec for spec in optics.prior.parameters if spec.name in own),
                constraints=optics.prior.constraints,
                held={name: value for name, value in optics.prior.held.items() if name in own},
            ),
            device,
        )
        self.device = device
        self.optics = TensorOptics(optics, length=simulator.kernels.length, device=device)
        self._draws = TensorDraws(
            simulator.settings,
            simulator.fwhm_range,
            stack=simulator.stack,
            strain_range=optics.strain_range(),
            device=device,
        )
        self._kernels = TensorKernels(simulator.kernels, device)
        self._grid = TensorGrid(simulator.network, device)
        self._lattice = torch.as_tensor(simulator.lattice.settings, dtype=torch.float64, device=device)
        self._angles, peak = optics.angles, optics.peak_arcsec
        self._window = peak - PEAK_WINDOW, peak + PEAK_WINDOW

    def profiles(self, number: int, generator: torch.Generator) -> torch.Tensor:
        """Parameters of so many profiles, uniform in the prior's unit coordinates, shape (number, parameter)."""
        shape = number, len(self._coordinates.lower)
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
        counts = torch.poisson(sums.total, generator=generator)
        channels, peak = self._grid.channels(sums, counts)
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
        counted = TensorSums(
            total=expected, number=sums.number, angle=sums.angle, strongest=sums.strongest
        )
        return counted, offset, scale


def why_not(simulator: LabSimulator) -> str | None:
    """What of a simulator's sample or settings is not there in torch; None where everything is."""
    try:
        DeviceSimulator(simulator, torch.device("cpu"))
    except ValueError as error:
        return str(error)
    return None
