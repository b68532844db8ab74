"""Strain and disorder with depth from X-ray rocking curves: every profile that explains the scan.

The names below are what scripts need; they are imported on first use, so that `import strainscope` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strainscope.crystal import builtin_crystal, reflection
    from strainscope.diffraction import rocking_curve
    from strainscope.experiment import Experiment
    from strainscope.readers import read_scan
    from strainscope.report import write_result
    from strainscope.sample import Sample, load_sample
    from strainscope.scan import Scan
    from strainscope.scripting import Result, invert

_HOMES = {
    "Experiment": "experiment",
    "Result": "scripting",
    "Sample": "sample",
    "Scan": "scan",
    "builtin_crystal": "crystal",
    "invert": "scripting",
    "load_sample": "sample",
    "read_scan": "readers",
    "reflection": "crystal",
    "rocking_curve": "diffraction",
    "write_result": "report",
}

__all__ = [
    "Experiment",
    "Result",
    "Sample",
    "Scan",
    "builtin_crystal",
    "invert",
    "load_sample",
    "read_scan",
    "reflection",
    "rocking_curve",
    "write_result",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module 'strainscope' has no attribute {name!r}")
    return getattr(import_module(f"strainscope.{_HOMES[name]}"), name)
