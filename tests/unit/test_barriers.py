"""Barriers: maxima along a bent valley are one, maxima with a ridge between them are not."""

import numpy as np
import pytest

from strainscope.inversion.barriers import LOW, barrier, connected


class Valley:
    """Residuals (x² - 1) h, which has a ridge of h² between its minima at x = ±1, and k (y - b x²), and a prior."""

    def __init__(self, *, ridge, bend):
        self.height, self.bend = np.sqrt(ridge), bend

    def misfit(self, z):
        return (self.linearised(z)[0] ** 2).sum(axis=1)

    def linearised(self, z):
        x, y = z.T
        narrow = 30.0
        residuals = np.stack([self.height * (x**2 - 1), narrow * (y - self.bend * x**2), x, y], axis=1)
        zero, one = np.zeros_like(x), np.ones_like(x)
        slopes = [
            [2 * self.height * x, zero],
            [-2 * narrow * self.bend * x, narrow * one],
            [one, zero],
            [zero, one],
        ]
        return residuals, np.moveaxis(np.array(slopes), -1, 0)


def ends(bend):
    return np.array([[-1.0, bend], [1.0, bend]])


@pytest.mark.parametrize("bend", [0.0, 1.5])
def test_a_ridge_is_as_high_as_it_is(bend):
    # At the ridge the prior has less to say: x = y = 0.
    height = barrier(Valley(ridge=20.0, bend=bend), *ends(bend), relaxed=15)
    assert height == pytest.approx(20.0 - 1 - bend**2, abs=0.5)


def test_a_bent_valley_is_followed():
    valley = Valley(ridge=1.0, bend=2.0)
    straight = valley.misfit(np.array([[0.0, 2.0]]))[0]
    assert straight > 1000
    assert barrier(valley, *ends(2.0), relaxed=0) > 1000
    assert barrier(valley, *ends(2.0), relaxed=6) < LOW


def test_maxima_are_one_through_others():
    low, high = Valley(ridge=2.0, bend=0.0), Valley(ridge=30.0, bend=0.0)
    places = np.array([[-1.0, 0.0], [1.0, 0.0], [-0.9, 0.0], [1.1, 0.0]])
    np.testing.assert_array_equal(connected(low, places, relaxed=6), [0, 0, 0, 0])
    np.testing.assert_array_equal(connected(high, places, relaxed=6), [0, 1, 0, 1])
