"""The series on one page: profiles over each other, quantities against a column, the table."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.figure import Figure

from strainscope import plots
from strainscope.series.run import SCANS, Outcome
from strainscope.series.table import read_document

# What people publish of a profile, as far as it is there.
# Factors to the units in which the page shows them.
_SHOWN = {
    "maximum_strain": (plots.PERCENT, "%"),
    "maximum_strain_depth": (1 / plots.ANGSTROM_PER_NM, "nm"),
    "strain_area": (plots.PERCENT / plots.ANGSTROM_PER_NM, "% nm"),
    "damaged_depth": (1 / plots.ANGSTROM_PER_NM, "nm"),
}
_BADGES = {"reliable": "good", "check": "fair"}
_NOT_DRAWN = "do not use"


def write_series_report(
    outcomes: Sequence[Outcome], table: pa.Table, folder: Path, *, against: str | None, title: str
) -> None:
    """Write report.html, profiles.png and against.png into a folder.

    Args:
        outcomes: What became of each scan.
        table: From `series_table`.
        folder: Where.
        against: Column on the abscissa; None for the order of the scans.
        title: Of the page.

    Raises:
        ValueError: there is no such column, or it does not hold numbers.
    """
    place, label = _abscissa(table, against)
    documents = [read_document(outcome) for outcome in outcomes]
    names = [outcome.file.stem for outcome in outcomes]
    pictures: dict[str, str] = {}
    # What is not to be used would only stretch the axes.
    drawn = [None if own is None or own["verdict"] == _NOT_DRAWN else own for own in documents]
    for name, figure in (
        ("profiles", _profiles(drawn, names, place, label)),
        ("against", _quantities(drawn, place, label)),
    ):
        content = plots.picture(figure, kind="png")
        (folder / f"{name}.png").write_bytes(content)
        pictures[name] = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    source = resources.files("strainscope").joinpath("templates/series.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(source).render(
        title=title,
        pictures=pictures,
        rows=_rows(outcomes, documents, place, against),
        against=against,
        left_out=sum(own is not None for own in documents) - sum(own is not None for own in drawn),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _abscissa(table: pa.Table, against: str | None) -> tuple[list[float | None], str]:
    if against is None:
        return [float(i + 1) for i in range(table.num_rows)], "scan"
    if against not in table.column_names:
        raise ValueError(f"--against {against}: no such column; there are {', '.join(table.column_names)}.")
    values = table.column(against).to_pylist()
    if any(value is not None and not isinstance(value, int | float) for value in values):
        raise ValueError(f"--against {against}: holds {values[0]!r}, no number; give a column of numbers.")
    return values, against


def _profiles(
    documents: Sequence[dict[str, Any] | None],
    names: Sequence[str],
    place: Sequence[float | None],
    label: str,
) -> Figure:
    """Strain and E of every scan with their 68 % bands, coloured by the abscissa."""
    with plots.figure_style():
        figure = Figure(figsize=(plots.PAGE_IN, 3.4), layout="constrained")
        strain, factor = figure.subplots(1, 2, sharex=True)
        known = sorted({value for value in place if value is not None})
        for document, name, value in zip(documents, names, place, strict=True):
            if document is None:
                continue
            own = document["profile"]
            share = 0.5 if value is None or len(known) < 2 else known.index(value) / (len(known) - 1)
            colour = colormaps["viridis"](0.9 * share)
            text = name if label == "scan" or value is None else f"{name} ({value:g})"
            for axes, key, factor_of in ((strain, "strain", 100.0), (factor, "debye_waller", 1.0)):
                low, high, best = (factor_of * np.array(own[k]) for k in (f"{key}_lo", f"{key}_hi", key))
                axes.fill_between(own["depth_nm"], low, high, color=colour, alpha=0.25, linewidth=0)
                axes.plot(own["depth_nm"], best, color=colour, label=text)
        strain.set(xlabel="Depth (nm)", ylabel="Strain (%)")
        factor.set(xlabel="Depth (nm)", ylabel="Static Debye-Waller factor E")
        if any(document is not None for document in documents) and len(names) <= 12:
            strain.legend(fontsize="small")
    return figure


def _quantities(
    documents: Sequence[dict[str, Any] | None], place: Sequence[float | None], label: str
) -> Figure:
    """What people publish, against the abscissa, with 68 % intervals."""
    shown = [name for name in _SHOWN if any(d is not None and name in d["derived"] for d in documents)]
    with plots.figure_style():
        figure = Figure(figsize=(plots.PAGE_IN, 1.0 + 1.9 * ((len(shown) + 1) // 2)), layout="constrained")
        grid = figure.subplots(max((len(shown) + 1) // 2, 1), 2, squeeze=False).ravel()
        for axes, name in zip(grid, shown, strict=False):
            factor, unit = _SHOWN[name]
            for document, x in zip(documents, place, strict=True):
                if document is None or x is None or name not in document["derived"]:
                    continue
                own = document["derived"][name]
                value = factor * own["value"]
                low, high = (factor * end for end in own["interval_68"] or (own["value"],) * 2)
                apart = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
                axes.errorbar([x], [value], yerr=apart, fmt="o", color="#1f4e79", capsize=3)
            axes.set(xlabel=label, ylabel=f"{name.replace('_', ' ')} ({unit})")
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
    return figure


def _rows(
    outcomes: Sequence[Outcome],
    documents: Sequence[dict[str, Any] | None],
    place: Sequence[float | None],
    against: str | None,
) -> list[dict[str, Any]]:
    rows = []
    for outcome, document, value in zip(outcomes, documents, place, strict=True):
        row: dict[str, Any] = {
            "name": outcome.file.name,
            "link": None if outcome.folder is None else f"{SCANS}/{outcome.folder.name}/report.html",
            "verdict": "failed" if document is None else document["verdict"],
            "why": [outcome.reason] if document is None else document["verdict_reasons"],
            "against": "" if value is None or against is None else f"{value:g}",
            "strain": "",
            "depth": "",
            "rms": "",
        }
        row["badge"] = _BADGES.get(row["verdict"], "bad")
        if document is not None:
            row["strain"] = f"{100 * document['maximum_strain']:.3f}"
            row["depth"] = f"{0.1 * document['maximum_strain_depth_A']:.1f}"
            row["rms"] = f"{document['fit']['rms_log10']:.4f}"
        rows.append(row)
    return rows
