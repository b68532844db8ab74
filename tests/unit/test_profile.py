"""Profile families: exact values, limits, derivatives against finite differences, vectorisation."""

import itertools
import pickle
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from strainscope.profile import (
    AmorphousLayer,
    AsymmetricPseudoVoigt,
    Constraint,
    CubicBSpline,
    DoubleGaussian,
    ExponentialDisorder,
    NoDisorder,
    ParameterSpec,
    Tabulated,
    TiedDisorder,
)

GARNET = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0])
DEPTH = np.linspace(0, 9000, 721)
TABLE = Tabulated(depth=(0, 300, 800, 1500, 2000), value=(0.002, 0.006, 0.009, 0.003, 0.0))

FAMILIES = {
    "double_gaussian": (DoubleGaussian(), GARNET),
    "contraction": (DoubleGaussian(sign=-1, minimum_strain=1e-5), GARNET),
    "spline": (CubicBSpline(), [1998.0, 0.001, 0.004, 0.007, 0.005, -0.002, 0.001]),
    "spline_one": (CubicBSpline(number=1), [700.0, 0.01]),
    "spline_debye_waller": (CubicBSpline(number=4, quantity="debye_waller"), [3000.0, 0.9, 0.5, 0.7, 1.0]),
    "pseudo_voigt": (AsymmetricPseudoVoigt(), [-0.01, 900.0, 700.0, 300.0, 0.3, 0.8]),
    "plateau": (AsymmetricPseudoVoigt(plateau=True), [0.01, 900.0, 700.0, 300.0, 0.3, 0.9, 0.004]),
    "fading": (AsymmetricPseudoVoigt(end=1300.0), [0.01, 900.0, 700.0, 900.0, 0.3, 0.9]),
    "pchip": (TABLE, [1.1, 0.9]),
    "linear": (replace(TABLE, interpolation="linear"), [1.1, 0.9]),
    "table_debye_waller": (
        Tabulated(depth=(0, 100, 700), value=(0.8, 0.6, 1.0), quantity="debye_waller"),
        [0.7, 1.3],
    ),
    "none": (NoDisorder(), []),
    "exponential": (ExponentialDisorder(family=DoubleGaussian(), scale=80.0), GARNET),
    "amorphous": (AmorphousLayer(), [300.0, 900.0, 40.0]),
    "amorphous_cap": (AmorphousLayer(buried=False), [900.0, 40.0]),
}
EVERY = pytest.mark.parametrize(("family", "values"), FAMILIES.values(), ids=FAMILIES)
STRAINS = pytest.mark.parametrize(
    ("family", "values"), [pair for pair in FAMILIES.values() if hasattr(pair[0], "maximum")]
)


def central(function, values, relative=1e-6):
    """Central differences of function(values) with respect to each value, on a new last axis."""
    values = np.asarray(values, dtype=float)
    slopes = []
    for i in range(values.size):
        step = relative * max(abs(values[i]), 1e-3)
        low, high = values.copy(), values.copy()
        low[i] -= step
        high[i] += step
        slopes.append((function(high) - function(low)) / (high[i] - low[i]))
    return np.stack(slopes, axis=-1)


def smooth_depths(family, values, clearance=1.0):
    """Depths away from the breakpoints, where a difference quotient is a derivative."""
    points = np.append(family.breakpoints(values), -1e9)
    return DEPTH[abs(DEPTH[:, None] - points).min(axis=1) > clearance]


# --- all families -----------------------------------------------------------------------------------------


@EVERY
def test_gradient_is_the_derivative(family, values):
    depth = smooth_depths(family, values)
    exact = family.gradient(depth, values)
    assert exact.shape == (depth.size, len(family.parameters))
    if not len(values):
        return
    expected = central(lambda v: family.evaluate(depth, v), values)
    largest = abs(expected).max(axis=0)
    assert (largest > 0).all()
    np.testing.assert_allclose(exact / largest, expected / largest, rtol=2e-6, atol=3e-7)


@EVERY
def test_rows_are_independent_of_the_batch(family, values):
    values = np.asarray(values, dtype=float)
    rows = values * (1 + 0.1 * np.random.default_rng(0).random((2, 3, values.size)))
    depth = DEPTH[::40]
    together, slopes = family.evaluate(depth, rows), family.gradient(depth, rows)
    assert together.shape == (2, 3, depth.size)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[i, j], family.evaluate(depth, rows[i, j]))
        np.testing.assert_array_equal(slopes[i, j], family.gradient(depth, rows[i, j]))
        np.testing.assert_array_equal(family.breakpoints(rows)[i, j], family.breakpoints(rows[i, j]))
        assert family.extent(rows, 1e-5)[i, j] == family.extent(rows[i, j], 1e-5)
    own_depth = depth * np.array([[1.0], [0.5]])
    np.testing.assert_array_equal(family.evaluate(own_depth, values)[1], family.evaluate(0.5 * depth, values))
    crossed = family.evaluate(own_depth[:, None], rows[0, :2])
    np.testing.assert_array_equal(crossed[1, 0], family.evaluate(own_depth[1], rows[0, 0]))


