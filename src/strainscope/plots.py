"""Figures of a result, at the width of a journal's column (3.35 in) or page (6.9 in).

Every figure is a plain `matplotlib.figure.Figure`, so that no window system and no global state is involved,
and :func:`picture` turns the same figure into the same bytes each time. Colours are those of Okabe and Ito,
which the colour-blind can tell apart; line styles differ, too.
"""

import io
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from strainscope.inversion.likelihood import counts_per_unit
from strainscope.inversion.result import Mode, Result
from strainscope.scan import UNITS, Scan

Floats = NDArray[np.float64]

COLUMN_IN = 3.35
PAGE_IN = 6.9
ANGSTROM_PER_NM = 10.0
PERCENT = 100.0

AXIS_SYMBOLS = {"delta-theta-arcsec": "Δθ", "omega-deg": "ω", "two-theta-deg": "2θ"}
MEASURED, SUBSTRATE = "#7a7a7a", "#999999"
BEST = "#0072B2"
OTHERS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00")
OTHER_DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.2, 1.2)), (0, (7, 1.5, 1, 1.5)))
FURTHER = "#b3b3b3"  # the modes after those that have a colour of their own
MOST_VECTOR_POINTS = 1500  # beyond it, points are drawn as pixels inside an SVG, which would be too large
RASTER_DPI = 300
# Below it on the logarithmic axis a model is not followed: nothing was measured there.
DECADES_BELOW_MEASURED = 1.0
SMALLEST_RESIDUAL = 0.05

STYLE = {
    "font.size": 7.5,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.minor.visible": True,
    "ytick.minor.visible": True,
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0.2,
    "lines.linewidth": 0.9,
    "svg.hashsalt": "strainscope",
    "svg.fonttype": "path",
    "savefig.dpi": RASTER_DPI,
}


def fit_figure(result: Result, *, width_in: float = COLUMN_IN) -> Figure:
    """Measured and fitted curve on a logarithmic axis, and the residuals below.

    Args:
        result: The inversion to show; the best mode as a line, the others faint.
        width_in: Width of the figure [in], `COLUMN_IN` or `PAGE_IN`.

    Returns:
        The figure; :func:`picture` turns it into a file's bytes.
    """
    with figure_style():
        figure = Figure(figsize=(width_in, 3.1 if width_in < 5 else 3.7), layout="constrained")
        curve, residual = _stacked(figure, heights=(3, 1))
        draw_fit(curve, result)
        draw_residual(residual, result)
        _legend(figure, [curve, residual], width_in)
        figure.align_ylabels()
        _settle(figure)
    return figure


def profile_figure(result: Result, *, width_in: float = COLUMN_IN) -> Figure:
    """Strain and static Debye-Waller factor over depth with the best mode's bands, the other modes as lines.

    Args:
        result: The inversion to show.
        width_in: Width of the figure [in]: panels stacked at `COLUMN_IN`, side by side at `PAGE_IN`.

    Returns:
        The figure; :func:`picture` turns it into a file's bytes.
    """
    with figure_style():
        wide = width_in >= 5
        figure = Figure(figsize=(width_in, 2.9 if wide else 3.9), layout="constrained")
        if wide:
            strain, disorder = figure.subplots(1, 2, sharex=True)
            strain.set_xlabel("Depth (nm)")
        else:
            strain, disorder = _stacked(figure, heights=(1, 1))
        draw_strain(strain, result)
        draw_debye_waller(disorder, result)
        _legend(figure, [strain], width_in)
        figure.align_ylabels()
        _settle(figure)
    return figure


def summary_figure(result: Result) -> Figure:
    """Fit on the left and profile on the right, at page width."""
    with figure_style():
        figure = Figure(figsize=(PAGE_IN, 3.7), layout="constrained")
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


