"""The corner plot of a result: every pair of fitted parameters, drawn from the posterior of the best mode."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from strainscope import plots
from strainscope.inversion import Mode, Result
from strainscope.report.numerals import number_text, shown_unit

Floats = NDArray[np.float64]

PANEL_IN, MARGIN_IN = 0.62, 1.4
_BINS = 24
# Share of a cell that its panel takes.
_PANEL = 0.92
# What the limits hold of the draws, and their room beyond it.
_LOW, _HIGH, _ROOM = 0.002, 0.998, 0.08


def corner_pictures(result: Result) -> dict[str, bytes]:
    """The corner plot as files by name; none where the result has no draws."""
    figure = corner_figure(result.best)
    if figure is None:
        return {}
    return {"corner.png": plots.picture(figure, kind="png"), "corner.svg": plots.picture(figure, kind="svg")}


def corner_figure(mode: Mode) -> Figure | None:
    """Histograms of the fitted parameters on the diagonal, draws of each pair below it, the best values as lines.

    All panels stand in one pair of axes: a hundred pairs would take half a minute to draw.

    Args:
        mode: With draws; without them there is no figure.
    """
    if mode.draws is None or not mode.fitted_names:
        return None
    columns = [_Column(mode, i) for i in range(len(mode.fitted_names))]
    number = len(columns)
    with plots.figure_style():
        size = MARGIN_IN + PANEL_IN * number
        figure = Figure(figsize=(size, size))
        margin = MARGIN_IN / size
        axes = figure.add_axes((margin, margin, 1 - 1.02 * margin, 1 - 1.02 * margin))
        axes.set(xlim=(0, number), ylim=(number, 0))
        axes.set_axis_off()
        _draw_panels(axes, columns)
        _draw_labels(axes, columns)
    return figure


class _Column:
    """One fitted parameter: draws and best value as shares of its limits, in words; lengths in nm."""

    def __init__(self, mode: Mode, i: int) -> None:
        parameter = mode.parameter(mode.fitted_names[i])
        factor, unit = shown_unit(parameter.name, parameter.unit)
        drawn, best = factor * np.asarray(mode.draws)[:, i], factor * parameter.value
        known = not unit or parameter.name.endswith(f"_{unit}")
        self.label = parameter.name if known else f"{parameter.name} ({unit})"
        low, high = np.quantile(drawn, [_LOW, _HIGH])
        low, high = min(low, best), max(high, best)
        room = _ROOM * (high - low) or max(1e-6 * abs(low), 1e-12)
        low, high = low - room, high + room
        self.best = _PANEL * (best - low) / (high - low)
        self.drawn: Floats = _PANEL * (drawn - low) / (high - low)
        self.inside = (drawn > low) & (drawn < high)
        # Where the limits' shares 0.15 and 0.85 are, in words.
        self.ticks = [
            (_PANEL * share, number_text(low + share * (high - low), digits=3)) for share in (0.15, 0.85)
        ]


def _draw_panels(axes: Any, columns: list[_Column]) -> None:  # noqa: ANN401 (Axes)
    """Cell (i, j) reaches from j to j + 1 across and from i to i + 1 down."""
    points, lines, frames = [], [], []
    for i, along in enumerate(columns):
        top, bottom = i + 1 - _PANEL, i + 1
        for j, across in enumerate(columns[: i + 1]):
            right = j + _PANEL
            frames.append([(j, top), (right, top), (right, bottom), (j, bottom), (j, top)])
            lines.append([(j + across.best, top), (j + across.best, bottom)])
            if i == j:
                continue
            lines.append([(j, bottom - along.best), (right, bottom - along.best)])
            both = across.inside & along.inside
            points.append(np.stack([j + across.drawn[both], bottom - along.drawn[both]], axis=1))
        heights, edges = np.histogram(along.drawn[along.inside], bins=_BINS, range=(0, _PANEL))
        share = 0.95 * _PANEL * heights / max(heights.max(), 1)
        axes.fill_between(
            i + np.repeat(edges, 2)[1:-1],
            bottom,
            bottom - np.repeat(share, 2),
            color=plots.BEST,
            alpha=0.5,
            lw=0,
        )
    if points:
        x, y = np.concatenate(points).T
        axes.plot(x, y, ".", color=plots.BEST, markersize=0.9, alpha=0.4, markeredgewidth=0, rasterized=True)
    axes.add_collection(LineCollection(lines, colors=plots.OTHERS[0], linewidths=0.5))
    axes.add_collection(LineCollection(frames, colors="#444444", linewidths=0.4))


def _draw_labels(axes: Any, columns: list[_Column]) -> None:  # noqa: ANN401 (Axes)
    number = len(columns)
    for i, own in enumerate(columns):
        for place, text in own.ticks:
            axes.text(i + place, number + 0.06, text, fontsize=5, rotation=90, ha="center", va="top")
            if i:
                axes.text(-0.05, i + 1 - place, text, fontsize=5, ha="right", va="center")
        axes.text(i + 0.5 * _PANEL, number + 0.62, own.label, fontsize=6, rotation=40, ha="right", va="top")
        if i:
            axes.text(-0.62, i + 1 - 0.5 * _PANEL, own.label, fontsize=6, ha="right", va="center", rotation=0)
