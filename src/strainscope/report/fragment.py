"""The result as a piece of a page, for notebooks."""

import base64
from importlib import resources

import jinja2

from strainscope import plots
from strainscope.inversion.result import Result
from strainscope.report.html import BADGES, largest_strain_text, parameter_row, solutions_text
from strainscope.report.numerals import number_text

TONES = {"good": "#1a7f37", "fair": "#8a5a00", "bad": "#b42318"}


def report_fragment(result: Result) -> str:
    """Verdict with its reasons, figure and parameters, as HTML that stands inside another page.

    Args:
        result: The inversion.

    Returns:
        One `div` with its style and picture inside; it loads nothing and runs nothing.
    """
    kind, sign = BADGES.get(result.verdict.level, BADGES["do not use"])
    figure = plots.picture(plots.summary_figure(result), kind="png")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("strainscope").joinpath("templates/fragment.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        tone=TONES[kind],
        sign=f"{sign} ",
        largest=largest_strain_text(result.best),
        rms=number_text(result.best.rms_log10, digits=3, trailing=True),
        reduced_chi2=number_text(result.best.reduced_chi2, digits=3, trailing=True),
        modes=solutions_text(result),
        figure="data:image/png;base64," + base64.b64encode(figure).decode("ascii"),
        parameters=[parameter_row(result.best, p) for p in result.best.parameters],
    )
