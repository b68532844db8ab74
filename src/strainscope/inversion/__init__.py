"""From a scan to every profile that explains it."""

from strainscope.inversion.calibrate import Calibrated, Calibration, calibrate
from strainscope.inversion.invert import invert
from strainscope.inversion.joint import Companion
from strainscope.inversion.nested import require_nested
from strainscope.inversion.result import DepthBands, Evidence, FittedParameter, Mode, Result, Verdict
from strainscope.inversion.settings import PosteriorSettings, SearchSettings

__all__ = [
    "Calibrated",
    "Calibration",
    "Companion",
    "DepthBands",
    "Evidence",
    "FittedParameter",
    "Mode",
    "PosteriorSettings",
    "Result",
    "SearchSettings",
    "Verdict",
    "calibrate",
    "invert",
    "require_nested",
]
