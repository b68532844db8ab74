"""A study's page, figure and JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.studies.runner import Result, Settings
from benchmarks.studies.table import MEAN, WEIGHTED_MEAN, Expectation, Study
from strainscope import plots

# One seed says nothing of differences below this share.
NOTABLE = 0.05
# Core time that variants may differ by before the page says so.
_UNEQUAL = 0.10
_COLOURS = (plots.BEST, *plots.OTHERS, "#000000")
_MARKS = "os^Dv*"


def write_page(
    name: str, study: Study, results: Mapping[str, Result], settings: Settings, docs: Path
) -> Path:
    """Write page, JSON and figure of a study below `docs`.

    Returns:
        Path of the page.
    """
    page = docs / "studies" / f"{name}.md"
    image = docs / "images" / f"study-{name}.png"
    for place in (page, image):
        place.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(plots.picture(study_figure(results), kind="png"))
    page.write_text(page_text(name, study, results, settings), encoding="utf-8")
    document = study_document(name, study, results, settings)
    page.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return page


def study_document(
    name: str, study: Study, results: Mapping[str, Result], settings: Settings
) -> dict[str, Any]:
    """All numbers of a study, as plain data."""
    return {
        "study": name,
        "question": study.question,
        "budget_minutes": settings.minutes,
        "cores": torch.get_num_threads(),
        "curves": settings.curves,
        "seed": settings.seed,
        "outcome": [overall(results), *(outcome(e, results) for e in study.expectations)],
        "variants": dict(results),
    }


# Words ------------------------------------------------------------------------------------------------------


def page_text(name: str, study: Study, results: Mapping[str, Result], settings: Settings) -> str:
    """The page as Markdown."""
    test = next(iter(results.values()))["evaluation"]["test_set"]
    cores = torch.get_num_threads()
    budget = (
        f"**Budget.** {settings.minutes:g} minutes on {cores} core{'s' if cores > 1 else ''} "
        f"({settings.minutes * cores:.3g} core-minutes) for each row, unless it says otherwise; {settings.curves:,} "
        f"training curves; seed {settings.seed}. Simulating the data, looks and checkpoints are left out. Errors are "
        f"mean absolute errors in % of the range, on the first {test['curves']:,} curves of the frozen set "
        f"`{test['name']}`."
    )
    outcomes = "\n".join(f"- {outcome(e, results)}" for e in study.expectations)
    command = (
        f"python -m benchmarks.studies {name} --minutes {settings.minutes:g} --curves {settings.curves} "
        f"--seed {settings.seed}"
    )
    parts = [
        f"# {study.title}",
        study.question,
        budget,
        _table(study, results),
        f"![Errors by parameter](../images/study-{name}.png)",
        f"**What came out.** {overall(results)}",
        outcomes,
        *study.remarks,
        *_unequal(results),
        f"One seed: differences below {100 * NOTABLE:.0f} % are not told from none. [All numbers]({name}.json). Again: "
        f"`{command}`",
    ]
    return "\n\n".join(parts) + "\n"


def overall(results: Mapping[str, Result]) -> str:
    """One sentence: which variant has the smallest error."""
    first, second = sorted(results.values(), key=lambda r: r[MEAN])[:2]
    names = list(first["mae_percent_of_range"])
    won = [
        n
        for n in names
        if min(results.values(), key=lambda r: r["mae_percent_of_range"][n])["label"] == first["label"]
    ]
    where = "all parameters" if len(won) == len(names) else ", ".join(won) or "no parameter by itself"
    return (
        f"The smallest mean error is that of “{first['label']}”, {first[MEAN]:.2f} %, before “{second['label']}” with "
        f"{second[MEAN]:.2f} %; it is the best in {where}."
    )


def outcome(expectation: Expectation, results: Mapping[str, Result]) -> str:
    """One sentence: whether what was expected came out."""
    better, worse = results[expectation.better], results[expectation.worse]
    a, b = (figure_by(r, expectation.by) for r in (better, worse))
    change = (a - b) / b
    if abs(change) < NOTABLE:
        verdict = "no difference that one seed shows"
    else:
        verdict = "as expected" if change < 0 else "against the expectation"
    said = expectation.said[0].upper() + expectation.said[1:]
    by = expectation.by if expectation.by in (MEAN, WEIGHTED_MEAN) else f"error in {expectation.by}"
    return (
        f"{said}: {by} {a:.2f} % (“{better['label']}”) against {b:.2f} % (“{worse['label']}”), "
        f"{100 * abs(change):.0f} % {'lower' if change < 0 else 'higher'}: **{verdict}**."
    )


def figure_by(result: Result, by: str) -> float:
    """A mean of a result, or its error of a parameter."""
    return float(result[by] if by in (MEAN, WEIGHTED_MEAN) else result["mae_percent_of_range"][by])


def _table(study: Study, results: Mapping[str, Result]) -> str:
    names = list(next(iter(results.values()))["mae_percent_of_range"])
    shown = [*names, MEAN, *([WEIGHTED_MEAN] if study.by_weight else [])]
    schedules = len({r["schedule"] for r in results.values()}) > 1 or any(
        r["plan"]["model"] != "posterior" for r in results.values()
    )
    head = ["", "core-minutes", "curves seen", "epochs", *(["schedule"] if schedules else []), *shown]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for r in results.values():
        best = [min(results.values(), key=lambda o: figure_by(o, by)) is r for by in shown]
        figures = [
            f"**{figure_by(r, by):.2f}**" if b else f"{figure_by(r, by):.2f}"
            for by, b in zip(shown, best, strict=True)
        ]
        effort = [f"{r['core_minutes']:.1f}", f"{r['curves_seen']:,}", f"{r['epochs']:.2g}"]
        schedule = [r["schedule"]] if schedules else []
        lines.append("| " + " | ".join([r["label"], *effort, *schedule, *figures]) + " |")
    return "\n".join(lines)


def _unequal(results: Mapping[str, Result]) -> list[str]:
    """A warning where the machine gave the variants different shares of its time."""
    rates = [r["core_minutes"] / r["budget_minutes"] for r in results.values()]
    if max(rates) <= (1 + _UNEQUAL) * min(rates):
        return []
    return [
        f"The machine was shared, or not all cores were used: a minute of the budget was {min(rates):.2f} core-minutes "
        f"for one variant, and {max(rates):.2f} for another. Repeat the study on a quiet machine "
        "before believing small differences."
    ]


# Figure -----------------------------------------------------------------------------------------------------


def study_figure(results: Mapping[str, Result]) -> Figure:
    """Errors of every parameter, and their mean, by variant, on a logarithmic axis."""
    names = [*next(iter(results.values()))["mae_percent_of_range"], MEAN]
    number = len(results)
    with style.context(["default", plots.STYLE]):
        figure = Figure(figsize=(plots.PAGE_IN, 3.0), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        for i, result in enumerate(results.values()):
            # Beside each other, so that equal errors do not hide one another.
            shift = 0.6 * ((i + 0.5) / number - 0.5)
            axes.plot(
                [k + shift for k in range(len(names))],
                [figure_by(result, n) for n in names],
                _MARKS[i % len(_MARKS)],
                color=_COLOURS[i % len(_COLOURS)],
                markersize=4,
                label=result["label"],
            )
        for k in range(len(names) - 1):
            axes.axvline(k + 0.5, color="#dddddd", linewidth=0.5, zorder=0)
        axes.set_xticks(range(len(names)), names)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", length=0)
        # Errors may all lie within a decade.
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel("Mean absolute error (% of the range)")
        figure.legend(loc="outside upper center", ncols=min(number, 3))
    return figure