@EVERY
def test_inputs_are_left_alone(family, values):
    values, depth = np.array(values, dtype=float), DEPTH.copy()
    original = values.copy()
    for method in (family.evaluate, family.gradient):
        method(depth, values)[...] = 7
    family.breakpoints(values)[...] = 7
    np.testing.assert_array_equal(values, original)
    np.testing.assert_array_equal(depth, DEPTH)


@EVERY
@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_extent_bounds_the_tail(family, values, tolerance):
    end = family.extent(values, tolerance)
    beyond = end * (1 + 1e-12) + np.append(0.0, np.geomspace(1e-4, 1e7, 200))
    assert abs(family.evaluate(beyond, values) - family.limit).max() <= tolerance


@EVERY
def test_default_prior_is_legal(family, values):
    low = np.array([spec.lower for spec in family.parameters])
    high = np.array([spec.upper for spec in family.parameters])
    rows = low + (high - low) * np.random.default_rng(1).random((400, low.size))
    rows = rows[~family.violations(rows)]
    assert rows.shape[0] > 5
    family.check(rows)
    family.check(values)
    assert np.isfinite(family.gradient(DEPTH, rows)).all()
    assert (family.extent(rows, 1e-5) >= 0).all()


@EVERY
def test_settings_are_plain_values(family, values):
    assert pickle.loads(pickle.dumps(family)) == family
    assert hash(replace(family)) == hash(family)


@EVERY
def test_check_names_what_is_wrong(family, values):
    with pytest.raises(ValueError, match="last axis must hold"):
        family.check(np.append(values, 1.0))
    for i, spec in enumerate(family.parameters):
        wrong = np.tile(np.array(values, dtype=float), (3, 1))
        wrong[1, i] = np.nan
        with pytest.raises(ValueError, match=rf"{spec.name}\[1\] = nan.*finite"):
            family.check(wrong)


@STRAINS
def test_maximum_is_the_largest_magnitude(family, values):
    size, depth = family.maximum(values)
    fine = np.linspace(0, 9000, 900_001)
    found = abs(family.evaluate(fine, values) - family.limit)
    assert size == pytest.approx(found.max(), rel=1e-6)
    assert size >= found.max() * (1 - 1e-14)
    assert depth == pytest.approx(fine[found.argmax()], abs=0.02)


@STRAINS
def test_maximum_gradient_is_the_derivative_of_the_maximum(family, values):
    expected = central(lambda v: family.maximum(v)[0], values)
    exact = family.maximum_gradient(values)
    scale = np.maximum(abs(np.asarray(values, dtype=float)), 1e-3)
    np.testing.assert_allclose(exact * scale, expected * scale, atol=2e-7 * family.maximum(values)[0])
    both = family.maximum_gradient(np.stack([values, values]))
    np.testing.assert_array_equal(both, np.stack([exact, exact]))


# --- the double Gaussian ----------------------------------------------------------------------------------


def legal_garnets():
    """Every legal row, singular ones included and likely."""
    share = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))

    def build(dmax1, surface, l1, centre, d02, l2, rp2):
        return np.array([dmax1, 1e-6 + (dmax1 - 1e-6) * surface, l1, l1 * centre, d02, l2, rp2])

    height = st.one_of(st.just(1.0513e-4), st.floats(1.06e-4, 0.05))
    length = st.one_of(st.sampled_from([1e-9, 1.0, 500.0]), st.floats(0.1, 8000))
    return st.builds(
        build, height, share, length, share, height, length, st.sampled_from([0.0, -1e-9, -6010.0])
    )


@given(values=legal_garnets())
@settings(deadline=None, max_examples=200)
def test_every_legal_garnet_is_finite(values):
    family = DoubleGaussian()
    family.check(values)
    depth = np.concatenate((DEPTH, values[[2, 3, 5]]))
    strain, slopes = family.evaluate(depth, values), family.gradient(depth, values)
    assert np.isfinite(strain).all()
    assert np.isfinite(slopes).all()
    assert (strain >= 0).all()
    size, at = family.maximum(values)
    assert strain.max() <= size * (1 + 1e-12)
    assert size <= (values[0] + values[4]) * (1 + 1e-12)
    assert 0 <= at <= values[3]
    assert np.isfinite(family.maximum_gradient(values)).all()
    assert np.isfinite(family.extent(values, 1e-7))


