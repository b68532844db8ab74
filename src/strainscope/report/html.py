"""The result as one page that opens offline, for people."""

import base64
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from strainscope import plots
from strainscope.inversion.derived import DerivedQuantity
from strainscope.inversion.likelihood import counts_per_unit
from strainscope.inversion.result import Evidence, FittedParameter, Mode, Result
from strainscope.report.document import plain_data, yaml_text
from strainscope.report.numerals import (
    band_text,
    number_text,
    shown_unit,
    strain_text,
    time_text,
    value_text,
)
from strainscope.scan import UNITS

BADGES = {"reliable": ("good", "✓"), "check": ("fair", "!"), "do not use": ("bad", "✕")}


def report_html(
    result: Result, *, command: str | None = None, narrow: Mapping[str, bytes] | None = None
) -> str:
    """One page that opens offline: verdict, fit, profile, parameters, modes, how the error bars were made.

    Args:
        result: The inversion.
        command: What to type to repeat it.
        narrow: Pictures "fit" and "profile" as SVG for narrow screens, if they are drawn already.

    Returns:
        HTML with style and pictures inside; it loads nothing and runs nothing.
    """
    figures = {}
    for name, draw in (("fit", plots.fit_figure), ("profile", plots.profile_figure)):
        figures[name] = _svg_uri(plots.picture(draw(result, width_in=plots.PAGE_IN), kind="svg"))
        figures[f"{name}_narrow"] = _svg_uri(
            narrow[name] if narrow else plots.picture(draw(result), kind="svg")
        )
    beside = [result.seen_at(i) for i in range(len(result.beside))]
    badge, sign = BADGES.get(result.verdict.level, BADGES["do not use"])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("strainscope").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        best=result.best,
        badge=badge,
        sign=sign,
        figures=figures,
        beside=[
            {
                "label": own.label,
                "name": seen.scan.name,
                "fit": _svg_uri(plots.picture(plots.fit_figure(seen, width_in=plots.PAGE_IN), kind="svg")),
                "rms": number_text(seen.best.rms_log10, digits=3, trailing=True),
                "reduced_chi2": _chi2_text(seen.best.reduced_chi2),
                "counting_chi2": _chi2_text(seen.best.counting_chi2),
            }
            for own, seen in zip(result.beside, beside, strict=True)
        ],
        first_fit=_first_fit(result),
        counting_chi2=_chi2_text(result.best.counting_chi2),
        points=result.scan.angle.size + sum(own.scan.angle.size for own in result.beside),
        unit=UNITS[result.scan.axis],
        parameters=[parameter_row(result.best, p) for p in result.best.parameters],
        derived=[_derived_row(quantity) for quantity in result.best.derived],
        comparison=_comparison(result),
        modes=[_mode_row(rank, mode) for rank, mode in enumerate(result.modes)],
        largest=largest_strain_text(result.best),
        of_one=solutions_text(result) if len(result.modes) > 1 else "",
        noise_known=counts_per_unit(result.scan) is not None,
        sample=_yaml(result.sample),
        file=_yaml(result.scan.file) if result.scan.file else "",
        counters=_yaml(result.counters) if result.counters else "",
        evidence=_evidence_texts(result.evidence) if result.evidence else None,
        command=command,
        wall=time_text(result.wall_s),
        number=number_text,
    )


def _chi2_text(chi2: float | None) -> str:
    return "unknown" if chi2 is None else number_text(chi2, digits=3, trailing=True)


def _evidence_texts(evidence: Evidence) -> dict[str, str]:
    """By what χ² was divided, and how well the posterior of all modes was drawn."""
    factors = " and ".join(number_text(factor, digits=3) for factor in evidence.noise_factors)
    integral = number_text(evidence.log_evidence, digits=6)
    if evidence.nested_log_evidence is not None:
        nested = number_text(evidence.nested_log_evidence, digits=6)
        integral = f"{nested} by nested sampling, whose draws these are, {integral} by the weighted ones that it checks"
    return {
        "noise": (
            f"χ² was divided by {factors}: how far the residuals exceed the assumed noise, times the points for each "
            "independent one, where either is more than chance."
        ),
        "draws": (
            f"{evidence.effective_draws:,.0f} effective ones of all solutions, k̂ {evidence.pareto_k:.2f}; ln of the "
            f"evidence {integral}."
        ),
    }


