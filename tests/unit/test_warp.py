"""Warped coordinates: their slopes, and the way back."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from strainscope.inversion.warp import GRID, Warp

INTENSITY = CubicSpline(GRID, np.exp(GRID))
STRENGTH = CubicSpline(GRID, np.sin(GRID))
WARPS = {
    "plain": Warp(),
    "intensity": Warp(intensities={0: INTENSITY}),
    "as seen": Warp(intensities={0: INTENSITY}, strengths={0: (2, STRENGTH)}),
}


@pytest.mark.parametrize("warp", WARPS.values(), ids=list(WARPS))
def test_gradients_are_pulled_through(warp):
    rng = np.random.default_rng(0)
    z, gradient = rng.standard_normal((2, 6, 3))
    found = warp.pulled(z, gradient)
    step = 1e-5
    for i in range(3):
        shift = step * np.eye(3)[i]
        slope = ((warp(z + shift) - warp(z - shift)) * gradient).sum(axis=1) / (2 * step)
        np.testing.assert_allclose(found[:, i], slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("warp", WARPS.values(), ids=list(WARPS))
def test_the_way_back(warp):
    z = np.random.default_rng(1).uniform(-2, 2, (20, 3))
    np.testing.assert_allclose(warp.back(warp(z)), z, atol=1e-3)


def test_what_lies_beyond_an_end_is_reflected():
    back = Warp().back(np.array([[-0.1, 1.2, 0.5]]))
    np.testing.assert_allclose(ndtr(back), [[0.1, 0.8, 0.5]], atol=1e-9)
    back = WARPS["intensity"].back(np.array([[-1.0, 0.5, 0.5]]))
    np.testing.assert_allclose(back, 0.0, atol=1e-2)
