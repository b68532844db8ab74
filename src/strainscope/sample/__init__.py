"""Sample files: what was measured, with what, and what is to be fitted, as YAML.

A file is checked as a whole when it is loaded: every key, every number, and that the experiment can be built
from it. What is wrong is one line that names the file, the key, the value and what is allowed.
"""

from strainscope.sample.again import is_result, read_result, values_at
from strainscope.sample.build import monochromator_table
from strainscope.sample.instrument import instrument_text, load_instrument, with_instrument
from strainscope.sample.measured import as_measured
from strainscope.sample.messages import at_key, did_you_mean
from strainscope.sample.parts import LARGEST_CIF_BYTES
from strainscope.sample.radmax import radmax_sample
from strainscope.sample.reading import load_sample, parse_yaml, preset_text, presets
from strainscope.sample.sample import Sample

__all__ = [
    "LARGEST_CIF_BYTES",
    "Sample",
    "as_measured",
    "at_key",
    "did_you_mean",
    "instrument_text",
    "load_instrument",
    "is_result",
    "load_sample",
    "monochromator_table",
    "parse_yaml",
    "preset_text",
    "presets",
    "radmax_sample",
    "read_result",
    "values_at",
    "with_instrument",
]
