"""Figures of an evaluation: predicted against true, errors, coverage, ranks, widths, errors in bins."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from strainscope import plots
from strainscope.evaluation.calibration import (
    OVERALL_POINTS,
    RANK_BINS,
    RankTest,
    central_coverage,
    chance_band,
    tarp_coverage,
)
from strainscope.evaluation.evaluate import BinResult, Calibration, Evaluation

Floats = NDArray[np.float64]

_COLUMNS = 4
_CELLS = 40  # of a 2-D histogram along either axis, unless the truth has fewer values
_GRID_VALUES = 30
_LEVELS = np.arange(0.01, 1.0, 0.01)
_CONFIDENCE = 0.95
_TOGETHER = "all (TARP)"
# From a blue that shows on white to the darkest.
_COUNTS = ListedColormap(colormaps["Blues"](np.linspace(0.3, 1.0, 256)))
_BAND = "#dddddd"


def evaluation_figures(evaluation: Evaluation) -> Mapping[str, Figure]:
    """The figures by the names of their files, without suffix; those that the estimator gives reason for."""
    draws: dict[str, Callable[[], Figure]] = {
        "predicted": lambda: predicted_figure(evaluation),
        "errors": lambda: error_figure(evaluation),
    }
    calibration = evaluation.calibration
    if calibration is not None:
        draws["coverage"] = lambda: coverage_figure(evaluation.names, calibration)
        draws["ranks"] = lambda: rank_figure(evaluation.names, calibration)
        bound = calibration.bound
        if bound is not None:
            draws["widths"] = lambda: width_figure(evaluation, calibration.sd, bound)
    if evaluation.bins:
        draws["bins"] = lambda: bin_figure(evaluation)
    return {name: draw() for name, draw in draws.items()}


def predicted_figure(evaluation: Evaluation) -> Figure:
    """Estimate against truth of every parameter, as 2-D histograms with logarithmic counts."""
    number = len(evaluation.names)
    with _style():
        figure, panels = _panels(number, height=1.9)
        image: Any = None
        for i, axes in enumerate(panels):
            truth, estimate = evaluation.truth[:, i], evaluation.estimate[:, i]
            edges = _edges(truth)
            low, high = edges[0], edges[-1]
            rows = np.linspace(low, high, _CELLS + 1)
            # What lies outside the range of the truth is drawn at its edge.
            counts, _, _ = np.histogram2d(truth, np.clip(estimate, low, high), bins=[edges, rows])
            image = axes.pcolormesh(
                edges,
                rows,
                np.ma.masked_equal(counts.T, 0),
                norm=LogNorm(1, max(2, len(truth) / 10)),
                cmap=_COUNTS,
                rasterized=True,
            )
            axes.plot([low, high], [low, high], color=plots.OTHERS[0], linewidth=0.7)
            axes.set_title(_label(evaluation, i), fontsize=8, pad=3)
            axes.set_xlim(low, high)
            axes.set_ylim(low, high)
            _sparse(axes)
        for axes in panels[::_COLUMNS]:
            axes.set_ylabel("predicted")
        for axes in panels[max(0, number - _COLUMNS) :]:
            axes.set_xlabel("true")
        bar = figure.colorbar(image, ax=panels, pad=0.01, aspect=40)
        bar.set_label("curves")
        bar.ax.minorticks_off()
    return figure


def error_figure(evaluation: Evaluation) -> Figure:
    """Histogram of predicted minus true of every parameter, in % of the range."""
    percent = plots.PERCENT * (evaluation.estimate - evaluation.truth) / evaluation.widths
    with _style():
        figure, panels = _panels(len(evaluation.names), height=1.7)
        for i, axes in enumerate(panels):
            mean = evaluation.metrics.mae_percent_of_range[evaluation.names[i]]
            reach = max(float(np.quantile(np.abs(percent[:, i]), 0.98)), 1e-3)
            edges = np.linspace(-reach, reach, 61)
            counts, _ = np.histogram(np.clip(percent[:, i], -reach, reach), bins=edges)
            axes.stairs(counts, edges, fill=True, color=plots.BEST, alpha=0.35)
            axes.stairs(counts, edges, color=plots.BEST, linewidth=0.8)
            axes.axvline(0, color=plots.MEASURED, linewidth=0.6)
            axes.set_title(f"{evaluation.names[i]}\nmean |error| {mean:.3g} %", fontsize=7.5, pad=3)
            axes.set_xlim(-reach, reach)
            axes.set_ylim(0, 1.08 * counts.max())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            _sparse(axes)
        figure.supxlabel("predicted − true (% of the range; the outermost 2 % at the edges)", fontsize=8)
        figure.supylabel("curves", fontsize=8)
    return figure


def coverage_figure(names: tuple[str, ...], calibration: Calibration) -> Figure:
    """Expected coverage minus nominal at every level, with the band that chance allows."""
    lines = [central_coverage(calibration.rank, float(level)) for level in _LEVELS]
    curves = [*np.array(lines).T, np.array([tarp_coverage(calibration.distance, x) for x in _LEVELS])]
    number = len(calibration.rank)
    low, high = chance_band(number, _LEVELS, confidence=_CONFIDENCE)
    nominal = plots.PERCENT * _LEVELS
    off = [plots.PERCENT * (curve - _LEVELS) for curve in curves]
    control = [
        [plots.PERCENT * (share - level) for level, share in zip(calibration.control.of, shares, strict=True)]
        for shares in _control_shares(names, calibration)
    ]
    levels = [plots.PERCENT * level for level in calibration.control.of]
    # The control is far off: the axis is linear as far as the posteriors reach, then logarithmic.
    linear = 1.15 * max(2 * OVERALL_POINTS, *(float(np.abs(line).max()) for line in off))
    reach = 1.5 * max(linear, float(np.abs(control).max()))
    ticks = [-30, -10, -2 * OVERALL_POINTS, -OVERALL_POINTS, 0, OVERALL_POINTS, 2 * OVERALL_POINTS, 10, 30]
    with _style():
        figure, panels = _panels(len(names) + 1, height=1.7, sharey=True)
        for axes, name, line, wrong in zip(panels, (*names, _TOGETHER), off, control, strict=True):
            axes.fill_between(
                nominal,
                plots.PERCENT * (low - _LEVELS),
                plots.PERCENT * (high - _LEVELS),
                color=_BAND,
                linewidth=0,
                label="chance (95 %)",
            )
            for side in (-1, 1):
                axes.axhline(
                    side * OVERALL_POINTS,
                    color=plots.MEASURED,
                    linewidth=0.6,
                    dashes=(4, 2),
                    label=f"± {OVERALL_POINTS:g} points" if side > 0 else "_",
                )
            axes.axhline(0, color=plots.MEASURED, linewidth=0.5)
            axes.plot(nominal, line, color=plots.BEST, linewidth=1.1, label="posteriors")
            axes.plot(
                levels,
                wrong,
                "v",
                color=plots.OTHERS[0],
                markersize=3.5,
                label="of half the width (control)",
            )
            axes.set_title(name, fontsize=8, pad=3)
            axes.set_xlim(0, 100)
            axes.set_yscale("symlog", linthresh=linear, linscale=2.0)
            axes.set_ylim(-reach, reach)
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if abs(tick) < reach]))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        figure.supxlabel("nominal level (%)", fontsize=8)
        figure.supylabel("coverage − nominal (points)", fontsize=8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure


def _control_shares(names: tuple[str, ...], calibration: Calibration) -> Iterator[list[float]]:
    """Coverage of the control at its levels, parameter by parameter, then of all together."""
    control = calibration.control
    for name in names:
        yield [shares[name] for shares in control.of.values()]
    yield list(control.joint.values())


def rank_figure(names: tuple[str, ...], calibration: Calibration) -> Figure:
    """Rank of the truth among the draws, which is even for calibrated posteriors, with the band of chance."""
    number = len(calibration.rank)
    low, high = (number * x / (number / RANK_BINS) for x in chance_band(number, 1 / RANK_BINS))
    edges = np.linspace(0, 1, RANK_BINS + 1)
    tests: list[tuple[str, RankTest]] = [(name, calibration.rank_tests[name]) for name in names]
    tests.append((_TOGETHER, calibration.tarp_test))
    with _style():
        figure, panels = _panels(len(tests), height=1.7)
        for axes, (name, test) in zip(panels, tests, strict=True):
            relative = test.counts / (number / RANK_BINS)
            axes.axhspan(
                float(low), float(high), color=_BAND, linewidth=0, zorder=2, label="chance (95 % of bins)"
            )
            axes.stairs(relative, edges, fill=True, color=plots.BEST, alpha=0.3, zorder=1)
            axes.stairs(relative, edges, color=plots.BEST, linewidth=0.9, zorder=4, label="curves")
            axes.axhline(1, color=plots.MEASURED, linewidth=0.5, zorder=3)
            axes.set_title(f"{name}\n{chance_text(test.ks_p)}", fontsize=7.5, pad=3)
            axes.set_xlim(0, 1)
            axes.set_ylim(0, max(1.6, 1.15 * float(relative.max())))
            _sparse(axes)
        figure.supxlabel("rank of the truth among the draws", fontsize=8)
        figure.supylabel("curves / even count", fontsize=8)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def width_figure(evaluation: Evaluation, sd: Floats, bound: Floats) -> Figure:
    """Posterior sd against the Cramér-Rao bound of every parameter, both in % of the range; a point a curve."""
    with _style():
        figure, panels = _panels(len(evaluation.names), height=1.7)
        for i, axes in enumerate(panels):
            x, y = (plots.PERCENT * table[:, i] / evaluation.widths[i] for table in (bound, sd))
            known = (x > 0) & (y > 0)  # NaN where there is no bound
            axes.loglog(x[known], y[known], ".", color=plots.BEST, markersize=2.5, alpha=0.6)
            if known.any():
                ends = [
                    0.7 * min(x[known].min(), y[known].min()),
                    1.4 * max(x[known].max(), y[known].max()),
                ]
                axes.plot(ends, ends, color=plots.OTHERS[0], linewidth=0.7)
            axes.set_title(evaluation.names[i], fontsize=8, pad=3)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(numticks=4))
                axis.set_minor_locator(NullLocator())
        figure.supxlabel("Cramér–Rao bound (% of the range)", fontsize=8)
        figure.supylabel("sd of the posterior (% of the range)", fontsize=8)
    return figure


def bin_figure(evaluation: Evaluation) -> Figure:
    """Mean absolute error of every parameter and its standard error, along each quantity that curves are binned by."""
    by: dict[str, list[BinResult]] = {}
    for result in evaluation.bins:
        by.setdefault(result.bin.quantity, []).append(result)
    names = evaluation.names
    height = len(by) * (0.35 + 1.5 * _lines(len(names)))
    with _style():
        figure = Figure(figsize=(plots.PAGE_IN, height), layout="constrained")
        parts = figure.subfigures(len(by), 1, squeeze=False)[:, 0]
        for part, (quantity, results) in zip(parts, by.items(), strict=True):
            ends = np.array([(r.bin.low, r.bin.high) for r in results]).T
            for axes, name in zip(_panels_in(part, len(names)), names, strict=True):
                axes.errorbar(
                    ends.mean(axis=0),
                    [r.metrics.mae_percent_of_range[name] for r in results],
                    xerr=0.5 * (ends[1] - ends[0]),
                    yerr=[r.metrics.mae_uncertainty_percent[name] for r in results],
                    fmt="o",
                    color=plots.BEST,
                    markersize=3,
                    linewidth=0.9,
                )
                axes.set_title(name, fontsize=8, pad=3)
                axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
                _sparse(axes)
            estimated = " (estimated)" if quantity in evaluation.estimated else ""
            part.supxlabel(f"{quantity.replace('_', ' ')}{estimated}", fontsize=8)
            part.supylabel("mean |error| (% of the range)", fontsize=8)
    return figure


def chance_text(p: float) -> str:
    """A p-value in words."""
    return f"p = {p:.2f}" if p >= 0.01 else f"p = {p:.0e}" if p >= 1e-6 else "p < 1e-6"


# Parts ------------------------------------------------------------------------------------------------------


def _style() -> AbstractContextManager[None]:
    context: AbstractContextManager[None] = style.context(["default", plots.STYLE])
    return context


def _panels(number: int, *, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure at page width with so many panels, four a row."""
    figure = Figure(figsize=(plots.PAGE_IN, 0.55 + height * _lines(number)), layout="constrained")
    return figure, _panels_in(figure, number, sharey=sharey)