@given(values=legal_garnets())
@settings(deadline=None, max_examples=100)
def test_marked_strains_of_the_definition(values):
    dmax1, d01, l1, rp1, d02, l2, rp2 = values
    if rp1 > 0.01:
        first_alone = DoubleGaussian().evaluate([0.0, rp1], values) - tail([0.0, rp1], values)
        # The two tails were each worked out; what their difference leaves is rounding of Rp2².
        rounding = 1e-16 * (1 + d02 * (rp2 / l2) ** 2)
        np.testing.assert_allclose(first_alone, [d01, dmax1], rtol=1e-9, atol=rounding)
    if l1 - rp1 > 0.01:
        assert DoubleGaussian().evaluate([l1], values) - tail([l1], values) == pytest.approx(1e-4, rel=1e-6)
    if l2 > 0.01:
        np.testing.assert_allclose(tail([0.0, l2], values), [d02, 1e-4], rtol=1e-9)


def tail(depth, values):
    """The second Gaussian as it is written in its definition."""
    depth, (d02, l2, rp2) = np.array(depth), values[4:]
    s3 = l2 * (l2 - 2 * rp2) / np.log(d02 / 1e-4)
    return d02 * np.exp((rp2**2 - (depth - rp2) ** 2) / s3)


def test_double_gaussian_equals_its_definition():
    dmax1, d01, l1, rp1, *_ = GARNET
    s = np.where(DEPTH < rp1, rp1**2 / np.log(dmax1 / d01), (l1 - rp1) ** 2 / np.log(dmax1 / 1e-4))
    expected = dmax1 * np.exp(-((DEPTH - rp1) ** 2) / s) + tail(DEPTH, GARNET)
    np.testing.assert_allclose(DoubleGaussian().evaluate(DEPTH, GARNET), expected, rtol=1e-12)
    np.testing.assert_allclose(DoubleGaussian(sign=-1).evaluate(DEPTH, GARNET), -expected, rtol=1e-12)


def test_marked_depths_of_a_garnet():
    strain = DoubleGaussian().evaluate([0.0, GARNET[3]], GARNET)
    assert strain[0] == pytest.approx(0.0017 + 0.004845, rel=1e-14)
    assert strain[1] == pytest.approx(0.01305 + tail(3500.0, GARNET), rel=1e-14)


@pytest.mark.parametrize(
    ("name", "index", "limit"), [("D01", 1, GARNET[0]), ("Rp1", 3, 0.0), ("L1", 2, GARNET[3])]
)
def test_singular_values_are_limits(name, index, limit):
    family, depth = DoubleGaussian(), DEPTH[1:][DEPTH[1:] != GARNET[3]]
    at, near = GARNET.copy(), GARNET.copy()
    at[index] = limit
    near[index] = limit - 1e-10 if name == "D01" else limit + 1e-4
    np.testing.assert_allclose(family.evaluate(depth, at), family.evaluate(depth, near), atol=2e-9)
    slopes = (family.evaluate(depth, near) - family.evaluate(depth, at)) / (near[index] - limit)
    np.testing.assert_allclose(family.gradient(depth, at)[:, index], slopes, rtol=1e-5, atol=1e-7)


def test_singular_shapes():
    family = DoubleGaussian()
    flat, surface, drop = (GARNET.copy() for _ in range(3))
    flat[1] = flat[0]
    surface[3] = 0.0
    drop[2] = drop[3]
    above = DEPTH[DEPTH < 3500]
    np.testing.assert_allclose(family.evaluate(above, flat) - tail(above, flat), 0.01305, rtol=1e-12)
    assert family.evaluate([0.0], surface) == pytest.approx(0.01305 + 0.004845, rel=1e-14)
    np.testing.assert_allclose(family.evaluate([3500.01], drop), tail([3500.01], drop), rtol=1e-12)
    assert family.evaluate([3500.0], drop) == pytest.approx(0.01305 + tail(3500.0, drop), rel=1e-12)


