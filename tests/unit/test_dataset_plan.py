"""Plans: exact counts, samples by index, strata, continuous draws, and what a wrong plan is told."""

from decimal import Decimal

import numpy as np
import pytest
import yaml

from strainscope.dataset.continuous import Star, stars
from strainscope.dataset.draw import Region, UniformDraws
from strainscope.dataset.grid import Axis, components
from strainscope.dataset.permutation import key_of, permuted, uniforms
from strainscope.dataset.plan import checked, load_plan, plan_presets, plan_text
from strainscope.profile import Constraint, DoubleGaussian

ON_GRID = [name for name in plan_presets() if "{start" in plan_text(name)]
CONTINUOUS = [name for name in plan_presets() if name not in ON_GRID]


def settings(name="random-1m"):
    return yaml.safe_load(plan_text(name))


def violated(plan, values):
    everything = plan.with_held(values)
    own = everything[:, : len(DoubleGaussian().parameters)]
    return DoubleGaussian().violations(own)


# Permutations and numbers by index --------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 64, 1000, 4096, 4097])
def test_permuted_is_a_permutation(size):
    index = np.arange(size)
    found = permuted(index, np.full(size, size), np.full(size, key_of("x", size), dtype=np.uint64))
    assert sorted(found.tolist()) == list(range(size))
    if size > 16:
        assert np.abs(np.corrcoef(index, found)[0, 1]) < 5 / np.sqrt(size)


def test_keys_give_different_permutations():
    index, size = np.arange(1000), np.full(1000, 1000)
    one, other = (permuted(index, size, np.full(1000, key, dtype=np.uint64)) for key in (1, 2))
    assert (one == other).sum() < 12


def test_numbers_depend_on_their_index_alone():
    whole = uniforms(7, 0, 1000, 7)
    np.testing.assert_array_equal(uniforms(7, 600, 640, 7), whole[600:640])
    assert whole.min() > 0
    assert whole.max() < 1
    assert np.abs(whole.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 1000)


# Grids ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "combinations"),
    [
        ("random-1m", 1_219_050, [430, 405, 7]),
        ("random-1m-film", 1_219_050, [430, 405, 7]),
        ("balanced-1m", 4_388_150, [430, 785, 13]),
        ("random-1m-report", 1_162_350, [410, 405, 7]),
        ("balanced-1m-report", 4_184_050, [410, 785, 13]),
    ],
)
def test_numbers_of_valid_combinations(name, count, combinations):
    draws = load_plan(name).draws
    assert draws.count == count
    assert [len(part.rows) for part in draws.space.components] == combinations


def test_boundaries_are_inclusive_in_decimals_where_floats_fail():
    """0.1 + 0.2 <= 0.3 holds; in float64 it does not."""
    axes = [
        Axis(name=name, start=Decimal("0.1"), stop=Decimal("0.2"), step=Decimal("0.1")) for name in ("a", "b")
    ]
    limit = Constraint(terms=(("a", 1.0), ("b", 1.0)), upper=0.3)
    (part,) = components(axes, [limit], {})
    assert part.rows.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert 0.1 + 0.2 > 0.3


def test_a_whole_grid_comes_once():
    data = settings() | {"size": 1}
    data["parameters"] |= {
        "Rp2": {"start": -10, "stop": -10, "step": 1},
        "Rp1": {"start": 490, "stop": 990, "step": 500},
        "L1": {"start": 500, "stop": 2000, "step": 500},
    }
    count = checked(data, source="test").draws.count
    plan = checked(data | {"size": count}, source="test")
    values = plan.draws.values(0, count)
    assert len(np.unique(values, axis=0)) == count
    assert not violated(plan, values).any()
    with pytest.raises(ValueError, match=rf"size = {count + 1:,} asks for .* Ask for at most {count:,}"):
        checked(data | {"size": count + 1}, source="test")


