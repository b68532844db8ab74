"""Figures of a comparison: counts of all parameters, chi², one parameter in detail, pair coverage, peaks."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from strainscope import plots
from strainscope.dataset.compare import Comparison
from strainscope.dataset.evenness import Evenness, ParameterEvenness
from strainscope.dataset.peaks import PeakVerification

Floats = NDArray[np.float64]

COLOURS = (plots.OTHERS[0], plots.BEST)
# An earlier report's target for the chi² of a million samples.
TARGET_CHI2 = 10_000
MILLION = 1_000_000
# Where chi² = 0 is drawn on the logarithmic axis.
_FLOOR = 0.1
_DETAIL = "L2"


def comparison_figures(comparison: Comparison) -> Mapping[str, Figure]:
    """The figures of a comparison by the names of their files, without suffix."""
    draws = {
        "histograms": histogram_figure,
        "chi2": chi2_figure,
        "detail": detail_figure,
        "pair-coverage": coverage_figure,
    }
    return {name: draw(comparison) for name, draw in draws.items()}


def histogram_figure(comparison: Comparison) -> Figure:
    """Counts of every parameter over the even count, both datasets side by side."""
    with _style():
        number = len(comparison.rows)
        columns = min(4, number)
        lines = -(-number // columns)
        figure = Figure(figsize=(plots.PAGE_IN, 0.4 + 1.75 * lines), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, row in zip(panels, comparison.rows, strict=False):
            for side, parameter in enumerate((row.first, row.second)):
                relative = parameter.counts * len(parameter.counts) / parameter.size
                _bars(axes, (row.first, row.second), side, relative, label=_names(comparison)[side])
            axes.axhline(1, color=plots.MEASURED, linewidth=0.6, dashes=(4, 2))
            axes.set_title(_label(row.first), fontsize=8, pad=3)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            _plain(axes)
        for axes in panels[number:]:
            axes.remove()
        for axes in panels[:number:columns]:
            axes.set_ylabel("count / even count")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def chi2_figure(comparison: Comparison) -> Figure:
    """chi² a million samples of every parameter, logarithmic, with the improvement above each pair and the target."""
    with _style():
        figure = Figure(figsize=(plots.PAGE_IN, 3.2), layout="constrained")
        axes = figure.subplots()
        place = np.arange(len(comparison.rows))
        both = (comparison.first, comparison.second)
        values = np.array(
            [[MILLION / p.size * p.chi2 for p in (row.first, row.second)] for row in comparison.rows]
        )
        highest = max(values.max(), TARGET_CHI2)
        floor = min(_FLOOR, values[values > 0].min(initial=_FLOOR) / 2)
        axes.set_yscale("log")
        for side in (0, 1):
            shown = np.maximum(values[:, side], floor)
            axes.bar(
                place + (side - 0.5) * 0.38,
                shown,
                0.36,
                color=COLOURS[side],
                label=_names(comparison)[side],
            )
            for x, value in zip(place + (side - 0.5) * 0.38, values[:, side], strict=True):
                if value <= floor:
                    axes.annotate(
                        "0", (x, floor), (0, 2), textcoords="offset points", ha="center", fontsize=7
                    )
        for x, row in zip(place, comparison.rows, strict=True):
            text = "–" if row.improvement is None else f"{row.improvement:+.1f} %".replace("-", "−")
            top = max(*values[x], floor)
            axes.annotate(
                text,
                (x, top),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=7,
                color=_tone(row.better),
                # The target line would otherwise run through the text.
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
        axes.axhline(
            TARGET_CHI2,
            color=plots.OTHERS[1],
            linewidth=0.8,
            dashes=(4, 2),
            label=f"an earlier report's target, {TARGET_CHI2:,}",
        )
        axes.set_xticks(place, [row.name for row in comparison.rows])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", which="both", length=0)
        axes.set_ylim(floor * 0.7, highest * 4)
        axes.set_ylabel(
            "χ² of the counts" if all(e.size == MILLION for e in both) else "χ² a million samples"
        )
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure


def detail_name(comparison: Comparison) -> str:
    """The parameter that is shown in detail: L2 where there is one, else the one that changed most."""
    names = [row.name for row in comparison.rows]
    if _DETAIL in names:
        return _DETAIL
    change = [abs(row.improvement or 0.0) for row in comparison.rows]
    return names[int(np.argmax(change))]


def detail_figure(comparison: Comparison) -> Figure:
    """One parameter: how the samples lie over its range on the left, count of each value on the right."""
    name = detail_name(comparison)
    (row,) = (row for row in comparison.rows if row.name == name)
    both = (row.first, row.second)
    with _style():
        figure = Figure(figsize=(plots.PAGE_IN, 2.7), layout="constrained")
        left, right = figure.subplots(1, 2)
        edges = _common_edges(both)
        for side, parameter in enumerate(both):
            share = plots.PERCENT / parameter.size * parameter.counts
            height, _ = np.histogram(parameter.levels.values, bins=edges, weights=share)
            label = _names(comparison)[side]
            left.stairs(height, edges, color=COLOURS[side], linewidth=1.1, label=label)
            left.stairs(height, edges, color=COLOURS[side], alpha=0.2, fill=True)
            _bars(right, both, side, parameter.counts / 1000, label=label)
            right.axhline(
                parameter.size / len(parameter.counts) / 1000,
                color=COLOURS[side],
                linewidth=0.8,
                dashes=(4, 2),
                zorder=3,
            )
        for axes in (left, right):
            axes.set_xlabel(_label(row.first))
            _plain(axes)
        left.set_ylabel("share of the samples (%)")
        right.set_ylabel("samples per value (thousands)")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def coverage_figure(comparison: Comparison) -> Figure:
    """Share of the valid cells that occur, for every pair of parameters, one triangle a dataset."""
    with _style():
        number = len(comparison.rows)
        height = min(4.2, 0.8 + 0.42 * number)
        figure = Figure(figsize=(plots.PAGE_IN, height), layout="constrained")
        panels = figure.subplots(1, 2)
        image: Any = None
        for axes, evenness, name in zip(
            panels, (comparison.first, comparison.second), _names(comparison), strict=True
        ):
            image = _triangle(axes, evenness)
            axes.set_title(f"{name}: mean {plots.PERCENT * evenness.coverage:.4g} %", fontsize=8)
        bar = figure.colorbar(image, ax=list(panels), shrink=0.8, pad=0.02)
        bar.set_label("valid cells that occur (%)")
        bar.ax.minorticks_off()
    return figure


def peak_figure(peaks: PeakVerification, *, name: str = "", start: int = 50) -> Figure:
    """Histogram of the peak's index over a dataset, and where a window starts."""
    with _style():
        figure = Figure(figsize=(plots.PAGE_IN, 2.4), layout="constrained")
        axes = figure.subplots()
        last = max(peaks.highest, start) + 10
        index = np.arange(min(last, len(peaks.histogram)))
        axes.bar(index, peaks.histogram[index], 0.9, color=plots.BEST, label=name or "strongest point")
        axes.axvline(start - 0.5, color=plots.OTHERS[0], linewidth=0.9, label=f"window from {start} on")
        axes.axvspan(-0.5, start - 0.5, color=plots.OTHERS[0], alpha=0.08, linewidth=0)
        axes.set_xlim(-0.5, len(index) - 0.5)
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(0, 3 * peaks.histogram.max())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("index of the strongest point, from the large-angle end")
        axes.set_ylabel("curves")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


