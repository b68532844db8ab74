"""A result on paper and on disc: a page for people, JSON and CSV for programs, a folder all or nothing.

Files keep the units of the package (Å, dimensionless strain); pages and figures for people use nm and %.
"""

from strainscope.report.document import plain_data, result_document, yaml_text
from strainscope.report.folder import FILES, check_target, write_result
from strainscope.report.fragment import report_fragment
from strainscope.report.html import BADGES, largest_strain_text, report_html, solutions_text
from strainscope.report.nexus import result_nexus
from strainscope.report.numerals import number_text, shown_unit, strain_text, value_text
from strainscope.report.tables import fit_csv, profile_csv
from strainscope.report.width import width_in

__all__ = [
    "BADGES",
    "FILES",
    "check_target",
    "fit_csv",
    "largest_strain_text",
    "number_text",
    "plain_data",
    "profile_csv",
    "report_fragment",
    "report_html",
    "result_document",
    "result_nexus",
    "shown_unit",
    "solutions_text",
    "strain_text",
    "value_text",
    "width_in",
    "write_result",
    "yaml_text",
]