@pytest.mark.parametrize("index", [0, 4])
def test_heights_at_the_minimum_fade_without_growing(index):
    family = DoubleGaussian()
    rows = np.tile(GARNET, (5, 1))
    rows[:, index] = [2e-4, 1.0513e-4, 1e-4, 1e-6, 1e-12]
    rows[:, 1] = np.minimum(rows[:, 1], rows[:, 0])
    strain = family.evaluate(DEPTH, rows)
    assert np.isfinite(family.gradient(DEPTH, rows)).all()
    assert (family.extent(rows, 1e-6) < 3e5).all()
    other = 4 - index
    np.testing.assert_allclose(strain.max(axis=-1)[-1], GARNET[other], rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, 1e-4, r"Dmax1 = 0.0001; it must be >= 0.0001051, 1.0513 × minimum_strain; lower minimum_strain"),
        (4, 1e-5, r"D02 = 1e-05; it must be >= 0.0001051"),
        (1, 0.0, r"D01 = 0; it must be > 0"),
        (1, 0.02, r"D01 = 0.02; it must be <= Dmax1"),
        (2, 3499.0, r"L1 = 3499 Å; it must be >= Rp1"),
        (3, -1.0, r"Rp1 = -1 Å; it must be >= 0 Å"),
        (5, 0.0, r"L2 = 0 Å; it must be > 0 Å"),
        (6, 1.0, r"Rp2 = 1 Å; it must be <= 0 Å"),
    ],
)
def test_double_gaussian_refuses(index, value, message):
    wrong = GARNET.copy()
    wrong[index] = value
    with pytest.raises(ValueError, match=message):
        DoubleGaussian().check(wrong)


@pytest.mark.parametrize("wrong", [{"sign": 0}, {"minimum_strain": 0.0}, {"largest_surface_strain": -1.0}])
def test_double_gaussian_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DoubleGaussian(**wrong)


def test_constraints_are_exact_on_both_grids_of_the_predecessor():
    family = DoubleGaussian()
    heights = [0.0025 + i * 0.0025 for i in range(10)]

    def allowed(dmax1, d01, d02, l1, rp1, l2):
        grid = np.array(list(itertools.product(dmax1, d01, l1, rp1, d02, l2, [-10.0])))
        return int((~family.violations(grid)).sum())

    # The constraints fall into two independent groups, so the counts multiply.
    triples = allowed(heights, heights, heights, [7000.0], [490.0], [500.0])
    assert triples == 430
    l1, rp1 = range(500, 7001, 500), range(490, 4991, 500)
    first = allowed([0.01], [0.01], [0.01], l1, rp1, range(500, 4501, 1000))
    second = allowed([0.01], [0.01], [0.01], l1, rp1, range(500, 5001, 500))
    assert triples * first * 7 == 1_219_050
    assert triples * second * 13 == 4_388_150


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
@settings(deadline=None)
def test_decimal_constraints_hold_as_decimals(dmax1, d01, d02):
    values = np.array([dmax1 * 1e-4, d01 * 1e-4, 5800.0, 3500.0, d02 * 1e-4, 4000.0, -500.0])
    broken = d01 > dmax1 or Fraction(d01 + d02, 10_000) > Fraction(3, 100)
    assert bool(DoubleGaussian().violations(values)) == broken


def test_rounding_that_passes_the_constraints_passes_the_check():
    values = GARNET.copy()
    values[1] = np.nextafter(values[0], 1.0)
    values[2] = np.nextafter(values[3], 0.0)
    values[5] = values[2]
    family = DoubleGaussian()
    assert not family.violations(values)
    family.check(values)
    assert np.isfinite(family.gradient(DEPTH, values)).all()


def test_constraints_read_as_inequalities():
    assert [str(c) for c in DoubleGaussian().constraints] == [
        "D01 - Dmax1 <= 0",
        "D01 + D02 <= 0.03",
        "Rp1 - L1 <= 0",
        "L2 - L1 <= 0",
    ]
    assert str(Constraint(terms=(("a", -2.0), ("b", 1.0)), upper=1.0)) == "- 2 a + b <= 1"


def test_maximum_finds_a_narrow_hump_at_the_surface():
    values = np.array([0.004, 0.0039, 7000.0, 7000.0, 0.02, 20.0, 0.0])
    size, depth = DoubleGaussian().maximum(values)
    fine = np.linspace(0, 20, 200_001)
    strain = DoubleGaussian().evaluate(fine, values)
    assert size == pytest.approx(strain.max(), rel=1e-12)
    assert depth == pytest.approx(fine[strain.argmax()], abs=1e-3)


# --- splines ----------------------------------------------------------------------------------------------


