"""What a figure is made of: a scan and its fit, their residuals, profiles with bands."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from strainscope.inversion.likelihood import counts_per_unit
from strainscope.inversion.result import Mode, Result
from strainscope.plots.style import (
    ANGSTROM_PER_NM,
    AXIS_SYMBOLS,
    BEST,
    FURTHER,
    ION_COLOURS,
    MEASURED,
    MOST_VECTOR_POINTS,
    OTHER_DASHES,
    OTHERS,
    PERCENT,
    SUBSTRATE,
    percent_text,
)
from strainscope.scan import UNITS, Scan

Floats = NDArray[np.float64]

# Below it on the logarithmic axis a model is not followed: nothing was measured there.
DECADES_BELOW_MEASURED = 1.0
SMALLEST_RESIDUAL = 0.05


def draw_fit(axes: Axes, result: Result) -> None:
    """Measured points (with error bars where the noise is known) and every mode's curve, logarithmic."""
    scan = result.scan
    axes.set_yscale("log")
    bottom, top = _intensity_limits(scan, result.best)
    _draw_measured(axes, scan, bottom)
    for mode, look in _looks(result):
        axes.plot(scan.angle, as_finite(mode.fitted), **look)
    mark_zeros(axes, scan, "measured 0")
    if scan.angle[0] < result.substrate_angle < scan.angle[-1]:
        axes.axvline(
            result.substrate_angle, color=SUBSTRATE, linewidth=0.7, dashes=(4, 2), zorder=0, label="substrate"
        )
    axes.set_xlim(scan.angle[0], scan.angle[-1])
    axes.set_ylim(bottom, top)
    axes.set_ylabel(intensity_label(scan))


def draw_residual(axes: Axes, result: Result) -> None:
    """log10 of measured over fitted, and the noise it should have (± 1 sd) where that is known."""
    scan = result.scan
    residual = residual_log10(scan, result.best)
    noise = _noise(scan, result.best.fitted)
    if noise is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = as_finite(noise / result.best.fitted / np.log(10))
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
    axes.set_xlabel(angle_label(scan))


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


def draw_ions(axes: Axes, result: Result) -> list[Axes]:
    """What another program says of the ions, each from 0 to its maximum at the panel's height, behind the strain.

    Returns:
        The axes that they are drawn on; none where there is nothing to draw.
    """
    if not result.ions:
        return []
    twin = axes.twinx()
    # Under the strain, whose panel is seen through.
    axes.set_zorder(twin.get_zorder() + 1)
    axes.patch.set_visible(False)
    for ions, colour in zip(result.ions, ION_COLOURS, strict=False):
        share = ions.value / ions.value.max()
        depth = ions.depth / ANGSTROM_PER_NM
        twin.fill_between(depth, 0, share, color=colour, alpha=0.12, linewidth=0)
        twin.plot(depth, share, color=colour, linewidth=0.6, linestyle=(0, (2, 1)), label=ions.label)
    twin.set_ylim(0, 1.08)
    twin.set_yticks([])
    return [twin]


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
    axes.plot(mode.bands.depth / ANGSTROM_PER_NM, as_finite(values), **look)


def _draw_bands(axes: Axes, depth: Floats, band_68: Floats, band_95: Floats) -> None:
    for (low, high), alpha, label in (
        (as_finite(band_68), 0.3, "68 % band"),
        (as_finite(band_95), 0.15, "95 % band"),
    ):
        axes.fill_between(
            depth / ANGSTROM_PER_NM, low, high, color=BEST, alpha=alpha, linewidth=0, zorder=1, label=label
        )


def mark_zeros(axes: Axes, scan: Scan, label: str) -> None:
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


def angle_label(scan: Scan) -> str:
    return f"{AXIS_SYMBOLS[scan.axis]} ({UNITS[scan.axis]})"


def intensity_label(scan: Scan) -> str:
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


def _deepest(result: Result) -> float:
    return max(float(mode.bands.depth[-1]) for mode in result.modes) / ANGSTROM_PER_NM


def _raster(scan: Scan) -> bool:
    return bool(scan.angle.size > MOST_VECTOR_POINTS)


def as_finite(values: Floats) -> Floats:
    """The values with NaN in place of infinities, which would spoil an axis's limits."""
    return np.where(np.isfinite(values), values, np.nan)
