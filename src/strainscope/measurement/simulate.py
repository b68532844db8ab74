"""Scans as laboratories measure them, simulated in batches: exact physics, instruments and counting noise."""

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import KernelTable, smearing_on
from strainscope.instrument import sample as sample_on_grid
from strainscope.measurement.batch import LabBatch, joined
from strainscope.measurement.components import PEAK_WINDOW, Components, SampleOptics, draw_profiles
from strainscope.measurement.gridding import (
    LONGEST_GAP,
    TOLD,
    GridAngles,
    NetworkGrid,
    angle_of,
    told_of,
)
from strainscope.measurement.lattice import Lattice, lattice_of
from strainscope.measurement.scans import Instruments, add_up, draw_instruments, half_maximum, scan_points
from strainscope.measurement.settings import LabSettings
from strainscope.measurement.targets import WIDTH, Targets, check_sample
from strainscope.sample import Sample

Floats = NDArray[np.float64]

BLOCK = 256
"""Scans that share a source of randomness; block k holds scans k × BLOCK to (k + 1) × BLOCK - 1."""

LATTICE = ("log10_coupling", "log10_absorption", "coupling_phase", "polarization")
"""What the network is told of the reflection, see `Lattice.settings`."""

# Scans that go through the instrument together: their transforms stay in the cache.
_TOGETHER = 32
# What is drawn for a block, each from a source of its own.
_PROFILES, _INSTRUMENTS, _NOISE = range(3)