def scan_figure(scan: Scan, *, title: str, fitted: Floats | None = None) -> Figure:
    """A scan on a logarithmic axis; where it has no intensity the line is broken and a mark says so.

    Args:
        scan: What is drawn.
        title: What to call it.
        fitted: Model at its points, shape (point,), drawn over them.
    """
    with figure_style():
        figure = Figure(figsize=(PAGE_IN, 3.7), layout="constrained")
        axes = figure.subplots()
        axes.set_yscale("log")
        seen = scan.intensity > 0
        line = np.where(seen, scan.intensity, np.nan)
        if fitted is None:
            axes.plot(scan.angle, line, ".-", color=BEST, markersize=2, linewidth=0.6, label=title)
        else:
            axes.plot(scan.angle, line, ".", color=MEASURED, markersize=2, label=title)
            axes.plot(scan.angle, _finite(fitted), color=BEST, linewidth=0.9, label="fit")
        _mark_zeros(axes, scan, "no counts" if scan.intensity_kind == "counts" else "no intensity")
        axes.set_xlim(scan.angle[0], scan.angle[-1])
        axes.set_ylim(0.5 * scan.intensity[seen].min(), 2 * scan.intensity.max())
        axes.set_xlabel(_angle_label(scan))
        axes.set_ylabel(_intensity_label(scan))
        _legend(figure, [axes], PAGE_IN)
        _settle(figure)
    return figure