@given(st.integers(1, 30), st.floats(50, 9000), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_spline_equals_scipy(number, depth, random):
    weights = [random.uniform(-0.03, 0.03) for _ in range(number)]
    z = np.linspace(0, depth * 1.2, 101)
    knots = np.arange(-3, number + 4)
    reference = BSpline(knots, np.array([0, 0, 0, *weights[::-1]]), 3)
    expected = np.where(z < depth, reference(np.clip(number * (1 - z / depth), 0, number)), 0)
    np.testing.assert_allclose(
        CubicBSpline(number=number).evaluate(z, [depth, *weights]), expected, atol=1e-15
    )


def test_splines_are_a_partition_of_unity():
    # Away from the lower end, where the three fixed weights enter, equal weights give a constant.
    z = np.linspace(0, 1000, 50)
    np.testing.assert_allclose(CubicBSpline().evaluate(z, [2000.0] + [0.01] * 6), 0.01, rtol=1e-14)
    family = CubicBSpline(quantity="debye_waller")
    np.testing.assert_allclose(family.evaluate(DEPTH, [2000.0] + [1.0] * 6), 1.0, rtol=1e-15)
    np.testing.assert_allclose(
        CubicBSpline().gradient(z, [2000.0] + [0.01] * 6)[:, 1:].sum(-1), 1, rtol=1e-14
    )


def test_single_weight_has_the_cardinal_values():
    family = CubicBSpline(number=6)
    knots = 600.0 * (1 - np.arange(7) / 6)
    weight_4 = [600.0, 0, 0, 0, 6.0, 0, 0]  # w_5: B3 on heights 2 to 6 of t/n
    np.testing.assert_allclose(family.evaluate(knots, weight_4), [0, 0, 0, 1, 4, 1, 0], atol=1e-13)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_spline_has_two_continuous_derivatives_at_every_knot(order):
    family, values = CubicBSpline(), np.array([1200.0, 0.01, -0.02, 0.03, 0.01, 0.02, -0.03])
    step = 0.01
    jumps = []
    for knot in family.breakpoints(values):
        sides = []
        for side in (-1, 1):
            z = knot + side * step * np.arange(1, 5)
            polynomial = np.polynomial.Polynomial.fit((z - knot) * side, family.evaluate(z, values), 3)
            sides.append(polynomial.deriv(order)(0.0) * side**order if order else polynomial(0.0))
        jumps.append(sides[1] - sides[0])
    curvature = 0.03 / (1200 / 6) ** 2
    assert np.abs(jumps).max() < (1e-9, 1e-8, 0.02 * curvature)[order]


def test_spline_meets_the_crystal_and_stays_there():
    for quantity, limit in (("strain", 0.0), ("debye_waller", 1.0)):
        beyond = CubicBSpline(quantity=quantity).evaluate([700.0, 701.0, 1e9], [700.0] + [0.5] * 6)
        np.testing.assert_array_equal(beyond, limit)


def test_spline_extent_drops_idle_cells():
    assert CubicBSpline().extent([600.0, 0.01, 0, 0, 0, 0, 0], 1e-6) == pytest.approx(100.0)
    assert CubicBSpline().extent([600.0, 0, 0, 0, 0, 0, 0.01], 1e-6) == 600.0
    assert CubicBSpline().extent([600.0] + [0] * 6, 1e-6) == 0.0


@given(
    st.lists(st.one_of(st.just(0.0), st.floats(-0.03, 0.03)), min_size=5, max_size=5), st.floats(1e-9, 9000)
)
@settings(deadline=None, max_examples=150)
def test_every_legal_spline_is_finite_and_below_its_maximum(weights, depth):
    family, values = CubicBSpline(number=5), np.array([depth, *weights])
    family.check(values)
    z = np.append(np.linspace(0, 1.1 * depth, 201), [0.0, depth, 1e5])
    strain = family.evaluate(z, values)
    size, at = family.maximum(values)
    assert np.isfinite(family.gradient(z, values)).all()
    assert abs(strain).max() <= size * (1 + 1e-9) + 1e-15
    assert 0 <= at <= depth
    assert size <= max(map(abs, weights)) * (1 + 1e-12)
    assert np.isfinite(family.maximum_gradient(values)).all()


@pytest.mark.parametrize("wrong", [{"number": 0}, {"quantity": "E"}])
def test_spline_settings(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CubicBSpline(**wrong)
    with pytest.raises(ValueError, match=r"depth\[1\] = 0 Å; it must be > 0 Å"):
        CubicBSpline(number=1).check([[1.0, 0.0], [0.0, 0.0]])


# --- pseudo-Voigt -----------------------------------------------------------------------------------------


def test_pseudo_voigt_widths_are_full_widths_at_half_maximum():
    values = [0.02, 1000.0, 800.0, 200.0, 0.7, 0.1]
    strain = AsymmetricPseudoVoigt().evaluate([600.0, 1000.0, 1100.0], values)
    np.testing.assert_allclose(strain, [0.01, 0.02, 0.01], rtol=1e-14)


@pytest.mark.parametrize(("eta", "at_three"), [(1.0, 1 / 10), (0.0, 2.0**-9)])
def test_pseudo_voigt_is_lorentzian_or_gaussian(eta, at_three):
    strain = AsymmetricPseudoVoigt().evaluate([2500.0], [0.02, 1000.0, 300.0, 1000.0, 0.5, eta])
    assert strain == pytest.approx(0.02 * at_three, rel=1e-13)


def test_plateau_is_what_the_surface_side_falls_to():
    family = AsymmetricPseudoVoigt(plateau=True)
    values = [0.02, 6000.0, 10.0, 100.0, 0.0, 0.0, 0.005]
    np.testing.assert_allclose(
        family.evaluate([0.0, 5000.0, 6000.0], values), [0.005, 0.005, 0.02], rtol=1e-12
    )
    assert family.maximum([0.002, *values[1:]]) == (pytest.approx(0.005), 0.0)


def test_a_pseudo_voigt_fades_to_its_end():
    family, values = AsymmetricPseudoVoigt(end=5000.0), [0.02, 1000.0, 300.0, 4000.0, 0.5, 1.0]
    deeper = AsymmetricPseudoVoigt(end=50_000.0)
    depth = np.array([3999.0, 4500.0, 5000.0, 9000.0])
    share = family.evaluate(depth, values) / deeper.evaluate(depth, values)
    np.testing.assert_allclose(share, [1.0, 0.5, 0.0, 0.0], rtol=1e-12)
    assert family.extent(values, 1e-12) == 5000.0
    assert family.spec("centre").upper == 4000.0
    with pytest.raises(ValueError, match=r"centre = 4100 Å; it must be <= 4000 Å, 0.8 × end; raise end \(end_A"):
        family.check([0.02, 4100.0, 300.0, 300.0, 0.5, 0.5])
    with pytest.raises(ValueError, match="end = 0 Å; it must be > 0 Å"):
        AsymmetricPseudoVoigt(end=0.0)


HEIGHTS, WIDTHS = st.floats(-0.05, 0.05), st.sampled_from([1e-12, 1.0, 7000.0])
SHARES = st.sampled_from([0.0, 0.4, 1.0])


@given(st.tuples(HEIGHTS, st.sampled_from([0.0, 1e-9, 700.0]), WIDTHS, WIDTHS, SHARES, SHARES, HEIGHTS))
@settings(deadline=None, max_examples=100)
def test_every_legal_pseudo_voigt_is_finite(row):
    family, values = AsymmetricPseudoVoigt(plateau=True), np.array(row)
    family.check(values)
    z = np.append(DEPTH, [values[1], 1e7])
    assert np.isfinite(family.gradient(z, values)).all()
    assert abs(family.evaluate(z, values)).max() <= family.maximum(values)[0] * (1 + 1e-12)
    assert np.isfinite(family.maximum_gradient(values)).all()
    assert np.isfinite(family.extent(values, 1e-8))


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (1, -1.0, "centre = -1 Å; it must be >= 0 Å"),
        (2, 0.0, "fwhm_surface = 0 Å; it must be > 0 Å"),
        (5, 1.5, "eta_deep = 1.5; it must lie in 0 to 1"),
    ],
)
def test_pseudo_voigt_refuses(index, value, message):
    wrong = np.array([0.01, 900.0, 700.0, 300.0, 0.3, 0.8])
    wrong[index] = value
    with pytest.raises(ValueError, match=message):
        AsymmetricPseudoVoigt().check(wrong)


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["linear", "pchip"])
def test_table_passes_its_nodes_and_ends_at_the_limit(interpolation):
    depth, value = np.array([0.0, 10.0, 35.0, 80.0]), np.array([0.01, 0.02, 0.004, 0.003])
    family = Tabulated(depth=depth, value=value, interpolation=interpolation)
    np.testing.assert_allclose(family.evaluate(depth, [1.0, 1.0]), value, rtol=1e-14)
    np.testing.assert_array_equal(family.evaluate([80.0001, 1e6], [1.0, 1.0]), 0.0)
    np.testing.assert_allclose(family.evaluate(1.5 * depth[:3], [-2.0, 1.5]), -2 * value[:3], rtol=1e-12)
    fine = family.evaluate(np.linspace(10, 80, 500), [1.0, 1.0])
    assert (np.diff(fine) <= 1e-16).all()
    np.testing.assert_allclose(family.breakpoints([1.0, 2.0]), 2 * depth[1:])


