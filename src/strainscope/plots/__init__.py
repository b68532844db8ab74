"""Figures of a result, at the width of a journal's column (85 mm), page (175 mm), or any other.

Every figure is a `matplotlib.figure.Figure` of its own, so that no window system and no global state is involved,
and :func:`picture` turns the same figure into the same bytes each time. Colours are those of Okabe and Ito,
which the colour-blind can tell apart; line styles differ, too.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from strainscope.inversion.result import Result
from strainscope.plots.panels import (
    angle_label,
    as_finite,
    draw_debye_waller,
    draw_fit,
    draw_ions,
    draw_residual,
    draw_strain,
    intensity_label,
    mark_zeros,
    residual_log10,
)
from strainscope.plots.style import (
    ANGSTROM_PER_NM,
    AXIS_SYMBOLS,
    BEST,
    COLUMN_IN,
    FURTHER,
    MEASURED,
    MM_PER_IN,
    OTHERS,
    PAGE_IN,
    PERCENT,
    STYLE,
    SUBSTRATE,
    Picture,
    figure_style,
    percent_text,
    picture,
)
from strainscope.scan import Scan

__all__ = [
    "ANGSTROM_PER_NM",
    "AXIS_SYMBOLS",
    "BEST",
    "COLUMN_IN",
    "FURTHER",
    "MEASURED",
    "MM_PER_IN",
    "OTHERS",
    "PAGE_IN",
    "PERCENT",
    "STYLE",
    "SUBSTRATE",
    "Picture",
    "figure_style",
    "fit_figure",
    "percent_text",
    "picture",
    "profile_figure",
    "residual_log10",
    "scan_figure",
    "summary_figure",
]

Floats = NDArray[np.float64]

def fit_figure(result: Result, *, width_in: float = COLUMN_IN) -> Picture:
    """Measured and fitted curve on a logarithmic axis, and the residuals below.

    Args:
        result: The inversion to show; the best mode as a line, the others faint.
        width_in: Width of the figure [in], such as `COLUMN_IN` or `PAGE_IN`.

    Returns:
        The figure; :func:`picture` turns it into a file's bytes.
    """
    with figure_style():
        figure = Picture(figsize=(width_in, 3.1 if width_in < 5 else 3.7), layout="constrained")
        curve, residual = _stacked(figure, heights=(3, 1))
        draw_fit(curve, result)
        draw_residual(residual, result)
        _legend(figure, [curve, residual], width_in)
        figure.align_ylabels()
        _settle(figure)
    return figure


def profile_figure(result: Result, *, width_in: float = COLUMN_IN) -> Picture:
    """Strain and static Debye-Waller factor over depth with the best mode's bands, the other modes as lines.

    Args:
        result: The inversion to show.
        width_in: Width of the figure [in]: panels stacked below 5 in, as at `COLUMN_IN`, else side by side.

    Returns:
        The figure; :func:`picture` turns it into a file's bytes.
    """
    with figure_style():
        wide = width_in >= 5
        figure = Picture(figsize=(width_in, 2.9 if wide else 3.9), layout="constrained")
        if wide:
            strain, disorder = figure.subplots(1, 2, sharex=True)
            strain.set_xlabel("Depth (nm)")
        else:
            strain, disorder = _stacked(figure, heights=(1, 1))
        draw_strain(strain, result)
        draw_debye_waller(disorder, result)
        _legend(figure, [strain, *draw_ions(strain, result)], width_in)
        figure.align_ylabels()
        _settle(figure)
    return figure


def summary_figure(result: Result, *, width_in: float = PAGE_IN) -> Picture:
    """Fit on the left and profile on the right, at page width."""
    with figure_style():
        figure = Picture(figsize=(width_in, 3.7), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.15, 1), wspace=0.03)
        left, right = halves
        curve, residual = _stacked(left, heights=(3, 1))
        draw_fit(curve, result)
        draw_residual(residual, result)
        _legend(left, [curve, residual], COLUMN_IN)
        strain, disorder = _stacked(right, heights=(1, 1))
        draw_strain(strain, result)
        draw_debye_waller(disorder, result)
        _legend(right, [strain], COLUMN_IN)
        left.align_ylabels()
        right.align_ylabels()
        _settle(figure)
    return figure


def scan_figure(
    scan: Scan, *, title: str, fitted: Floats | None = None, called: str = "fit", width_in: float = PAGE_IN
) -> Picture:
    """A scan on a logarithmic axis; where it has no intensity the line is broken and a mark says so.

    Args:
        scan: What is drawn.
        title: What to call it.
        fitted: Model at its points, shape (point,), drawn over them.
        called: What to call the model.
        width_in: Width of the figure [in].
    """
    with figure_style():
        figure = Picture(figsize=(width_in, 3.7 if width_in >= 5 else 3.1), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        seen = scan.intensity > 0
        line = np.where(seen, scan.intensity, np.nan)
        if fitted is None:
            axes.plot(scan.angle, line, ".-", color=BEST, markersize=2, linewidth=0.6, label=title)
        else:
            axes.plot(scan.angle, line, ".", color=MEASURED, markersize=2, label=title)
            axes.plot(scan.angle, as_finite(fitted), color=BEST, linewidth=0.9, label=called)
        mark_zeros(axes, scan, "no counts" if scan.intensity_kind == "counts" else "no intensity")
        axes.set_xlim(scan.angle[0], scan.angle[-1])
        axes.set_ylim(0.5 * scan.intensity[seen].min(), 2 * scan.intensity.max())
        axes.set_xlabel(angle_label(scan))
        axes.set_ylabel(intensity_label(scan))
        _legend(figure, [axes], width_in)
        _settle(figure)
    return figure


def _stacked(figure: Figure | SubFigure, *, heights: tuple[float, float]) -> tuple[Axes, Axes]:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    return upper, lower


def _legend(figure: Figure | SubFigure, panels: list[Axes], width_in: float) -> None:
    """Above the panels, where it hides no data; the entries stand in the order in which they were drawn."""
    both = [panel.get_legend_handles_labels() for panel in panels]
    handles, labels = ([entry for own in kind for entry in own] for kind in zip(*both, strict=True))
    figure.legend(handles, labels, loc="outside upper center", ncols=3 if width_in < 5 else 6)


def _settle(figure: Figure) -> None:
    """Lay the panels out once: every drawing would move them a little further, and change the bytes."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")
