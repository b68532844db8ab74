"""From a scan to every profile that explains it."""

from strainscope.inversion.invert import SearchSettings, invert
from strainscope.inversion.result import DepthBands, FittedParameter, Mode, Result, Verdict

__all__ = ["DepthBands", "FittedParameter", "Mode", "Result", "SearchSettings", "Verdict", "invert"]
