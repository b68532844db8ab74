"""Scans of several samples in turn, in the units of the first: what one network can learn of all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from strainscope.measurement.batch import LabBatch, joined
from strainscope.measurement.components import Components
from strainscope.measurement.lattice import to_lattice
from strainscope.measurement.settings import LabSettings
from strainscope.measurement.simulate import BLOCK, LabSimulator
from strainscope.profile import Constraint
from strainscope.sample import Sample

Floats = NDArray[np.float64]

# What samples of one network have in common; crystal, reflection and bounds may differ.
_AGREE = "the same families of strain, disorder and resolution, and diffuse: true"


def _simulator(samples: Sequence[Sample], i: int, settings: LabSettings, seed: int) -> LabSimulator:
    """That of one of the samples, which an error names."""
    try:
        return LabSimulator(samples[i], settings, seed=seed)
    except ValueError as error:
        if len(samples) == 1:
            raise
        raise ValueError(
            f"sample[{i}] ({samples[i].title or 'without title'}): {error} All samples of a network need {_AGREE}."
        ) from None


class LabMixture:
    """Blocks of scans of several samples, which take turns; of one sample it is its simulator.

    Lengths and angles are those that the first sample's reflection would have: the same number of lattice planes, the
    same e. So all samples share the network's grid, names and bounds.

    Args:
        samples: With the same parameters.
        settings: How scans are measured.
        seed: Of everything that is drawn.

    Attributes:
        simulators: One a sample.
        names: Of the targets.
        bounds: Of each target over all samples, in the units of the first.
        constraints: Between them.
        ratios: For each sample, what its targets are multiplied by to be in the units of the first, shape (target,).

    Raises:
        ValueError: no sample, or one with other parameters than the first.
    """

    def __init__(self, samples: Sequence[Sample], settings: LabSettings, *, seed: int) -> None:
        if not samples:
            raise ValueError("no samples; give at least one.")
        self.simulators = tuple(_simulator(samples, i, settings, seed) for i in range(len(samples)))
        first = self.simulators[0].targets
        for i, simulator in enumerate(self.simulators):
            if simulator.targets.names != first.names:
                raise ValueError(
                    f"sample[{i}] has the parameters {', '.join(simulator.targets.names)}; sample[0] has "
                    f"{', '.join(first.names)}. One network needs the same of all: {_AGREE}."
                )
        self.names = first.names
        self.units = tuple(first.units[name] for name in self.names)
        self.constraints: tuple[Constraint, ...] = first.experiment.constraints
        # Exactly 1 for the first sample.
        lattices = [simulator.lattice for simulator in self.simulators]
        one = to_lattice(np.ones(len(self.units)), self.units, lattices[0])
        self.ratios = [to_lattice(np.ones(len(self.units)), self.units, own) / one for own in lattices]
        ends = np.array(
            [
                [self.in_first(np.array(row), i) for row in zip(*s.targets.bounds.values(), strict=True)]
                for i, s in enumerate(self.simulators)
            ]
        )
        low, high = ends.min(axis=(0, 1)), ends.max(axis=(0, 1))
        self.bounds: Mapping[str, tuple[float, float]] = {
            name: (float(a), float(b)) for name, a, b in zip(self.names, low, high, strict=True)
        }

    def in_first(self, values: Floats, sample: int) -> Floats:
        """Targets (*, target) of a sample in the units of the first."""
        return values * self.ratios[sample]

    def in_own(self, values: Floats, sample: int) -> Floats:
        """Targets (*, target) in the units of the first, in those of a sample: the inverse of `in_first`."""
        return values / self.ratios[sample]

    def sample_of(self, block: int) -> int:
        """Which sample a block is of."""
        return block % len(self.simulators)

    def reflect(self, block: int) -> Components:
        """What a block's samples reflect and scatter."""
        own = self.simulators[self.sample_of(block)]
        return own.reflect(own.profiles(block))

    def block(self, block: int, *, repeat: int = 0, components: Components | None = None) -> LabBatch:
        """A block of scans; see `LabSimulator.block`."""
        sample = self.sample_of(block)
        made = self.simulators[sample].block(block, repeat=repeat, components=components)
        return replace(made, values=self.in_first(made.values, sample))

    def scans(self, first: int, last: int) -> LabBatch:
        """Scans first to last - 1, whatever the blocks."""
        blocks = range(first // BLOCK, (last - 1) // BLOCK + 1)
        start = blocks[0] * BLOCK
        return joined([self.block(k) for k in blocks]).part(first - start, last - start)
