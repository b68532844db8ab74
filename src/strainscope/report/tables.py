"""Profile and fit as CSV, for programs."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from strainscope import plots
from strainscope.inversion.result import DepthBands, Result

PROFILE_COLUMNS = (
    "depth_A",
    "depth_nm",
    "strain",
    "strain_lo",
    "strain_hi",
    "strain_lo_95",
    "strain_hi_95",
    "debye_waller",
    "debye_waller_lo",
    "debye_waller_hi",
    "debye_waller_lo_95",
    "debye_waller_hi_95",
)
FIT_COLUMNS = ("angle", "measured", "fitted", "residual_log10")


def profile_csv(result: Result) -> str:
    """The best mode's profile with its bands (68 % unless the name says 95), one row a depth."""
    return _csv(profile_columns(result.best.bands))


def fit_csv(result: Result) -> str:
    """Measured and fitted intensity and log10 of their ratio (nan where one is 0), one row a point.

    The angle is the scan's own, on its axis and in its unit, and the rows stand in the scan's order.
    """
    scan, best = result.scan, result.best
    residual = plots.residual_log10(scan, best)
    return _csv(dict(zip(FIT_COLUMNS, (scan.angle, scan.intensity, best.fitted, residual), strict=True)))


def profile_columns(bands: DepthBands) -> dict[str, NDArray[np.float64]]:
    """Depth, strain and static Debye-Waller factor with their bands, by PROFILE_COLUMNS."""
    values = (
        bands.depth,
        bands.depth / plots.ANGSTROM_PER_NM,
        bands.strain,
        *bands.strain_68,
        *bands.strain_95,
        bands.debye_waller,
        *bands.debye_waller_68,
        *bands.debye_waller_95,
    )
    return dict(zip(PROFILE_COLUMNS, values, strict=True))


def _csv(columns: Mapping[str, NDArray[np.float64]]) -> str:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    lines = [",".join(f"{v:.12g}" if math.isfinite(v) else "nan" for v in row) for row in rows]
    return "\n".join([",".join(columns), *lines, ""])
