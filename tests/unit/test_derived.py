"""What follows from a profile: known for profiles that can be done by hand."""

import numpy as np
import pytest

from strainscope.inversion.derived import derived_quantities
from strainscope.profile import DepthProfile, DoubleGaussian, Tabulated

# A plain Gaussian to either side of 3000 Å, which is the profile's maximum.
GAUSSIAN = np.array([0.01, 0.01, 3000.0, 3000.0, 1e-9, 3000.0, 0.0])


def found(profile, best, drawn=None, **more):
    drawn = np.repeat(best[None], 3, axis=0) if drawn is None else drawn
    return {d.name: d for d in derived_quantities(profile, best, drawn, **more)}


def test_a_triangle_is_measured_by_hand():
    table = Tabulated(depth=(0.0, 1000.0, 2000.0), value=(0.0, 0.01, 0.0), interpolation="linear")
    profile = DepthProfile(strain=table)
    best = np.array([1.0, 1.0])
    own = found(profile, best, expansion_ratio=2.0)
    assert own["maximum_strain"].value == pytest.approx(0.01)
    assert own["maximum_strain_depth"].value == pytest.approx(1000.0)
    assert own["strain_area"].value == pytest.approx(10.0, rel=1e-3)
    assert own["damaged_depth"].value == pytest.approx(1950.0, rel=1e-3)
    assert own["maximum_free_strain"].value == pytest.approx(0.005)
    # Contraction is measured alike, with its sign.
    turned = found(profile, -best * [1, -1])
    assert turned["maximum_strain"].value == pytest.approx(-0.01)
    assert turned["strain_area"].value == pytest.approx(-10.0, rel=1e-3)
    assert turned["damaged_depth"].value == pytest.approx(1950.0, rel=1e-3)
    assert "maximum_free_strain" not in turned


def test_intervals_are_those_of_the_draws_and_hold_the_value():
    profile = DepthProfile(strain=DoubleGaussian())
    rng = np.random.default_rng(0)
    drawn = np.repeat(GAUSSIAN[None], 4000, axis=0)
    size = 0.01 * (1 + 0.1 * rng.standard_normal(4000))
    drawn[:, 0] = drawn[:, 1] = size
    own = found(profile, GAUSSIAN, drawn)["maximum_strain"]
    np.testing.assert_allclose(own.interval_68, [0.009, 0.011], rtol=0.01)
    np.testing.assert_allclose(own.interval_95, [0.00804, 0.01196], rtol=0.01)
    # A best profile off all draws is held, too.
    off = GAUSSIAN.copy()
    off[:2] = 0.02
    own = found(profile, off, drawn)["maximum_strain"]
    assert own.interval_68[1] == own.value == pytest.approx(0.02)


def test_an_undamaged_crystal_has_no_depth():
    table = Tabulated(depth=(0.0, 1000.0), value=(0.0, 0.0))
    own = found(DepthProfile(strain=table), np.array([1.0, 1.0]))
    assert own["maximum_strain"].value == 0
    assert own["damaged_depth"].value == 0
    assert own["strain_area"].value == 0