@pytest.mark.parametrize("name", plan_presets())
def test_samples_depend_on_plan_seed_and_index_alone(name):
    plan = load_plan(name)
    whole = plan.draws.values(0, 3000)
    np.testing.assert_array_equal(plan.draws.values(1700, 1900), whole[1700:1900])
    np.testing.assert_array_equal(plan.with_options(size=3000).draws.values(0, 3000), whole)
    assert not violated(plan, whole).any()
    other = plan.with_options(seed=1).draws.values(0, 3000)
    assert (other != whole).any(axis=1).mean() > 0.99


def test_the_same_number_from_every_stratum():
    plan = load_plan("balanced-1m")
    column = plan.draws.values(0, 100_000)[:, plan.names.index("L2")]
    assert np.unique(column, return_counts=True)[1].tolist() == [10_000] * 10
    plan = load_plan("l2-l1-1m")
    values = plan.draws.values(0, 95 * 40)
    pairs = values[:, [plan.names.index("L1"), plan.names.index("L2")]]
    assert np.unique(pairs, axis=0, return_counts=True)[1].tolist() == [40] * 95


def test_no_sample_comes_twice_within_strata():
    plan = load_plan("balanced-1m")
    values = plan.draws.values(0, 200_000)
    assert len(np.unique(values, axis=0)) == 200_000


@pytest.mark.parametrize("name", ["random-1m", "balanced-1m", "seven-bins-1m"])
def test_expected_counts_are_those_drawn(name):
    """Over many seeds the mean count of each level is the expected one, and scatters as expected."""
    data = settings(name) | {"size": 2000}
    counts = {}
    for seed in range(40):
        plan = checked(data | {"seed": seed}, source="test")
        values = plan.draws.values(0, 2000)
        for i, own in enumerate(plan.names):
            counts.setdefault(own, []).append(plan.draws.levels(own).counts(values[:, i]))
    for own, found in counts.items():
        expected = plan.draws.expected(own, 2000)
        error = np.sqrt(np.maximum(expected.variance, 1e-12) / 40)
        assert (
            np.abs(np.mean(found, axis=0) - expected.mean)[expected.variance > 0].size == 0
            or (np.abs(np.mean(found, axis=0) - expected.mean) <= 4.5 * error + 1e-9).all()
        ), own
        if expected.variance.min() > 1:
            assert np.var(found, axis=0).mean() == pytest.approx(expected.variance.mean(), rel=0.35), own


# Continuous -------------------------------------------------------------------------------------------------


def test_a_triangle_is_filled_evenly():
    """y <= x in the unit square: the area is a half, x has the density 2x, y the density 2 (1 - y)."""
    star = Star(
        ["x", "y"],
        {"x": (0.0, 1.0), "y": (0.0, 1.0)},
        [Constraint(terms=(("y", 1.0), ("x", -1.0)), upper=0.0)],
    )
    assert star.volume == pytest.approx(0.5)
    unit = np.array([[0.25, 0.5], [0.81, 0.1]])
    np.testing.assert_allclose(star.from_unit(unit), [[0.5, 0.25], [0.9, 0.09]], atol=1e-12)


def test_volume_of_the_double_gaussian_by_hand():
    """D01 <= Dmax1, D01 + D02 <= 0.03: ∫ (0.03 - x)(0.03 - x - 0) dx over D01 = x in [0, 0.03]."""
    ranges = {name: (0.0, 0.03) for name in ("Dmax1", "D01", "D02")}
    own = [c for c in DoubleGaussian().constraints if dict(c.terms).keys() <= ranges.keys()]
    (star,) = stars(ranges, own, {})
    assert star.names[0] == "D01"
    assert star.volume == pytest.approx(0.03**3 / 3)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_levels_are_as_expected(name):
    plan = load_plan(name)
    size = 1 << 14
    values = plan.draws.values(0, size)
    for i, own in enumerate(plan.names):
        expected = plan.draws.expected(own, size)
        if expected is None:
            assert plan.sampling.method == "gaussian"
            continue
        found = plan.draws.levels(own).counts(values[:, i])
        assert (np.abs(found - expected.mean) <= 5 * np.sqrt(expected.variance) + 1e-9).all(), own


