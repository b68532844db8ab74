"""Scans as laboratories measure them: simulated in batches for training, and brought onto the network's grid.

A `LabSimulator` draws samples and instruments from `LabSettings` and hands out `LabBatch`; `grid_scan` brings a
measured scan onto the same `NetworkGrid` by the same definitions.
"""

from strainscope.measurement.batch import LabBatch, joined
from strainscope.measurement.components import Components
from strainscope.measurement.gridding import (
    CHANNELS,
    TOLD,
    GridAngles,
    NetworkGrid,
    angle_of,
    lattice_angle,
    told_of,
)
from strainscope.measurement.lattice import Lattice, from_lattice, lattice_of, to_lattice
from strainscope.measurement.measured import GriddedScan, grid_scan
from strainscope.measurement.mixture import LabMixture
from strainscope.measurement.scans import Instruments
from strainscope.measurement.settings import LabSettings
from strainscope.measurement.simulate import BLOCK, LATTICE, LabSimulator, drawn_block
from strainscope.measurement.targets import AMPLITUDE, Targets

__all__ = [
    "AMPLITUDE",
    "BLOCK",
    "CHANNELS",
    "LATTICE",
    "TOLD",
    "Components",
    "GridAngles",
    "GriddedScan",
    "Instruments",
    "Lattice",
    "LabBatch",
    "LabMixture",
    "LabSettings",
    "LabSimulator",
    "NetworkGrid",
    "Targets",
    "angle_of",
    "grid_scan",
    "joined",
    "from_lattice",
    "lattice_angle",
    "lattice_of",
    "to_lattice",
    "drawn_block",
    "told_of",
]