def _first_fit(result: Result) -> str:
    """How well the first of several scans is fitted by itself."""
    if not result.beside:
        return ""
    own = result.best.scans[0]
    rms = number_text(own.rms_log10, digits=3, trailing=True)
    return (
        f"This scan alone: rms of log₁₀ {rms}, reduced χ² {_chi2_text(own.reduced_chi2)}, by counting noise alone "
        f"{_chi2_text(own.counting_chi2)}."
    )


def parameter_row(mode: Mode, parameter: FittedParameter) -> dict[str, Any]:
    factor, unit = shown_unit(parameter.name, parameter.unit)
    sd = None if parameter.sd is None else parameter.sd * factor
    held = parameter.name not in mode.fitted_names
    best, interval, mean = number_text(parameter.value * factor, digits=5), "", ""
    if parameter.interval_90 is not None:
        best, *limits = band_text(*(factor * x for x in (parameter.value, *parameter.interval_90)))
        interval = " to ".join(limits)
    if not held and sd is not None and parameter.mean is not None:
        mean = value_text(parameter.mean * factor, sd)
    flags = ["held"] if held else []
    if parameter.at_bound and not held:
        flags.append("held by a constraint" if parameter.bound == "constraint" else f"at {parameter.bound} bound")
    if parameter.outside:
        flags.append("outside its interval")
    if not parameter.determined:
        flags.append("not determined by this curve")
    elif not held and (sd is None or not math.isfinite(sd)):
        flags.append("no standard deviation")
    return {
        "name": parameter.name,
        "meaning": parameter.description,
        "best": best,
        "mean": mean,
        "interval": interval,
        "unit": unit,
        "lower": number_text(parameter.lower * factor),
        "upper": number_text(parameter.upper * factor),
        "held": held,
        "flags": flags,
    }


def _derived_row(quantity: DerivedQuantity) -> dict[str, str]:
    """Lengths in nm, strains in %, their product in % nm; each to a third of half its interval."""
    scale, unit = (1 / plots.ANGSTROM_PER_NM, "nm") if quantity.unit == "Å" else (plots.PERCENT, "%")
    if quantity.name == "strain_area":
        scale, unit = plots.PERCENT * scale, "% nm"
    value, *narrow = band_text(*(scale * x for x in (quantity.value, *quantity.interval_68)))
    _, *wide = band_text(*(scale * x for x in (quantity.value, *quantity.interval_95)))
    return {
        "meaning": quantity.description[0].upper() + quantity.description[1:],
        "value": value,
        "interval_68": " to ".join(narrow),
        "interval_95": " to ".join(wide),
        "unit": unit,
    }


def _comparison(result: Result) -> list[tuple[str, str, list[str]]]:
    """Name, unit and mean (if held the value) in every mode of each parameter; empty where there is one mode."""
    if len(result.modes) == 1:
        return []
    columns = [{p.name: parameter_row(mode, p) for p in mode.parameters} for mode in result.modes]
    return [
        (name, row["unit"], [_mean(column[name]) if name in column else "" for column in columns])
        for name, row in columns[0].items()
    ]


def _mean(row: Mapping[str, str]) -> str:
    return row["mean"] or row["best"]


def _mode_row(index: int, mode: Mode) -> dict[str, Any]:
    colours = (plots.BEST, *plots.OTHERS)
    strain, _, _, depth = largest_strain_text(mode)
    return {
        "rank": index + 1,
        "colour": colours[index] if index < len(colours) else plots.FURTHER,
        "weight": plots.percent_text(mode.weight),
        "chi2": number_text(mode.chi2, digits=5),
        "reduced_chi2": number_text(mode.reduced_chi2, digits=3, trailing=True),
        "rms_log10": number_text(mode.rms_log10, digits=3, trailing=True),
        "effective": f"{mode.effective_draws:,.0f}",
        "pareto": f"{mode.pareto_k:.2f}",
        "strain": strain,
        "depth": depth,
        "starts": mode.starts,
    }


def largest_strain_text(mode: Mode) -> tuple[str, str, str, str]:
    """The largest strain [%], the limits of its 68 % interval [%] and its depth [nm]."""
    strain, depth = mode.maximum_strain
    # Wherever it lies: at one depth the band of the strain is much wider where the depth is uncertain.
    (interval,) = [own.interval_68 for own in mode.derived if own.name == "maximum_strain"]
    return strain_text(strain, *interval, depth)


def solutions_text(result: Result) -> str:
    """Which solution is reported first of how many, and its weight."""
    number = len(result.modes)
    return "1 solution" if number == 1 else f"solution 1 of {number}, weight {plots.percent_text(result.best.weight)}"


def _yaml(settings: Mapping[str, Any]) -> str:
    return yaml_text(plain_data(settings)).rstrip()


def _svg_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
