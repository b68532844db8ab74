"""Files to scans: text of two or three columns, and what instruments write."""

from strainscope.readers.files import (
    INSTRUMENT_SUFFIXES,
    chosen_scan,
    is_instrument_file,
    read_file,
)
from strainscope.readers.recorded import RecordedScan
from strainscope.readers.scans import read_scan
from strainscope.readers.srim import read_srim
from strainscope.readers.text import LARGEST_SCAN_BYTES, read_text
from strainscope.readers.understood import document_heading, document_lines, file_documents

__all__ = [
    "INSTRUMENT_SUFFIXES",
    "LARGEST_SCAN_BYTES",
    "RecordedScan",
    "chosen_scan",
    "document_heading",
    "document_lines",
    "file_documents",
    "is_instrument_file",
    "read_file",
    "read_scan",
    "read_srim",
    "read_text",
]