def test_sobol_points_are_evener_than_chance():
    size = 1 << 14
    off = []
    for name in ("uniform-1m", "sobol-1m"):
        plan = load_plan(name)
        values = plan.draws.values(0, size)
        gaps = []
        for i, own in enumerate(plan.names):
            expected = plan.draws.expected(own, size)
            counts = plan.draws.levels(own).counts(values[:, i])
            gaps.append(((counts - expected.mean) ** 2 / np.maximum(expected.variance, 1)).mean())
        off.append(np.mean(gaps))
    assert off[0] == pytest.approx(1, abs=0.6)
    assert off[1] < 0.1


def test_strata_of_continuous_parameters():
    data = settings("uniform-1m") | {"stratify": {"L2": 4, "Rp2": 5}, "size": 4000}
    plan = checked(data, source="test")
    values = plan.draws.values(0, 4000)
    edges = [np.linspace(*plan.bounds()[name], n + 1) for name, n in (("L2", 4), ("Rp2", 5))]
    counts, *_ = np.histogram2d(*(values[:, plan.names.index(n)] for n in ("L2", "Rp2")), bins=edges)
    assert (counts == 200).all()
    assert not violated(plan, values).any()


def test_edges_have_more_weight():
    plan = load_plan("edges-1m")
    values = plan.draws.values(0, 20_000)
    low, high = plan.bounds()["Rp2"]
    column = values[:, plan.names.index("Rp2")]
    outer = (column < low + 0.1 * (high - low)) | (column > high - 0.1 * (high - low))
    # A fifth of the uniform half and of the L2 edges, all of the Rp2 edges.
    assert outer.mean() == pytest.approx(0.5 * 0.2 + 0.25 * 0.2 + 0.25, abs=0.015)


def test_gaussian_draws_lie_around_the_centre():
    plan = load_plan("targeted-gaussian-100k")
    values = plan.draws.values(0, 20_000)
    i = plan.names.index("L1")
    assert values[:, i].mean() == pytest.approx(4600, abs=15)
    assert values[:, i].std() == pytest.approx(0.05 * 6500, rel=0.05)


def test_pairs_that_constraints_forbid_are_known():
    draws = load_plan("balanced-1m").draws
    pairs = draws.valid_pairs("L1", "L2")
    depth = draws.levels("L1").values, draws.levels("L2").values
    np.testing.assert_array_equal(pairs, depth[1][None] <= depth[0][:, None])
    region = Region(
        ranges={"x": (0.0, 1.0), "y": (0.0, 1.0)},
        constraints=(Constraint(terms=(("y", 1.0), ("x", -1.0)), upper=0.0),),
        fixed={},
    )
    pairs = UniformDraws(region, seed=0).valid_pairs("x", "y")
    np.testing.assert_array_equal(pairs, np.tri(10, dtype=bool))


# Wrong plans ------------------------------------------------------------------------------------------------

GRID = {"start": 500, "stop": 1000, "step": 500}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": 10}, r"unknown key 'sise'.*Did you mean size\?"),
        (
            {"sample": "ggg44-ideal"},
            r"sample: .*neither a file nor one of the presets.*Did you mean ggg444-ideal",
        ),
        ({"size": 0}, r"size = 0; .*greater than or equal to 1"),
        ({"parameters": {"Dmax2": GRID}}, r"parameters.Dmax2 is no parameter.*Did you mean Dmax1"),
        ({"fixed": {"Dmax1": 0.01}}, r"fixed.Dmax1 is also in parameters"),
        ({"fixed": {"fwhm_arc": 20}}, r"fixed.fwhm_arc is no parameter.*Did you mean fwhm_arcsec"),
        ({"stratify": {"L3": "values"}}, r"stratify.L3 is not in parameters"),
        ({"stratify": {"L2": 50}}, r"stratify.L2 = 50 bins; its grid has 5 values"),
        ({"sampling": {"method": "sobol"}}, r"sampling.method = sobol; it needs ranges \(low, high\)"),
        ({"sampling": {"method": "halton"}}, r"sampling"),
        ({"size": 2_000_000}, r"asks for 2,000,000 .*holds 1,219,050 .*replacement: true"),
        ({"angles": {"first": 0, "step": -1, "number": 701}}, r"angles.step = -1"),
        ({"angles": {"first": 0, "step": 1, "number": 2}}, r"angles.number = 2"),
    ],
)
def test_wrong_plans_are_told_what_is_wrong(change, message):
    with pytest.raises(ValueError, match=message) as error:
        checked(settings() | change, source="plan.yaml")
    assert str(error.value).startswith("plan.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"start": 500, "stop": 7100, "step": 500}, r"parameters: L1: stop = 7100.* is not start"),
        ({"start": 500, "stop": 1000, "step": 0}, r"parameters.L1.*step = 0"),
        ({"low": 500, "high": 7000}, r"some are grids .* others ranges"),
        ({"start": 500, "stop": 1000}, r"parameters.L1.*step is missing"),
    ],
)
def test_wrong_ranges(own, message):
    data = settings()
    data["parameters"]["L1"] = own
    with pytest.raises(ValueError, match=message):
        checked(data, source="plan.yaml")


