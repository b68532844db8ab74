"""The instrument between a reflectivity and its counts: resolution, spectrum, polarization, statistics.

Angles are in arcsec on uniform grids. A `Smearing` is built once per grid and applied to any number of
curves; `sample` then reads them off at the measured angles.
"""

from strainscope.instrument.counting import counts, poisson_deviance, sigma_of_counts
from strainscope.instrument.grid import sample, sample_gradient, sample_transposed
from strainscope.instrument.resolution import (
    Gaussian,
    Lorentzian,
    NoResolution,
    PseudoVoigt,
    Resolution,
    SplitPseudoVoigt,
)
from strainscope.instrument.smearing import Smearing, widest_step
from strainscope.instrument.spectrum import Spectrum, monochromator_polarization, spectrum_on_axis
from strainscope.instrument.tabulated import MeasuredResolution, MonochromatorCurve
from strainscope.instrument.windowed import WindowedLorentzian

__all__ = [
    "Gaussian",
    "Lorentzian",
    "MeasuredResolution",
    "MonochromatorCurve",
    "NoResolution",
    "PseudoVoigt",
    "Resolution",
    "Smearing",
    "Spectrum",
    "SplitPseudoVoigt",
    "WindowedLorentzian",
    "counts",
    "monochromator_polarization",
    "poisson_deviance",
    "sample",
    "sample_gradient",
    "sample_transposed",
    "sigma_of_counts",
    "spectrum_on_axis",
    "widest_step",
]
