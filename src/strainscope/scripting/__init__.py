"""What scripts and notebooks call: `strainscope.invert`, and a result that plots, labels and shows itself."""

from strainscope.scripting.result import Result
from strainscope.scripting.way import invert

__all__ = ["Result", "invert"]
