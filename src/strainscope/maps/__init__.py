"""Maps: a scan at every place of a sample, inverted together; maps of every parameter, its sd and the verdict."""

from strainscope.maps.job import MapJob
from strainscope.maps.judgement import LEVELS, REASONS
from strainscope.maps.run import MapOutcome, invert_map
from strainscope.maps.stack import Stack, open_stack

__all__ = ["LEVELS", "REASONS", "MapJob", "MapOutcome", "Stack", "invert_map", "open_stack"]
