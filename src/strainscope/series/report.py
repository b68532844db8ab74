"""The series on one page: profiles over each other, quantities against a column, the table."""

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pyarrow as pa
from matplotlib import colormaps
from matplotlib.figure import Figure

from strainscope import plots
from strainscope.report.numerals import shown_unit
from strainscope.series.run import SCANS, Outcome
from strainscope.series.table import read_document

# What people publish of a profile, as far as it is there.
# Factors to the units in which the page shows them.
_SHOWN = {
    "maximum_strain": (plots.PERCENT, "%"),
    "maximum_strain_depth": (1 / plots.ANGSTROM_PER_NM, "nm"),
    "strain_area": (plots.PERCENT / plots.ANGSTROM_PER_NM, "% nm"),
    "damaged_depth": (1 / plots.ANGSTROM_PER_NM, "nm"),
    "maximum_free_strain": (plots.PERCENT, "%"),
}
_BADGES = {"reliable": "good", "check": "fair"}
_NOT_DRAWN = "do not use"
_COLOUR = "#1f4e79"


def write_series_report(
    outcomes: Sequence[Outcome], table: pa.Table, folder: Path, *, against: str | None, title: str
) -> None:
    """Write report.html, profiles.png, against.png and parameters.png into a folder.

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
        ("parameters", _parameters(drawn, place, label)),
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
        # Scans at one place, too, have colours of their own.
        known = [i for i, value in enumerate(place) if value is not None]
        known.sort(key=lambda i: place[i] or 0.0)
        for i, (document, name, value) in enumerate(zip(documents, names, place, strict=True)):
            if document is None:
                continue
            own = document["profile"]
            share = 0.5 if value is None or len(known) < 2 else known.index(i) / (len(known) - 1)
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
    panels = []
    for name, (factor, unit) in _SHOWN.items():
        own = [None if d is None else d["derived"].get(name) for d in documents]
        panels.append(_Panel(f"{name.replace('_', ' ')} ({unit})", factor, own, "interval_68"))
    return _against(panels, place, label, columns=2)


def _parameters(
    documents: Sequence[dict[str, Any] | None], place: Sequence[float | None], label: str
) -> Figure:
    """What was fitted, against the abscissa, with 90 % intervals."""
    fitted = {
        name: own["unit"]
        for document in documents
        if document is not None
        for name, own in document["parameters"].items()
        if not own["fixed"]
    }
    panels = []
    for name, its_unit in fitted.items():
        factor, unit = shown_unit(name, its_unit)
        found = [None if d is None else d["parameters"].get(name) for d in documents]
        panels.append(_Panel(f"{name} ({unit})" if unit else name, factor, found, "interval_90"))
    return _against(panels, place, label, columns=3)


class _Panel(NamedTuple):
    """A quantity of every scan, as result.json has it; None where it is not known."""

    label: str
    factor: float
    found: Sequence[dict[str, Any] | None]
    interval: str


def _against(
    panels: Sequence[_Panel], place: Sequence[float | None], label: str, *, columns: int
) -> Figure:
    """A panel for each quantity that any scan has."""
    shown = [panel for panel in panels if any(own is not None for own in panel.found)]
    rows = max(-(-len(shown) // columns), 1)
    with plots.figure_style():
        figure = Figure(figsize=(plots.PAGE_IN, 1.0 + (3.8 / columns) * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, shown, strict=False):
            for own, x in zip(panel.found, place, strict=True):
                if own is None or x is None:
                    continue
                value = panel.factor * own["value"]
                low, high = (panel.factor * end for end in own[panel.interval] or (own["value"],) * 2)
                apart = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
                face = _COLOUR if own.get("determined", True) else "white"
                axes.errorbar([x], [value], yerr=apart, fmt="o", color=_COLOUR, markerfacecolor=face, capsize=3)
            # Small panels, in which they would take most of the time.
            axes.minorticks_off()
            axes.set_xlabel(label)
            axes.set_title(panel.label, loc="left", fontsize="medium")
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