def picture(figure: Figure, *, kind: Literal["svg", "png", "pdf"]) -> bytes:
    """The bytes of a figure's file: the same each time, so neither date nor program version is in them."""
    metadata = {
        "svg": {"Date": None},
        "png": {"Software": None},
        "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    }[kind]
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(buffer, format=kind, dpi=RASTER_DPI, metadata=metadata)
    return buffer.getvalue()


def percent_text(weight: float) -> str:
    """A share of 1 in per cent as people write it: neither 0 % nor 100 % unless it is exactly that."""
    if not np.isfinite(weight):
        return "? %"
    if 0 < weight < 0.01:
        return "< 1 %"
    if 0.99 < weight < 1:
        return "> 99 %"
    return f"{PERCENT * weight:.0f} %"


# Panels -----------------------------------------------------------------------------------------------------


def draw_fit(axes: Axes, result: Result) -> None:
    """Measured points (with error bars where the noise is known) and every mode's curve, logarithmic."""
    scan = result.scan
    axes.set_yscale("log")
    bottom, top = _intensity_limits(scan, result.best)
    _draw_measured(axes, scan, bottom)
    for mode, look in _looks(result):
        axes.plot(scan.angle, _finite(mode.fitted), **look)
    _mark_zeros(axes, scan, "measured 0")
    if scan.angle[0] < result.substrate_angle < scan.angle[-1]:
        axes.axvline(
            result.substrate_angle, color=SUBSTRATE, linewidth=0.7, dashes=(4, 2), zorder=0, label="substrate"
        )
    axes.set_xlim(scan.angle[0], scan.angle[-1])
    axes.set_ylim(bottom, top)
    axes.set_ylabel(_intensity_label(scan))


def draw_residual(axes: Axes, result: Result) -> None:
    """log10 of measured over fitted, and the noise it should have (± 1 sd) where that is known."""
    scan = result.scan
    residual = residual_log10(scan, result.best)
    noise = _noise(scan, result.best.fitted)
    if noise is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = _finite(noise / result.best.fitted / np.log(10))
        axes.fill_between(
            scan.angle, -spread, spread, color="#dddddd", linewidth=0, zorder=0, label="noise, ± 1 sd"
        )
    axes.axhline(0, color=BEST, linewidth=0.6, zorder=3)
    axes.plot(
        scan.angle, residual, "o", color=MEASURED, markersize=1.6, markeredgewidth=0, rasterized=_raster(scan)
    )
    if scan.angle[0] < result.substrate_angle < scan.angle[-1]:
        axes.axvline(result.substrate_angle, color=SUBSTRATE, linewidth=0.7, dashes=(4, 2), zorder=0)
    finite = np.abs(residual[np.isfinite(residual)])
    limit = 1.15 * max(SMALLEST_RESIDUAL, float(finite.max(initial=0.0)))
    axes.set_ylim(-limit, limit)
    axes.yaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    axes.set_ylabel("log$_{10}$\nmeas./fit")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(_angle_label(scan))


def draw_strain(axes: Axes, result: Result) -> None:
    """Strain in % over depth in nm, bands of the best mode, the other modes as lines."""
    bands = result.best.bands
    axes.axhline(0, color=SUBSTRATE, linewidth=0.5, zorder=0)
    best, *others = _looks(result)
    _draw_profile(axes, best, PERCENT * bands.strain)
    _draw_bands(axes, bands.depth, PERCENT * bands.strain_68, PERCENT * bands.strain_95)
    for other in others:
        _draw_profile(axes, other, PERCENT * other[0].bands.strain)
    axes.set_xlim(0, _deepest(result))
    axes.set_ylabel("Strain Δd/d (%)")


def draw_debye_waller(axes: Axes, result: Result) -> None:
    """Static Debye-Waller factor over depth in nm, bands of the best mode, the other modes as lines."""
    bands = result.best.bands
    best, *others = _looks(result)
    _draw_profile(axes, best, bands.debye_waller)
    _draw_bands(axes, bands.depth, bands.debye_waller_68, bands.debye_waller_95)
    for other in others:
        _draw_profile(axes, other, other[0].bands.debye_waller)
    axes.set_xlim(0, _deepest(result))
    low, high = axes.get_ylim()
    # A perfect crystal has E = 1: always in view, so that "no disorder" is seen and not read off the ticks.
    high = max(high, 1 + 0.05 * (1 - min(low, 0.9)))
    axes.set_ylim(0 if low < 0.5 else min(low, 0.9), high)
    axes.axhline(1, color=SUBSTRATE, linewidth=0.5, zorder=0)
    axes.set_ylabel("Static Debye–Waller $E$")
    axes.set_xlabel("Depth (nm)")


def residual_log10(scan: Scan, mode: Mode) -> Floats:
    """log10 of measured over fitted intensity, NaN where one of them is not above 0, shape (angle,)."""
    usable = (scan.intensity > 0) & (mode.fitted > 0) & np.isfinite(mode.fitted)
    residual = np.full(scan.intensity.size, np.nan)
    residual[usable] = np.log10(scan.intensity[usable] / mode.fitted[usable])
    return residual


# Parts ------------------------------------------------------------------------------------------------------


def figure_style() -> AbstractContextManager[None]:
    """This module's settings on top of matplotlib's defaults, whatever the user's matplotlibrc says."""
    context: AbstractContextManager[None] = style.context(["default", STYLE])
    return context


def _stacked(figure: Figure | SubFigure, *, heights: tuple[float, float]) -> tuple[Axes, Axes]:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    return upper, lower


def _looks(result: Result) -> list[tuple[Mode, dict[str, Any]]]:
    """Every mode with its line's colour, dashes and label, that of most weight first."""
    best = result.best
    label = "best fit" if len(result.modes) == 1 else f"mode 1, {percent_text(best.weight)}"
    looks: list[tuple[Mode, dict[str, Any]]] = [(best, {"color": BEST, "label": label, "zorder": 3})]
    for i, mode in enumerate(result.modes[1:]):
        look: dict[str, Any] = {"linewidth": 0.7, "zorder": 2.5}
        if i < len(OTHERS):
            label = f"mode {i + 2}, {percent_text(mode.weight)}"
            look |= {"color": OTHERS[i], "linestyle": OTHER_DASHES[i], "alpha": 0.85, "label": label}
        else:
            rest = result.modes[1 + len(OTHERS) :]
            label = f"{len(rest)} more, {percent_text(sum(m.weight for m in rest))}"
            look |= {"color": FURTHER, "linewidth": 0.5, "label": label if mode is rest[0] else "_"}
        looks.append((mode, look))
    return looks


def _draw_measured(axes: Axes, scan: Scan, bottom: float) -> None:
    positive = scan.intensity > 0
    angle, intensity = scan.angle[positive], scan.intensity[positive]
    noise = _noise(scan, scan.intensity)
    if noise is not None:
        # The lower end of a bar can be 0 or less, which a logarithmic axis cannot show.
        low = np.maximum(intensity - noise[positive], bottom)
        axes.vlines(
            angle,
            np.minimum(low, intensity),
            intensity + noise[positive],
            color=MEASURED,
            linewidth=0.4,
            alpha=0.5,
            zorder=1.5,
            rasterized=_raster(scan),
        )
    axes.plot(
        angle,
        intensity,
        "o",
        color=MEASURED,
        markersize=1.4 if _raster(scan) else 2.4,
        markeredgewidth=0,
        zorder=2,
        label="measured",
        rasterized=_raster(scan),
    )


def _draw_profile(axes: Axes, shown: tuple[Mode, dict[str, Any]], values: Floats) -> None:
    mode, look = shown
    axes.plot(mode.bands.depth / ANGSTROM_PER_NM, _finite(values), **look)


def _draw_bands(axes: Axes, depth: Floats, band_68: Floats, band_95: Floats) -> None:
    for (low, high), alpha, label in (
        (_finite(band_68), 0.3, "68 % band"),
        (_finite(band_95), 0.15, "95 % band"),
    ):
        axes.fill_between(
            depth / ANGSTROM_PER_NM, low, high, color=BEST, alpha=alpha, linewidth=0, zorder=1, label=label
        )


def _mark_zeros(axes: Axes, scan: Scan, label: str) -> None:
    """Marks at the lower edge where nothing was counted, which a logarithmic axis cannot show."""
    zeros = scan.angle[scan.intensity <= 0]
    if not zeros.size:
        return
    axes.plot(
        zeros,
        np.full(zeros.size, 0.03),
        "v",
        transform=axes.get_xaxis_transform(),
        color=MEASURED,
        markersize=2.5,
        markerfacecolor="none",
        markeredgewidth=0.5,
        label=label,
    )


def _angle_label(scan: Scan) -> str:
    return f"{AXIS_SYMBOLS[scan.axis]} ({UNITS[scan.axis]})"


def _intensity_label(scan: Scan) -> str:
    return "Intensity (counts)" if scan.intensity_kind == "counts" else "Intensity (normalised)"


def _noise(scan: Scan, expected: Floats) -> Floats | None:
    """Standard deviation of each intensity: the scan's own, or counting statistics; None where unknown."""
    if scan.sigma is not None:
        return scan.sigma
    per_unit = counts_per_unit(scan)
    return None if per_unit is None else np.sqrt(np.maximum(expected, 0.0) / per_unit)


def _intensity_limits(scan: Scan, best: Mode) -> tuple[float, float]:
    measured = scan.intensity[scan.intensity > 0]
    fitted = best.fitted[np.isfinite(best.fitted) & (best.fitted > 0)]
    lowest = min(measured.min(), fitted.min(initial=np.inf))
    lowest = max(lowest, measured.min() / 10**DECADES_BELOW_MEASURED)
    highest = max(measured.max(), fitted.max(initial=0.0))
    return float(lowest / 2), float(min(highest, 100 * measured.max()) * 2)


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


def _deepest(result: Result) -> float:
    return max(float(mode.bands.depth[-1]) for mode in result.modes) / ANGSTROM_PER_NM


def _raster(scan: Scan) -> bool:
    return bool(scan.angle.size > MOST_VECTOR_POINTS)


def _finite(values: Floats) -> Floats:
    """The values with NaN in place of infinities, which would spoil an axis's limits."""
    return np.where(np.isfinite(values), values, np.nan)