class LabSimulator:
    """Simulated scans of one sample.

    A block of scans is a function of (seed, block, repeat) alone, whoever asks for it and in whatever order. What is
    expensive, the components that `reflect` gives, can be kept and measured again with another `repeat`.

    Args:
        sample: Crystal, profiles and their prior, instrument; its diffuse scattering must be on.
        settings: How scans are measured.
        grid: What the network reads.
        seed: Of everything that is drawn.

    Attributes:
        network: The grid at the sample's reflection.
        lattice: Scale of that reflection.
        targets: What is to be inferred: names, units, bounds.
        fwhm_range: Least and largest width of the resolution [arcsec].

    Raises:
        ValueError: a sample, settings or a grid that do not go together.
    """

    def __init__(
        self,
        sample: Sample,
        settings: LabSettings | None = None,
        *,
        grid: NetworkGrid | None = None,
        seed: int = 0,
    ) -> None:
        self.settings = settings or LabSettings()
        self.seed = seed
        experiment, prior = sample.experiment(), sample.prior()
        self.stack = experiment.stack
        self.lattice: Lattice = lattice_of(self.stack)
        self.network: GridAngles = (grid or NetworkGrid()).at(self.stack)
        self._check_told()
        check_sample(prior, self.settings, diffuse=experiment.diffuse)
        width = prior.parameters[prior.names.index(WIDTH)]
        self.fwhm_range = (width.lower, width.upper)
        self.optics = SampleOptics(experiment, prior, self.settings, self.network, self.fwhm_range)
        self.kernels = KernelTable(smearing_on(self.optics.angles, experiment), self.fwhm_range)
        self.targets = Targets(
            experiment=experiment,
            prior=prior,
            settings=self.settings,
            peak_heights=(self._undamaged_peak(width.upper, 1.0), self._undamaged_peak(width.lower, 0.0)),
        )

    def _check_told(self) -> None:
        beyond, step = float(self.network.edge[-1]), self.settings.step_arcsec[1]
        longest = LONGEST_GAP * self.network.peak_step
        if step > longest:
            raise ValueError(
                f"step_arcsec up to {step:g} arcsec; on the network's grid it must be <= {longest:.3g} arcsec, or what "
                "lies between the points counts as unmeasured. Change the settings or the grid's step."
            )
        needed = (1 + self.settings.zero_error_steps) * step
        if beyond <= needed:
            raise ValueError(
                f"the network's grid ends {beyond:.3g} arcsec beyond the peak; with steps of up to {step:g} arcsec it "
                f"must end more than {needed:g} arcsec beyond. Give it more points."
            )

    def _undamaged_peak(self, fwhm: float, share: float) -> float:
        """Intensity [1] at the peak of the undamaged sample."""
        reflected = self.optics.undamaged(length=self.kernels.length)
        return float(self.kernels.smear(reflected, np.array([[fwhm, share]])).max())

    @property
    def told_names(self) -> tuple[str, ...]:
        """What the network is told beside the channels, in order."""
        return LATTICE + TOLD

    def block(self, block: int, *, repeat: int = 0, components: Components | None = None) -> LabBatch:
        """A block of scans.

        Args:
            block: Which one, >= 0.
            repeat: Instruments and noise are drawn anew for each, >= 0.
            components: Of its profiles, if they are there already.

        Raises:
            ValueError: a negative number.
        """
        _require_counting("repeat", repeat)
        known, instruments = self.conditions(block, repeat=repeat, components=components)
        return self.measure(known, instruments, rng=_source(self.seed, _NOISE, block, repeat))

    def conditions(
        self, block: int, *, repeat: int = 0, components: Components | None = None
    ) -> tuple[Components, Instruments]:
        """What a block of scans is made of, without the noise; see `block`."""
        known = self.reflect(self.profiles(block)) if components is None else components
        return known, self.instruments(known, rng=_source(self.seed, _INSTRUMENTS, block, repeat))

    def scans(self, first: int, last: int, *, repeat: int = 0) -> LabBatch:
        """Scans first to last - 1, whatever the blocks.

        Raises:
            ValueError: a range that holds none.
        """
        if not 0 <= first < last:
            raise ValueError(f"scans {first} to {last}; they must be 0 <= first < last.")
        blocks = range(first // BLOCK, (last - 1) // BLOCK + 1)
        start = blocks[0] * BLOCK
        return joined([self.block(k, repeat=repeat) for k in blocks]).part(first - start, last - start)

    def profiles(self, block: int) -> Floats:
        """Parameters of a block's profiles, uniform in the prior's unit coordinates, shape (BLOCK, parameter).

        Raises:
            ValueError: a negative number.
        """
        _require_counting("block", block)
        return self.optics.profiles(BLOCK, rng=_source(self.seed, _PROFILES, block))

    def reflect(self, profile: Floats) -> Components:
        """What samples with these profiles reflect and scatter, values (scan, parameter)."""
        return self.optics.reflect(profile)

    def instruments(self, components: Components, *, rng: np.random.Generator) -> Instruments:
        """How those samples are measured, drawn from the settings."""
        strain = components.maximum_strain
        return draw_instruments(
            self.settings, self.fwhm_range, angle_of(strain / (1 + strain), self.stack), rng=rng
        )

    def measure(
        self, components: Components, instruments: Instruments, *, rng: np.random.Generator
    ) -> LabBatch:
        """Scans of the samples with counting noise.

        Raises:
            ValueError: not one instrument for each sample, or a width or length beyond those that are tabulated.
        """
        self._check_instruments(components, instruments)
        parts = []
        for first in range(0, len(components), _TOGETHER):
            chosen = slice(first, first + _TOGETHER)
            parts.append(self._measured(components.part(chosen), instruments.part(chosen), rng))
        return joined(parts)

    def points(self, components: Components, instruments: Instruments) -> list[tuple[Floats, Floats, Floats]]:
        """Every point of the scans as ideal instruments would count them, for a look or a check.

        Returns:
            For each scan its angles on the scan's axis [arcsec] and expected counts, shape (m,), and the targets,
            shape (target,), with the scale as of the expected peak.
        """
        self._check_instruments(components, instruments)
        angles = self.optics.angles
        smeared, offset = self._seen(components, instruments)
        background = instruments.counts * instruments.background
        scale, result = np.empty(len(offset)), []
        for i in range(len(offset)):
            at = scan_points(instruments, i, self.network.edge)
            signal = sample_on_grid(smeared[i], angles.start_arcsec, angles.step_arcsec, at - offset[i])
            scale[i] = (instruments.counts[i] - background[i]) / signal.max()
            result.append((at, np.asarray(scale[i] * signal + background[i], dtype=np.float64)))
        values = self._values(components, instruments, offset, scale, instruments.counts)
        return [(*pair, row) for pair, row in zip(result, values, strict=True)]

    def _check_instruments(self, components: Components, instruments: Instruments) -> None:
        if len(components) != len(instruments):
            raise ValueError(f"{len(components)} samples and {len(instruments)} instruments; give one each.")
        rows = (
            ("fwhm_arcsec", instruments.fwhm_arcsec, self.fwhm_range, " arcsec"),
            (
                "correlation_length",
                instruments.correlation_length,
                self.settings.correlation_length_A,
                " Å",
            ),
        )
        for name, values, (low, high), unit in rows:
            bad = ~((values >= low) & (values <= high))
            if bad.any():
                i = int(np.argmax(bad))
                raise ValueError(
                    f"{name}[{i}] = {values[i]:g}{unit}; it must lie in {low:g} to {high:g}{unit}."
                )

    def _seen(self, components: Components, instruments: Instruments) -> tuple[Floats, Floats]:
        """Intensities [1] on the uniform grid, (scan, number), and scan's axis minus angle of incidence [arcsec]."""
        angles = self.optics.angles
        scattered = self.optics.scattered(
            components,
            instruments.diffuse_amplitude,
            instruments.correlation_length,
            length=self.kernels.length,
        )
        smeared = self.kernels.smear(
            scattered, np.stack([instruments.fwhm_arcsec, instruments.lorentz_fraction], axis=1)
        )
        peak = self.optics.peak_arcsec
        window = (peak - PEAK_WINDOW, peak + PEAK_WINDOW)
        middle = half_maximum(smeared, angles.start_arcsec, angles.step_arcsec, window)
        return smeared, instruments.zero_error_arcsec - middle

    def _measured(
        self, components: Components, instruments: Instruments, rng: np.random.Generator
    ) -> LabBatch:
        angles = self.optics.angles
        smeared, offset = self._seen(components, instruments)
        sums = add_up(
            smeared, angles.start_arcsec, angles.step_arcsec, instruments, offset, self.network.edge
        )
        background = instruments.counts * instruments.background
        scale = (instruments.counts - background) / sums.strongest
        # The sum of Poisson counts is a Poisson count: a bin's points need not be drawn one by one.
        total = rng.poisson(scale[:, None] * sums.total + background[:, None] * sums.number)
        channels, peak = self.network.channels(total.astype(np.float64), sums.number, sums.angle)
        told = told_of(channels, instruments.step_arcsec / self.network.peak_step, peak)
        lattice = np.broadcast_to(self.lattice.settings, (len(told), len(LATTICE)))
        return LabBatch(
            channels=channels,
            told=np.concatenate([lattice, told], axis=1).astype(np.float32),
            told_names=self.told_names,
            values=self._values(components, instruments, offset, scale, peak),
            names=self.targets.names,
            maximum_strain=components.maximum_strain,
            disorder=components.largest_disorder,
            peak_counts=peak,
        )

    def _values(
        self, components: Components, instruments: Instruments, offset: Floats, scale: Floats, peak: Floats
    ) -> Floats:
        """Targets, shape (scan, target)."""
        others = (
            np.log10(instruments.diffuse_amplitude),
            instruments.correlation_length,
            instruments.fwhm_arcsec,
            instruments.lorentz_fraction,
            offset,
            np.log10(scale / peak),
            np.log10(instruments.counts * instruments.background / peak),
        )
        return np.concatenate([components.profile, np.stack(others, axis=1)], axis=1)


def drawn_block(
    sample: Sample, settings: LabSettings, *, seed: int, block: int
) -> tuple[Floats, Floats, Instruments]:
    """What a sample's simulator with that seed draws for a block, without simulating anything.

    Returns:
        Profiles (BLOCK, parameter), their largest strains (BLOCK,), and how they are measured.
    """
    experiment, prior = sample.experiment(), sample.prior()
    family = experiment.profile.strain
    profile = draw_profiles(experiment, prior, BLOCK, rng=_source(seed, _PROFILES, block))
    strain = np.asarray(family.maximum(profile[:, : len(family.parameters)])[0], dtype=np.float64)
    width = prior.parameters[prior.names.index(WIDTH)]
    angle = angle_of(strain / (1 + strain), experiment.stack)
    rng = _source(seed, _INSTRUMENTS, block, 0)
    return profile, strain, draw_instruments(settings, (width.lower, width.upper), angle, rng=rng)


def _source(seed: int, kind: int, *place: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(kind, *place))))


def _require_counting(name: str, number: int) -> None:
    if number < 0:
        raise ValueError(f"{name} = {number}; it must be >= 0.")