def test_linear_table_is_straight():
    family = Tabulated(depth=(0, 10), value=(1.0, 0.5), quantity="debye_waller", interpolation="linear")
    np.testing.assert_allclose(family.evaluate([2.0, 4.0, 20.0], [1.0, 1.0]), [0.9, 0.8, 1.0], rtol=1e-14)
    np.testing.assert_allclose(family.evaluate([2.0, 4.0, 20.0], [2.0, 1.0]), [0.8, 0.6, 1.0], rtol=1e-14)


def test_table_extent_stops_at_the_last_node_that_matters():
    family = Tabulated(depth=(0, 10, 20, 30), value=(0.01, 0.01, 1e-6, 0.0))
    assert family.extent([1.0, 2.0], 1e-5) == 40.0
    assert family.extent([100.0, 2.0], 1e-5) == 60.0
    assert family.extent([0.0, 2.0], 1e-5) == 0.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depth": (0, 20, 20), "value": (1, 2, 3)}, r"depth\[2\] = 20 Å; it must be > depth\[1\] = 20 Å"),
        ({"depth": (5, 20), "value": (1, 2)}, r"depth\[0\] = 5 Å; the table must begin at the surface"),
        ({"depth": (0, 20), "value": (1, 2, 3)}, "2 depths, 3 values"),
        ({"depth": (0, np.inf), "value": (1, 2)}, "not finite"),
        ({"depth": (0, 1), "value": (1, 2), "quantity": "E"}, "quantity = 'E'"),
        ({"depth": (0, 1), "value": (1, 2), "interpolation": "cubic"}, "interpolation = 'cubic'"),
    ],
)
def test_table_settings(wrong, message):
    with pytest.raises(ValueError, match=message):
        Tabulated(**wrong)


