"""From a scan to every profile that explains it."""

from strainscope.inversion.invert import invert
from strainscope.inversion.result import DepthBands, FittedParameter, Mode, Result, Verdict
from strainscope.inversion.settings import SearchSettings

__all__ = ["DepthBands", "FittedParameter", "Mode", "Result", "SearchSettings", "Verdict", "invert"]