def test_impossible_strata_say_how_many_they_hold_and_three_ways_out():
    data = settings("balanced-1m") | {"stratify": {"L2": "values", "L1": "values"}}
    with pytest.raises(
        ValueError,
        match=r"the stratum L1 = 500, L2 = 500, which holds 5,590 valid .*at most 531,050, .*smaller",
    ) as error:
        checked(data, source="plan.yaml")
    assert "sampling.replacement: true" in str(error.value)


def test_a_size_given_beside_the_plan_is_the_one_that_is_checked(tmp_path):
    place = tmp_path / "plan.yaml"
    place.write_text(yaml.safe_dump(settings("balanced-1m") | {"stratify": {"L2": "values", "L1": "values"}}))
    with pytest.raises(ValueError, match="which holds 5,590"):
        load_plan(str(place))
    assert load_plan(str(place), size=1000, seed=3).size == 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sampling": {"methd": "random"}}, r"sampling\.methd is unknown\. Did you mean method\?"),
        ({"sampling": {}}, r"sampling\.method is missing"),
        ({"sampling": {"method": "randm"}}, r"sampling\.method = 'randm'; .* Did you mean random\?"),
        (
            {"sampling": {"method": "box", "around": {"L1": "x"}, "percent": 3}},
            r"sampling\.around\.L1 = 'x'; it must be a number",
        ),
        ({"stratify": {"L2": "vals"}}, r"stratify\.L2 = 'vals'; it must be values, or a number of bins >= 1"),
        ({"stratify": {"L2": 0}}, r"stratify\.L2 = 0; it must be values, or a number of bins >= 1"),
    ],
)
def test_messages_name_the_keys_of_the_file(change, message):
    with pytest.raises(ValueError, match=message):
        checked(settings("balanced-1m") | change, source="plan.yaml")


def test_messages_name_a_ranges_key_without_its_kind():
    data = settings("balanced-1m")
    data["parameters"]["L1"] = {"start": 500, "stop": 7000, "step": "x"}
    with pytest.raises(ValueError, match=r"parameters\.L1\.step = 'x'; it must be a number"):
        checked(data, source="plan.yaml")


def test_ranges_that_leave_no_room():
    data = settings("uniform-1m")
    data["parameters"] |= {"L1": {"low": 500, "high": 1000}, "L2": {"low": 2000, "high": 3000}}
    with pytest.raises(ValueError, match="leave no room"):
        checked(data, source="plan.yaml")


def test_around_must_lie_inside():
    data = settings("targeted-box-100k")
    data["sampling"]["around"]["L1"] = 9000
    with pytest.raises(ValueError, match=r"around.L1 = 9000 lies outside its range, 500 to 7000"):
        checked(data, source="plan.yaml")
    del data["sampling"]["around"]["L1"]
    with pytest.raises(ValueError, match=r"sampling.around.L1 is missing"):
        checked(data, source="plan.yaml")