def test_table_refuses_no_stretch():
    with pytest.raises(ValueError, match="stretch = 0; it must be > 0"):
        TABLE.check([1.0, 0.0])


# --- disorder ---------------------------------------------------------------------------------------------


def test_tied_disorder_at_its_marks():
    family = TiedDisorder()
    np.testing.assert_allclose(family.evaluate([0.0, 0.005, -0.01], 0.01, [0.6, 2.0]), [1.0, 0.85, 0.4])
    np.testing.assert_array_equal(family.evaluate([0.0, 0.0], 0.0, [0.6, 0.5]), 1.0)
    np.testing.assert_array_equal(family.evaluate([[0.01], [0.02]], [0.01, 0.02], [1.0, 0.3]), 0.0)


@pytest.mark.parametrize("n", [0.4, 1.0, 1.7, 3.0])
def test_tied_gradient_is_the_derivative(n):
    family, values = TiedDisorder(), np.array([0.6, n])
    strain = np.array([-0.009, -0.002, 0.001, 0.005, 0.0099])
    exact = family.gradient(strain, 0.01, values)
    step = 1e-8
    rise = family.evaluate(strain + step, 0.01, values) - family.evaluate(strain - step, 0.01, values)
    np.testing.assert_allclose(exact.strain, rise / (2 * step), rtol=1e-6)
    rise = family.evaluate(strain, 0.01 + step, values) - family.evaluate(strain, 0.01 - step, values)
    np.testing.assert_allclose(exact.strain_max, rise / (2 * step), rtol=1e-6)
    by_values = central(lambda v: family.evaluate(strain, 0.01, v), values)
    np.testing.assert_allclose(exact.values, by_values, rtol=1e-6)


def test_tied_chain_rule_through_a_strain_family():
    strain_family, tied = DoubleGaussian(), TiedDisorder()
    depth, values = smooth_depths(strain_family, GARNET)[::10], np.array([0.6, 0.5])

    def disorder(garnet):
        return tied.evaluate(strain_family.evaluate(depth, garnet), strain_family.maximum(garnet)[0], values)

    slopes = tied.gradient(strain_family.evaluate(depth, GARNET), strain_family.maximum(GARNET)[0], values)
    exact = slopes.strain[:, None] * strain_family.gradient(depth, GARNET)
    exact += slopes.strain_max[:, None] * strain_family.maximum_gradient(GARNET)
    expected = central(disorder, GARNET)
    largest = abs(expected).max(axis=0)
    np.testing.assert_allclose(exact / largest, expected / largest, atol=1e-6)


