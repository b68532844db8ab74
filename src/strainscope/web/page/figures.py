"""Charts as plain data for the page. Curves that follow sliders are filled in by the page's script."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from strainscope import plots
from strainscope.scan import UNITS

Figure = dict[str, Any]
CONFIG = {"displaylogo": False, "responsive": False, "modeBarButtonsToRemove": ["lasso2d", "select2d"]}
_DASHES = ("dash", "dashdot", "dot", "longdashdot")
_SERIES = (plots.BEST, *plots.OTHERS, "#56B4E9", "#7a7a7a")
# Words and factor of what people publish, in % and nm.
_SHOWN = {
    "maximum_strain": ("Max. strain (%)", 100.0),
    "maximum_strain_depth": ("its depth (nm)", 0.1),
    "strain_area": ("Strain area (% nm)", 10.0),
    "damaged_depth": ("Damaged depth (nm)", 0.1),
}


def live_curve() -> Figure:
    """Measured and simulated curve above their residuals, without data."""
    return {
        "data": [_points([], []), _line([], [], "simulated"), _residual_line()],
        "layout": _stacked("", "Intensity", "Δ log₁₀", logarithmic=True),
        "config": CONFIG,
    }


def live_profile() -> Figure:
    """Strain above E over depth, without data."""
    return {
        "data": [_line([], [], "strain"), _line([], [], "E", on="y2", dash="dash")],
        "layout": _stacked("Depth (nm)", "Strain (%)", "E", logarithmic=False, share=0.52)
        | {"showlegend": False},
        "config": CONFIG,
    }


def angle_label(axis: str) -> str:
    """Of an axis, with its unit."""
    return f"{plots.AXIS_SYMBOLS[axis]} ({UNITS[axis]})"


def intensity_label(kind: str) -> str:
    """Of the intensity."""
    return "Counts" if kind == "counts" else "Intensity"


def fit_figure(document: dict[str, Any], fit: str, reflection: dict[str, Any] | None = None) -> Figure:
    """Measured against fitted, every mode, and the residuals of the best.

    Args:
        document: result.json.
        fit: fit.csv.
        reflection: Of the further ones in the document, that of `fit`; None for the first.
    """
    rows = list(csv.DictReader(io.StringIO(fit)))
    angle, measured = ([float(row[key]) for row in rows] for key in ("angle", "measured"))
    residual = _plain([float(row["residual_log10"]) for row in rows])
    data = [_points(angle, [value if value > 0 else None for value in measured])]
    scan = document["scan"] if reflection is None else reflection["scan"]
    curves = [mode["fitted"] for mode in document["modes"]] if reflection is None else reflection["fitted"]
    for rank, fitted in enumerate(curves):
        data.append(_line(angle, fitted, _mode_name(document, rank)) | _look(rank))
    data.append(_points(angle, residual, on="y2", name="residual"))
    layout = _stacked(
        angle_label(scan["axis"]), intensity_label(scan["intensity_kind"]), "Δ log₁₀", logarithmic=True
    )
    at = scan["substrate_angle"]
    if at is not None and angle and angle[0] < at < angle[-1]:
        line = {"color": plots.SUBSTRATE, "width": 1, "dash": "dash"}
        layout["shapes"] = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}
        ]
    return {"data": data, "layout": layout, "config": CONFIG}


def bands_figure(document: dict[str, Any]) -> Figure:
    """Strain and E over depth: the best mode with its bands, the others as lines."""
    own = document["modes"][0]["profile"]
    data: list[Figure] = []
    for key, on, factor in (("strain", "y", plots.PERCENT), ("debye_waller", "y2", 1.0)):
        for ending, alpha, words in (("_95", 0.16, "95 % band"), ("", 0.3, "68 % band")):
            data += _band(own, key, ending, on, factor, alpha, words if on == "y" else None)
        for rank, mode in enumerate(document["modes"]):
            values = _scaled(mode["profile"][key], factor)
            line = _line(mode["profile"]["depth_nm"], values, _mode_name(document, rank), on=on) | _look(rank)
            data.append(line | {"showlegend": on == "y"})
    layout = _stacked("Depth (nm)", "Strain (%)", "Debye–Waller E", logarithmic=False, share=0.52)
    return {"data": data, "layout": layout, "config": CONFIG}


def series_figure(documents: Sequence[dict[str, Any]], names: Sequence[str]) -> Figure:
    """Strain and E of several results over each other, with 68 % bands."""
    data: list[Figure] = []
    for i, (document, name) in enumerate(zip(documents, names, strict=True)):
        colour, own = _SERIES[i % len(_SERIES)], document["profile"]
        dash = "solid" if i < len(_SERIES) else "dash"
        for key, on, factor in (("strain", "y", plots.PERCENT), ("debye_waller", "y2", 1.0)):
            data += _band(own, key, "", on, factor, 0.15, None, colour)
            line = {"color": colour, "width": 2, "dash": dash}
            data.append(
                _line(own["depth_nm"], _scaled(own[key], factor), name, on=on)
                | {"line": line, "meta": None, "showlegend": on == "y", "legendgroup": name}
            )
    layout = _stacked("Depth (nm)", "Strain (%)", "Debye–Waller E", logarithmic=False, share=0.52)
    return {"data": data, "layout": layout, "config": CONFIG}


def quantities_figure(documents: Sequence[dict[str, Any]], places: Sequence[float], label: str) -> Figure:
    """What is derived from several results against a number of each, with 68 % intervals."""
    shown = [name for name in _SHOWN if all(name in own["derived"] for own in documents)]
    data: list[Figure] = []
    layout = _plain_layout() | {
        "grid": {"rows": (len(shown) + 1) // 2, "columns": 2, "pattern": "independent"}
    }
    for i, name in enumerate(shown):
        end = "" if i == 0 else str(i + 1)
        words, factor = _SHOWN[name]
        own = [document["derived"][name] for document in documents]
        values = [factor * entry["value"] for entry in own]
        limits = [[factor * x for x in entry["interval_68"] or [entry["value"]] * 2] for entry in own]
        data.append(
            {
                "x": list(places),
                "y": values,
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [max(high - value, 0) for value, (_, high) in zip(values, limits, strict=True)],
                    "arrayminus": [
                        max(value - low, 0) for value, (low, _) in zip(values, limits, strict=True)
                    ],
                },
                "mode": "markers",
                "meta": "best",
                "marker": {"color": plots.BEST, "size": 8},
                "xaxis": f"x{end}",
                "yaxis": f"y{end}",
                "showlegend": False,
            }
        )
        layout[f"yaxis{end}"] = _axis(words)
        layout[f"xaxis{end}"] = _axis(label) | ({"dtick": 1} if label == "scan" and len(places) < 15 else {})
    return {"data": data, "layout": layout, "config": CONFIG}


def _mode_name(document: dict[str, Any], rank: int) -> str:
    if len(document["modes"]) == 1:
        return "best fit"
    return f"mode {rank + 1}, {plots.percent_text(document['modes'][rank]['weight'])}"


def _look(rank: int) -> Figure:
    if rank == 0:
        return {}
    colour = plots.OTHERS[(rank - 1) % len(plots.OTHERS)]
    return {"line": {"color": colour, "width": 1.5, "dash": _DASHES[(rank - 1) % len(_DASHES)]}, "meta": None}


def _points(x: Sequence[Any], y: Sequence[Any], *, on: str = "y", name: str = "measured") -> Figure:
    return {
        "x": x,
        "y": y,
        "name": name,
        "mode": "markers",
        "marker": {"color": plots.MEASURED, "size": 4},
        "meta": "points",
        "yaxis": on,
        "showlegend": on == "y",
    }


def _residual_line() -> Figure:
    """A line, as a script writes one path faster than as many points."""
    line = {"color": plots.MEASURED, "width": 1.2}
    return _line([], [], "residual", on="y2") | {"line": line, "meta": "points", "showlegend": False}


def _line(x: Sequence[Any], y: Sequence[Any], name: str, *, on: str = "y", dash: str = "solid") -> Figure:
    line = {"color": plots.BEST, "width": 2, "dash": dash, "simplify": False}
    return {"x": x, "y": y, "name": name, "mode": "lines", "line": line, "meta": "best", "yaxis": on}


def _band(
    profile: dict[str, Any],
    key: str,
    ending: str,
    on: str,
    factor: float,
    alpha: float,
    words: str | None,
    colour: str = plots.BEST,
) -> list[Figure]:
    """Two invisible lines with the room between them filled."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    depth = profile["depth_nm"]
    edge = {
        "x": depth,
        "mode": "lines",
        "line": {"width": 0},
        "yaxis": on,
        "hoverinfo": "skip",
        "showlegend": False,
    }
    low, high = (_scaled(profile[f"{key}_{side}{ending}"], factor) for side in ("lo", "hi"))
    fill = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},{alpha})"}
    named = {} if words is None else {"name": words, "showlegend": True}
    return [edge | {"y": low}, edge | {"y": high} | fill | named]


def _plain(values: Sequence[float]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values]


def _scaled(values: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if value is None else factor * value for value in values]


def _axis(title: str) -> Figure:
    return {
        "title": {"text": title, "standoff": 6},
        "automargin": True,
        "showline": True,
        "ticks": "outside",
        "ticklen": 4,
        "zeroline": False,
    }


def _plain_layout() -> Figure:
    return {
        "margin": {"l": 62, "r": 12, "t": 24, "b": 44},
        "uirevision": "kept",
        "font": {"family": "system-ui, sans-serif", "size": 13},
        "hovermode": "closest",
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    }


def _stacked(x: str, upper: str, lower: str, *, logarithmic: bool, share: float = 0.26) -> Figure:
    """Two charts over one abscissa; the lower one takes that share."""
    above = _axis(upper) | {"domain": [share + 0.06, 1]}
    if logarithmic:
        above |= {"type": "log", "exponentformat": "power", "dtick": 1}
    return _plain_layout() | {
        "xaxis": _axis(x) | {"anchor": "y2"},
        "yaxis": above,
        "yaxis2": _axis(lower) | {"domain": [0, share]},
    }
