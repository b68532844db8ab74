"""How figures look: sizes, colours and lines, and the bytes of their files."""

import io
from contextlib import AbstractContextManager
from typing import Any, Literal

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

MM_PER_IN = 25.4
COLUMN_IN = 85 / MM_PER_IN
PAGE_IN = 175 / MM_PER_IN
ANGSTROM_PER_NM = 10.0
PERCENT = 100.0

AXIS_SYMBOLS = {"delta-theta-arcsec": "Δθ", "omega-deg": "ω", "two-theta-deg": "2θ"}
MEASURED, SUBSTRATE = "#7a7a7a", "#999999"
BEST = "#0072B2"
OTHERS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00")
OTHER_DASHES: tuple[Any, ...] = ((0, (5, 1.5)), (0, (3, 1.2, 1, 1.2)), (0, (1.2, 1.2)), (0, (7, 1.5, 1, 1.5)))
ION_COLOURS = ("#E69F00", "#56B4E9", "#999999", "#009E73")
FURTHER = "#b3b3b3"  # the modes after those that have a colour of their own
MOST_VECTOR_POINTS = 1500  # beyond it, points are drawn as pixels inside an SVG, which would be too large
RASTER_DPI = 300
NOTEBOOK_DPI = 96

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


class Picture(Figure):
    """A figure that a notebook shows by itself, whether pyplot was imported or not."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        width, height = (round(NOTEBOOK_DPI * size) for size in self.get_size_inches())
        return picture(self, kind="png"), {"width": width, "height": height}


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


def figure_style() -> AbstractContextManager[None]:
    """`STYLE` on top of matplotlib's defaults, whatever the user's matplotlibrc says."""
    context: AbstractContextManager[None] = style.context(["default", STYLE])
    return context
