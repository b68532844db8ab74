"""Many scans of one kind: a folder or a list inverted side by side, one table, one report of the series."""

from strainscope.series.job import Job, invert_file, invert_scans, jobs_for
from strainscope.series.listing import check_numbers, find_scans, read_columns, read_rows
from strainscope.series.report import write_series_report
from strainscope.series.run import Outcome, run_series
from strainscope.series.table import series_table, write_table

__all__ = [
    "Job",
    "Outcome",
    "check_numbers",
    "find_scans",
    "invert_file",
    "invert_scans",
    "jobs_for",
    "read_columns",
    "read_rows",
    "run_series",
    "series_table",
    "write_series_report",
    "write_table",
]