# Parts ------------------------------------------------------------------------------------------------------


def _style() -> AbstractContextManager[None]:
    context: AbstractContextManager[None] = style.context(["default", plots.STYLE])
    return context


def _names(comparison: Comparison) -> tuple[str, str]:
    """Names for legends; `$` would start a formula."""
    first, second = (e.name.replace("$", r"\$") for e in (comparison.first, comparison.second))
    return first, second


def _tone(better: str | None) -> str:
    return plots.MEASURED if better is None else COLOURS[better == "second"]


def _label(parameter: ParameterEvenness) -> str:
    return parameter.name if parameter.unit == "1" else f"{parameter.name} ({parameter.unit})"


def _spacing(parameter: ParameterEvenness) -> float:
    values = parameter.levels.values
    return float(np.diff(values).min()) if len(values) > 1 else abs(float(values[0])) or 1.0


def _bars(
    axes: Axes,
    both: tuple[ParameterEvenness, ParameterEvenness],
    side: int,
    heights: NDArray[Any],
    *,
    label: str,
) -> None:
    """Bars of one dataset, beside those of the other."""
    step = min(_spacing(p) for p in both)
    place = both[side].levels.values + (side - 0.5) * 0.4 * step
    axes.bar(place, heights, 0.4 * step, color=COLOURS[side], label=label)


def _plain(axes: Axes) -> None:
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(bottom=0)


def _common_edges(both: tuple[ParameterEvenness, ParameterEvenness]) -> Floats:
    """Bins of the finer of the two grids over the range of both."""
    step = min(_spacing(p) for p in both)
    low = min(p.levels.values[0] for p in both) - step / 2
    high = max(p.levels.values[-1] for p in both) + step / 2
    return np.asarray(low + step * np.arange(round((high - low) / step) + 1), dtype=np.float64)


def _triangle(axes: Axes, evenness: Evenness) -> Any:  # noqa: ANN401
    names = evenness.names
    table = np.full((len(names), len(names)), np.nan)
    for pair in evenness.pairs:
        table[names.index(pair.other), names.index(pair.one)] = plots.PERCENT * pair.coverage
    # The first row and the last column of a triangle are empty.
    shown = table[1:, :-1] if len(names) > 1 else table
    image = axes.imshow(shown, vmin=0, vmax=100, cmap="cividis", aspect="auto")
    for (i, j), value in np.ndenumerate(shown):
        if np.isfinite(value):
            colour = "white" if value < 60 else "black"
            axes.text(j, i, _percent(value), ha="center", va="center", fontsize=6.5, color=colour)
    axes.set_xticks(range(len(names[:-1])), names[:-1])
    axes.set_yticks(range(len(names[1:])), names[1:])
    axes.minorticks_off()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image


def _percent(value: float) -> str:
    """Whole per cent, but neither 0 nor 100 unless it is exactly that."""
    return "> 99" if 99.5 <= value < 100 else "< 1" if 0 < value < 0.5 else f"{value:.0f}"