@given(
    st.lists(st.one_of(st.sampled_from([0.0, 1e-300, 1e-40, 1.0, -1.0]), st.floats(-1, 1)), min_size=1),
    st.sampled_from([0.0, 1e-12, 0.01]),
    st.floats(0, 1),
    st.floats(0.3, 4),
)
@settings(deadline=None, max_examples=150)
def test_tied_disorder_is_finite_and_within_0_and_1(shares, largest, k, n):
    family, values, strain = TiedDisorder(), np.array([k, n]), np.array(shares) * largest
    family.check(values)
    factor = family.evaluate(strain, largest, values)
    assert ((factor >= 0) & (factor <= 1)).all()
    for slopes in family.gradient(strain, largest, values):
        assert np.isfinite(slopes.astype(np.float32) if largest != 1e-12 else slopes).all()
    small = family.strain_tolerance(largest, values, 1e-4)
    assert small > 0
    assert 1 - family.evaluate([small], largest, values) <= 1e-4 * (1 + 1e-6)


def test_tied_disorder_refuses():
    with pytest.raises(ValueError, match="K = 1.1; it must lie in 0 to 1"):
        TiedDisorder().check([1.1, 1.0])
    with pytest.raises(ValueError, match="n = 0.1; it must lie in 0.3 to 8"):
        TiedDisorder().check([0.5, 0.1])


def test_exponential_disorder():
    strain = CubicBSpline(weight_range=(0.0, 3.0))
    family, values = ExponentialDisorder(family=strain), [900.0, 0.5, 1.0, 2.0, 1.0, 0.5, 0.2]
    np.testing.assert_allclose(family.evaluate(DEPTH, values), np.exp(-strain.evaluate(DEPTH, values)))
    assert family.parameters == strain.parameters
    assert ExponentialDisorder(family=DoubleGaussian()).constraints == DoubleGaussian().constraints
    with pytest.raises(ValueError, match="exponent = -.* Å; it must be >= 0"):
        family.check([900.0, 0.5, -1.0, -1.0, -1.0, -0.5, -0.2])
    with pytest.raises(ValueError, match="limit of family = 1"):
        ExponentialDisorder(family=CubicBSpline(quantity="debye_waller"))
    with pytest.raises(ValueError, match="scale = 0"):
        ExponentialDisorder(family=strain, scale=0.0)


def test_amorphous_layer_is_dark_inside_and_perfect_outside():
    factor = AmorphousLayer().evaluate([0.0, 300.0, 600.0, 900.0, 1500.0], [300.0, 900.0, 20.0])
    np.testing.assert_allclose(factor, [1, 0.5, 0, 0.5, 1], atol=1e-15)
    cap = AmorphousLayer(buried=False).evaluate([0.0, 900.0, 1500.0], [900.0, 20.0])
    np.testing.assert_allclose(cap, [0, 0.5, 1], atol=1e-15)


@given(st.floats(0, 3000), st.floats(0, 3000), st.one_of(st.sampled_from([0.0, 1e-12]), st.floats(0, 500)))
@settings(deadline=None, max_examples=100)
def test_every_legal_amorphous_layer_is_finite_and_within_0_and_1(top, thickness, roughness):
    family, values = AmorphousLayer(), np.array([top, top + thickness, roughness])
    family.check(values)
    z = np.append(DEPTH, values[:2])
    factor = family.evaluate(z, values)
    assert ((factor >= 0) & (factor <= 1)).all()
    assert np.isfinite(family.gradient(z, values)).all()
    assert (family.breakpoints(values) >= 0).all()


def test_amorphous_layer_refuses():
    with pytest.raises(ValueError, match="bottom = 100 Å; it must be >= top"):
        AmorphousLayer().check([300.0, 100.0, 5.0])
    with pytest.raises(ValueError, match="roughness = -1 Å; it must be >= 0 Å"):
        AmorphousLayer(buried=False).check([300.0, -1.0])
    assert AmorphousLayer().violations([[300.0, 100.0, 5.0], [100.0, 100.0, 5.0]]).tolist() == [True, False]


# --- specifications ---------------------------------------------------------------------------------------


def test_parameter_specifications_refuse_nonsense():
    with pytest.raises(ValueError, match="unit of a = 'nm'; it must be '1' or 'Å'"):
        ParameterSpec(name="a", unit="nm", lower=0, upper=1, description="")
    with pytest.raises(ValueError, match="a = 1 to 1; its lower bound must be < the upper"):
        ParameterSpec(name="a", unit="1", lower=1, upper=1, description="")
    assert DoubleGaussian().spec("Rp2").unit == "Å"