def _panels_in(figure: Figure | SubFigure, number: int, *, sharey: bool = False) -> list[Axes]:
    panels = list(
        figure.subplots(_lines(number), min(_COLUMNS, number), squeeze=False, sharey=sharey).ravel()
    )
    for axes in panels[number:]:
        axes.remove()
    return panels[:number]


def _lines(number: int) -> int:
    return -(-number // _COLUMNS)


def _edges(truth: Floats) -> Floats:
    """Cells along the truth: one a value where it lies on a grid."""
    values = np.unique(truth)
    if 1 < len(values) <= _GRID_VALUES:
        middle = 0.5 * (values[1:] + values[:-1])
        ends = [1.5 * values[0] - 0.5 * values[1], 1.5 * values[-1] - 0.5 * values[-2]]
        return np.concatenate([ends[:1], middle, ends[1:]])
    low, high = float(values[0]), float(values[-1])
    margin = 0.02 * (high - low) or 0.5 * abs(low) or 0.5
    return np.linspace(low - margin, high + margin, _CELLS + 1)


def _label(evaluation: Evaluation, i: int) -> str:
    name, unit = evaluation.names[i], evaluation.units[i]
    return name if unit == "1" or name.endswith(f"_{unit}") else f"{name} ({unit})"


def _sparse(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=3))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
