"""Unit coordinates of the prior: every point obeys every constraint, and nothing is lost on the way."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from strainscope.prior import Prior
from strainscope.profile import (
    AmorphousLayer,
    Constraint,
    DepthProfile,
    DoubleGaussian,
    ParameterSpec,
    TiedDisorder,
)
from strainscope.profile.shape import Falling, LogUniform, Normal, Uniform

FAMILIES = {
    "tied": DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder()),
    "amorphous": DepthProfile(strain=DoubleGaussian(), disorder=AmorphousLayer()),
}
NAMES = [spec.name for spec in FAMILIES["tied"].parameters]


def prior_of(profile, held=None, **bounds):
    parameters = [
        replace(s, lower=bounds[s.name][0], upper=bounds[s.name][1]) if s.name in bounds else s
        for s in profile.parameters
    ]
    return Prior(parameters=tuple(parameters), constraints=profile.constraints, held=held or {})


def spec(name, lower, upper):
    return ParameterSpec(name=name, unit="1", lower=lower, upper=upper, description=name)


def chain(names="abc"):
    """The constraints a <= b <= c."""
    return tuple(
        Constraint(terms=((x, 1.0), (y, -1.0)), upper=0.0) for x, y in zip(names, names[1:], strict=False)
    )


def assert_obeys(prior, values):
    """Values lie between the bounds, hold what is held, and break no constraint (rounding aside)."""
    for i, s in enumerate(prior.parameters):
        room = 1e-9 * (s.upper - s.lower)
        if s.name in prior.held:
            assert values[..., i] == pytest.approx(prior.held[s.name], rel=1e-12)
        else:
            assert (values[..., i] >= s.lower - room).all()
            assert (values[..., i] <= s.upper + room).all()
    for constraint in prior.constraints:
        terms = [factor * values[..., prior.names.index(name)] for name, factor in constraint.terms]
        # Rounding of what the bounds were worked from, not of what is left of it.
        ends = {s.name: max(abs(s.lower), abs(s.upper)) for s in prior.parameters}
        size = abs(constraint.upper) + sum(abs(factor) * ends[name] for name, factor in constraint.terms)
        assert (sum(terms) - constraint.upper <= 1e-12 * size).all()


@st.composite
def priors(draw):
    """A family with bounds drawn inside its own, and some parameters held."""
    profile = FAMILIES[draw(st.sampled_from(sorted(FAMILIES)))]
    parameters, held = [], {}
    for s in profile.parameters:
        low, high = sorted(draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
        assume(high - low > 1e-3)
        room = s.upper - s.lower
        own = replace(s, lower=s.lower + low * room, upper=s.lower + high * room)
        parameters.append(own)
        if draw(st.integers(0, 4)) == 0:
            held[s.name] = own.lower + draw(st.floats(0, 1)) * (own.upper - own.lower)
    # Two held values that break a constraint between them are the caller's; they are another test's matter.
    both = [c for c in profile.constraints if all(name in held for name, _ in c.terms)]
    assume(all(sum(f * held[n] for n, f in c.terms) <= c.upper for c in both))
    try:
        return Prior(parameters=tuple(parameters), constraints=profile.constraints, held=held)
    except ValueError:
        assume(False)
        raise


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(prior=priors(), data=st.data())
def test_every_unit_coordinate_obeys_every_bound_and_constraint(prior, data):
    n = len(prior.names)
    unit = data.draw(arrays(np.float64, (5, n), elements=st.floats(0, 1)))
    corners = np.array([np.zeros(n), np.ones(n), np.arange(n) % 2, 1 - np.arange(n) % 2], dtype=np.float64)
    assert_obeys(prior, prior.from_unit(np.concatenate([unit, corners])))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(prior=priors(), data=st.data())
def test_round_trip_of_values_and_of_coordinates(prior, data):
    unit = data.draw(arrays(np.float64, (4, len(prior.names)), elements=st.floats(0.01, 0.99)))
    values = prior.from_unit(unit)
    back = prior.to_unit(values)
    again = prior.from_unit(back)
    width = np.array([s.upper - s.lower for s in prior.parameters])
    np.testing.assert_allclose(again / width, values / width, rtol=1e-9, atol=1e-9)
    # A coordinate whose range has shrunk to rounding says nothing.
    low, high = prior._bounds(unit)
    wide = (high - low > 1e-4 * width)[:, prior.free]
    np.testing.assert_allclose(back[:, prior.free][wide], unit[:, prior.free][wide], atol=1e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(prior=priors(), data=st.data())
def test_unit_jacobian_is_the_finite_difference(prior, data):
    unit = data.draw(arrays(np.float64, len(prior.names), elements=st.floats(0.02, 0.98)))
    jacobian = prior.unit_jacobian(unit)
    n, step = len(prior.names), 1e-4
    here = prior.from_unit(unit)
    forward = (prior.from_unit(unit + step * np.eye(n)) - here).T / step
    backward = (here - prior.from_unit(unit - step * np.eye(n))).T / step
    width = np.array([s.upper - s.lower for s in prior.parameters])[:, None]
    # Where the two sides differ, two bounds swap within the step.
    smooth = abs(forward - backward) < 1e-8 * width
    assert smooth.mean() > 0.8
    np.testing.assert_allclose((jacobian / width)[smooth], (forward / width)[smooth], atol=1e-7)


def test_unit_jacobian_passes_a_bound_on_to_what_it_bounds():
    # D01 lies between its lower bound and Dmax1, so that raising Dmax1 raises D01 by its share.
    prior = prior_of(FAMILIES["tied"], D01=(0.001, 0.03), Dmax1=(0.002, 0.01))
    unit = np.full(9, 0.5)
    unit[NAMES.index("D01")] = 0.25
    jacobian = prior.unit_jacobian(unit)
    d01, dmax1 = NAMES.index("D01"), NAMES.index("Dmax1")
    assert jacobian[dmax1, dmax1] == pytest.approx(0.008)
    assert jacobian[d01, dmax1] == pytest.approx(0.25 * 0.008)
    assert jacobian[d01, d01] == pytest.approx(0.006 - 0.001)
    assert jacobian[dmax1, d01] == 0.0


def test_held_parameters_stay_and_bind_the_others():
    prior = prior_of(FAMILIES["tied"], held={"L2": 4000.0, "D01": 0.012})
    unit = np.random.default_rng(1).uniform(size=(500, 9))
    values = prior.from_unit(unit)
    assert (values[:, NAMES.index("L2")] == 4000.0).all()
    assert values[:, NAMES.index("L1")].min() >= 4000.0
    assert values[:, NAMES.index("Dmax1")].min() >= 0.012
    assert values[:, NAMES.index("D02")].max() <= 0.018 + 1e-12
    assert [prior.names[i] for i in prior.free] == [n for n in NAMES if n not in ("L2", "D01")]
    held = [NAMES.index("L2"), NAMES.index("D01")]
    assert (prior.to_unit(values)[:, held] == 0.5).all()
    jacobian = prior.unit_jacobian(unit[0])
    assert (jacobian[held] == 0).all()
    assert (jacobian[:, held] == 0).all()


def test_the_first_parameters_alone_are_placed_as_among_all():
    profile = FAMILIES["tied"]
    constraints = (*profile.constraints, Constraint(terms=(("later", 1.0), ("last", 1.0)), upper=1.2))
    parameters = (*profile.parameters, spec("later", 0.0, 1.0), spec("last", 0.0, 1.0))
    prior = Prior(parameters=parameters, constraints=constraints, held={"L2": 4000.0, "last": 0.4})
    first = prior.of_first(len(NAMES))
    assert list(first.names) == NAMES
    assert list(first.free) == [i for i in prior.free if i < len(NAMES)]
    unit = np.random.default_rng(2).uniform(size=(50, len(parameters)))
    own = unit[:, : len(NAMES)]
    np.testing.assert_array_equal(first.from_unit(own), prior.from_unit(unit)[:, : len(NAMES)])
    whole = prior.unit_jacobian(unit)[:, : len(NAMES), : len(NAMES)]
    np.testing.assert_array_equal(first.unit_jacobian(own), whole)


def test_the_first_parameters_must_not_hang_on_later_ones():
    prior = Prior(
        parameters=(spec("a", 0.0, 1.0), spec("b", 0.0, 1.0)),
        constraints=(Constraint(terms=(("a", 1.0), ("b", 1.0)), upper=1.0),),
        held={},
    )
    with pytest.raises(ValueError, match=re.escape("a + b <= 1 ties the first 1 of 2 parameters to later ones.")):
        prior.of_first(1)


def test_a_value_outside_has_a_coordinate_outside():
    prior = prior_of(FAMILIES["tied"])
    values = prior.from_unit(np.full(9, 0.5))
    for name, change, outside in (
        ("Dmax1", 0.1, lambda u: u > 1),
        ("L1", -7000.0, lambda u: u < 0),
        ("Rp1", 1e4, lambda u: u > 1),
    ):
        moved = values.copy()
        moved[NAMES.index(name)] += change
        assert outside(prior.to_unit(moved)[NAMES.index(name)])
    # D01 within its own bounds but above Dmax1.
    moved = values.copy()
    moved[NAMES.index("Dmax1")], moved[NAMES.index("D01")] = 0.005, 0.006
    assert prior.to_unit(moved)[NAMES.index("D01")] > 1


def test_a_chain_of_three_is_kept():
    prior = Prior(parameters=tuple(spec(n, 0.0, 1.0) for n in "abc"), constraints=chain(), held={})
    values = prior.from_unit(np.random.default_rng(2).uniform(size=(1000, 3)))
    assert_obeys(prior, values)
    # None of them is pinned: each reaches near both of its ends.
    assert (values.min(axis=0) < 0.05).all()
    assert (values.max(axis=0) > 0.95).all()


def test_without_constraints_the_box_is_mapped_linearly():
    prior = Prior(parameters=(spec("a", -1.0, 3.0), spec("b", 10.0, 20.0)), held={})
    np.testing.assert_allclose(prior.from_unit(np.array([[0.0, 1.0], [0.5, 0.25]])), [[-1, 20], [1, 12.5]])
    np.testing.assert_allclose(prior.unit_jacobian(np.array([0.3, 0.3])), np.diag([4.0, 10.0]), rtol=1e-8)


@pytest.mark.parametrize(
    ("bounds", "held", "message"),
    [
        # The surface strain starts above where the maximum ends.
        (
            {"Dmax1": (0.002, 0.005), "D01": (0.006, 0.03)},
            {},
            "D01 - Dmax1 <= 0 cannot hold with D01 in 0.006 to 0.03, Dmax1 in 0.002 to 0.005;",
        ),
        (
            {"L1": (500.0, 900.0), "Rp1": (1000.0, 7000.0)},
            {},
            "Rp1 - L1 <= 0 cannot hold with Rp1 in 1000 to 7000 Å, L1 in 500 to 900 Å;",
        ),
        ({"D01": (0.02, 0.03), "D02": (0.02, 0.03)}, {}, "D01 + D02 <= 0.03 cannot hold with D01 in 0.02"),
        (
            {"L1": (500.0, 3000.0)},
            {"L2": 4000.0},
            "L2 - L1 <= 0 cannot hold with L2 = 4000 Å, L1 in 500 to 3000 Å;",
        ),
        ({"Dmax1": (0.002, 0.03)}, {"D01": 0.0295}, "D01 + D02 <= 0.03 cannot hold with D01 = 0.0295, D02"),
    ],
)
def test_bounds_that_leave_no_room_are_refused_with_the_constraint_that_fails(bounds, held, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}.*widen, change or free one of them\\.$"):
        prior_of(FAMILIES["tied"], held=held, **bounds)


def test_constraints_that_hold_alone_and_not_together_are_named():
    parameters = (spec("a", 2.0, 3.0), spec("b", 0.0, 9.0), spec("c", 0.0, 1.0))
    with pytest.raises(ValueError, match=r"leave no room together with .*a in 2 to 3.*widen or free"):
        Prior(parameters=parameters, constraints=chain(), held={})


def test_an_unknown_held_name_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"held parameter 'Dmax' is unknown; there are Dmax1, D01, "):
        prior_of(FAMILIES["tied"], held={"Dmax": 0.01})


def test_samples_lie_inside_are_as_many_as_asked_for_and_repeat_with_the_seed():
    prior = prior_of(FAMILIES["tied"], held={"K": 0.4})
    values = prior.sample(3000, rng=np.random.default_rng(3))
    assert values.shape == (3000, 9)
    assert_obeys(prior, values)
    unit = prior.to_unit(values)
    assert unit.min() >= -1e-9
    assert unit.max() <= 1 + 1e-9
    np.testing.assert_array_equal(values, prior.sample(3000, rng=np.random.default_rng(3)))
    assert not np.array_equal(values, prior.sample(3000, rng=np.random.default_rng(4)))


def test_samples_are_uniform_in_the_unit_coordinates():
    # a <= b: b is placed first, anywhere, then a below it.
    prior = Prior(parameters=(spec("a", 0.0, 1.0), spec("b", 0.0, 1.0)), constraints=chain("ab"), held={})
    n = 20_000
    a, b = prior.sample(n, rng=np.random.default_rng(5)).T
    deviation = np.sqrt(1 / 12 / n)
    assert b.mean() == pytest.approx(1 / 2, abs=4.5 * deviation)
    assert a.mean() == pytest.approx(1 / 4, abs=4.5 * deviation)
    assert (a / b).mean() == pytest.approx(1 / 2, abs=4.5 * deviation)


# Shapes -----------------------------------------------------------------------------------------------------

SHAPES = [Uniform(), LogUniform(), LogUniform(0.1), Falling(6.0), Falling(1.0)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_fill_the_bounds_and_come_back(shape):
    unit = np.linspace(0, 1, 41)
    value = shape.quantile(unit, 0.5, 8.0)
    assert value[[0, -1]] == pytest.approx([0.5, 8.0])
    assert (np.diff(value) > 0).all()
    np.testing.assert_allclose(shape.cumulative(value, 0.5, 8.0), unit, atol=1e-9)
    # No room: any value, and the middle.
    assert shape.quantile(0.3, 2.0, 2.0) == pytest.approx(2.0)
    assert shape.cumulative(2.0, 2.0, 2.0) == 0.5
    assert shape.cumulative(0.3, 0.5, 8.0) <= 0


def test_shapes_have_the_densities_that_they_say():
    rng = np.random.default_rng(6)
    unit = rng.random(40_000)
    log = np.log10(LogUniform().quantile(unit, 1e-3, 10.0))
    assert stats.kstest(log, stats.uniform(-3, 4).cdf).pvalue > 1e-4
    share = Falling(6.0).quantile(unit, 0.0, 1.0)
    assert stats.kstest(share, stats.beta(1, 6).cdf).pvalue > 1e-4
    # Below the shift values count as alike, far above it every factor.
    shifted = LogUniform(1e-3).quantile(unit, 0.0, 10.0)
    low = shifted[shifted < 1e-4]
    assert stats.kstest(low, stats.uniform(0, 1e-4).cdf).pvalue > 1e-4
    counts = [((shifted > a) & (shifted < 10 * a)).sum() for a in (0.05, 0.5)]
    assert counts[0] == pytest.approx(counts[1], rel=0.06)


def test_a_shaped_parameter_s_prior_is_uniform_in_its_unit_coordinate_and_has_its_slope():
    shaped = replace(spec("c", 1e-3, 10.0), shape=LogUniform())
    prior = Prior(
        parameters=(spec("a", 0.0, 1.0), spec("b", 0.0, 1.0), shaped), constraints=chain("ab"), held={}
    )
    unit = np.random.default_rng(7).random((50, 3))
    values = prior.from_unit(unit)
    np.testing.assert_allclose(prior.to_unit(values), unit, atol=1e-9)
    slope = prior.unit_jacobian(unit[0])
    assert slope[2, 2] == pytest.approx(values[0, 2] * np.log(1e4), rel=1e-6)


@pytest.mark.parametrize(
    "shape", [Uniform(), LogUniform(), LogUniform(0.3), Falling(6.0), Normal(mean=1.2, sd=0.4)]
)
def test_slopes_of_a_shape_are_finite_differences(shape):
    rng, step = np.random.default_rng(3), 1e-6
    where = [rng.uniform(0.05, 0.95, 40), rng.uniform(0.2, 1.0, 40), rng.uniform(1.5, 3.0, 40)]
    for k, found in enumerate(shape.slopes(*where)):
        either = []
        for sign in (1, -1):
            moved = list(where)
            moved[k] = where[k] + sign * step
            either.append(shape.quantile(*moved))
        np.testing.assert_allclose(found, (either[0] - either[1]) / (2 * step), rtol=1e-5, atol=1e-8)
