"""Warped coordinates: their slopes."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from strainscope.inversion.warp import GRID, Warp

INTENSITY = CubicSpline(GRID, np.exp(GRID))
STRENGTH = CubicSpline(GRID, np.sin(GRID))
WARPS = {
    "plain": Warp(),
    "intensity": Warp(intensities={0: INTENSITY}),
    "as seen": Warp(intensities={0: INTENSITY}, strengths={0: (2, STRENGTH)}),
}


@pytest.mark.parametrize("warp", WARPS.values(), ids=list(WARPS))
def test_the_jacobian_is_the_finite_difference(warp):
    z = np.random.default_rng(0).standard_normal((6, 3))
    step = 1e-5
    slopes = [(warp(z + shift) - warp(z - shift)) / (2 * step) for shift in step * np.eye(3)]
    np.testing.assert_allclose(warp.jacobian(z), np.stack(slopes, axis=-1), rtol=1e-5, atol=1e-7)
