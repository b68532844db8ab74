"""From a profile to expected counts: crystal × profile × instrument on the angles of a scan.

Angles here are positions: glancing angle of incidence minus that of the substrate's kinematic Bragg
condition, in arcsec, growing with the angle of incidence.
"""

from strainscope.experiment.angle_grid import AngleGrid, angle_grid, layer_peaks
from strainscope.experiment.diffuse_spread import DiffuseSpread
from strainscope.experiment.experiment import (
    DIFFUSE_PARAMETERS,
    LARGEST_MISCUT_DEG,
    SCALE_PARAMETERS,
    Experiment,
    debye_waller_power,
)
from strainscope.experiment.kernel_table import KernelTable
from strainscope.experiment.many_curves import ManyCurves
from strainscope.experiment.scan_model import ScanModel, smearing_on

__all__ = [
    "DIFFUSE_PARAMETERS",
    "LARGEST_MISCUT_DEG",
    "SCALE_PARAMETERS",
    "AngleGrid",
    "DiffuseSpread",
    "Experiment",
    "KernelTable",
    "ManyCurves",
    "ScanModel",
    "angle_grid",
    "layer_peaks",
    "smearing_on",
    "debye_waller_power",
]
