"""The published networks: their sizes, what they read and predict, that they learn, and their losses."""

import re
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from strainscope.dataset.plan import load_plan
from strainscope.dataset.published import PUBLISHED_RANGES, V2_ERRORS
from strainscope.dataset.simulate import Simulator
from strainscope.estimator.baselines import BASELINES, ResidualNetwork, baseline_network, weight_count
from strainscope.estimator.inputs import TargetScale, network_input
from strainscope.estimator.losses import (
    LOSSES,
    PENALTY_SHARE,
    RECIPES,
    ConstraintPenalty,
    Loss,
)
from strainscope.profile import Constraint, DoubleGaussian

FAMILY = DoubleGaussian()
NAMES = tuple(spec.name for spec in FAMILY.parameters)
SCALE = TargetScale.of(NAMES)
CURVES = 32


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(threads)


@cache
def simulated():
    """The first curves of the predecessor's balanced dataset, and their parameters."""
    plan = load_plan("balanced-1m")
    assert plan.names == NAMES
    values = plan.draws.values(0, CURVES)
    return torch.from_numpy(Simulator(plan).simulate(values)), torch.from_numpy(values)


def network(name, points):
    torch.manual_seed(7)
    return baseline_network(name, points=points)


class TestNetworks:
    @pytest.mark.parametrize(
        ("name", "points", "weights"),
        [
            ("v1", 701, 91_559),
            ("v2", 701, 364_391),
            ("v3", 701, 1_596_503),
            ("cnn2023", 1001, 1_102_207),
            ("cnn2023", 701, 974_207),
            ("cnn2023", 651, 846_207),
        ],
    )
    def test_weights(self, name, points, weights):
        assert weight_count(network(name, points)) == weights

    def test_v3_is_as_large_and_as_slow_as_reported(self):
        """About 1.6 M weights and 1.07 G multiply-adds for a curve of 701 points."""
        v3 = network("v3", 701)
        assert weight_count(v3) == pytest.approx(1.6e6, rel=0.01)
        kernels = sum(m.weight.numel() for m in v3.modules() if isinstance(m, nn.Conv1d))
        assert kernels * 701 == pytest.approx(1.07e9, rel=0.001)

    def test_cnn2023_is_as_wide_as_published(self):
        layers = network("cnn2023", 1001).layers
        convolutions = [m for m in layers if isinstance(m, nn.Conv1d)]
        dense = [m for m in layers if isinstance(m, nn.Linear)]
        assert [m.out_channels for m in convolutions] == [16, 16, 32, 32, 64, 64, 128, 128]
        assert {m.kernel_size for m in convolutions} == {(15,)}
        assert [m.in_features for m in dense] == [512, 1000, 100]

    @pytest.mark.parametrize("points", [701, 691, 651])
    @pytest.mark.parametrize("name", BASELINES)
    def test_shapes_for_every_window(self, name, points):
        built = network(name, points).eval()
        with torch.no_grad():
            scaled = built(torch.rand(3, points))
        assert scaled.shape == (3, 7)
        assert scaled.isfinite().all()

    def test_only_v3_is_bounded(self):
        curves = 1e4 * torch.randn(8, 701)
        bounded = {}
        for name in BASELINES:
            with torch.no_grad():
                scaled = network(name, 701).eval()(curves)
            bounded[name] = bool(((scaled >= 0) & (scaled <= 1)).all())
        assert bounded == {"v1": False, "v2": False, "v3": True, "cnn2023": False}

    @pytest.mark.parametrize("name", BASELINES)
    def test_gradients_reach_every_weight(self, name):
        points = 701 if name == "cnn2023" else 101
        built = network(name, points)
        built(torch.rand(8, points)).square().sum().backward()
        trained = {key: weight for key, weight in built.named_parameters() if weight.requires_grad}
        untouched = [key for key, weight in trained.items() if not weight.grad.abs().max() > 1e-9]
        assert untouched == []

    @pytest.mark.parametrize("name", ["v1", "v2", "v3"])
    def test_every_point_counts(self, name):
        """The blocks look far enough: each output depends on both ends of the curve."""
        built = network(name, 351).eval()
        curve = torch.rand(1, 351, requires_grad=True)
        built(curve)[0, 0].backward()
        assert (curve.grad[0, [0, 175, 350]] != 0).all()

    @pytest.mark.parametrize(
        ("name", "stride", "steps", "rate"),
        [("v1", 30, 100, 5e-3), ("v2", 30, 80, 2e-3), ("v3", 50, 70, 7e-4), ("cnn2023", 3, 80, 1e-3)],
    )
    def test_learns_a_few_curves_by_heart(self, name, stride, steps, rate):
        """With its own loss and optimiser, on thinned curves; statistics of the batch, dropout off at the end."""
        curves, values = simulated()
        inputs, targets = network_input(curves)[:, ::stride], SCALE.scaled(values).float()
        built = network(name, inputs.shape[-1])
        recipe = RECIPES[name]
        loss = Loss(recipe.loss, constraints=FAMILY.constraints, scale=SCALE)
        optimiser = recipe.build_optimiser(built.parameters())
        optimiser.param_groups[0]["lr"] = rate
        for step in range(steps):
            if step == steps * 9 // 10:
                optimiser.param_groups[0]["lr"] = rate / 10
            optimiser.zero_grad()
            loss(built(inputs), targets).backward()
            optimiser.step()
        for layer in built.modules():
            if isinstance(layer, nn.Dropout):
                layer.eval()
        with torch.no_grad():
            error = (built(inputs) - targets).abs().mean()
        # What knowing nothing but their mean would leave is 1; measured: 0.08 to 0.17, v3 0.29 to 0.33.
        assert error < 0.5 * (targets - targets.mean(dim=0)).abs().mean()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"name": "v4", "points": 701}, "baseline = 'v4'; it must be one of v1, v2, v3, cnn2023."),
            ({"name": "v1", "points": 0}, "points = 0; it must be >= 1."),
            ({"name": "v1", "points": 701, "parameters": 0}, "parameters = 0; it must be >= 1."),
            ({"name": "cnn2023", "points": 170}, "needs at least 171"),
        ],
    )
    def test_refused(self, settings, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            baseline_network(**settings)

    def test_fewest_points(self):
        assert network("cnn2023", 171).eval()(torch.rand(2, 171)).shape == (2, 7)

    def test_another_window_than_built_for(self):
        with pytest.raises(ValueError, match="curves have 651 points; this network is built for 701"):
            network("cnn2023", 701)(torch.rand(2, 651))

    def test_unequal_channels_without_transitions(self):
        with pytest.raises(ValueError, match="they must all be equal"):
            ResidualNetwork(
                channels=(32, 32, 32, 32, 32, 64),
                kernel=7,
                transitions=False,
                attention=False,
                hidden=(),
                dropout=0.0,
                sigmoid=False,
                parameters=7,
            )


class TestInput:
    def test_formula(self):
        curves = torch.tensor([[1.0, 1e-4, 1e-2, 1e-3], [10.0, 100.0, 1e3, 1e4]], dtype=torch.float64)
        expected = [[0.25, 0.5, 0, 1], [1, 2 / 3, 1 / 3, 0]]
        np.testing.assert_allclose(network_input(curves), expected, atol=1e-15)
        # Only what is read counts for the scale.
        np.testing.assert_allclose(network_input(curves, start=1)[0], [0.5, 0, 1], atol=1e-15)

    @pytest.mark.parametrize(("start", "kept"), [(0, 701), (10, 691), (50, 651)])
    def test_windows(self, start, kept):
        curves = simulated()[0]
        read = network_input(curves, start=start)
        assert read.shape == (CURVES, kept)
        assert read.dtype == torch.float32
        assert (read.amin(dim=1) == 0).all()
        assert (read.amax(dim=1) == 1).all()
        # As a reader does that has cut the stored curves at their end.
        assert torch.equal(read, network_input(curves[:, :kept]))

    def test_substrate_peak_where_the_predecessor_has_it(self):
        """Bare GGG: the strongest point has index 20 from the large-angle end."""
        assert network_input(simulated()[0]).argmax(dim=1).median() == 20

    def test_scale_of_the_intensity_is_of_no_account(self):
        curves = simulated()[0].double()
        np.testing.assert_allclose(network_input(1e5 * curves), network_input(curves), atol=1e-12)

    def test_empty_points(self):
        counts = torch.tensor([[100.0, 10.0, 0.0]])
        np.testing.assert_allclose(network_input(counts, least=1.0), [[0, 0.5, 1]], atol=1e-7)
        with pytest.raises(ValueError, match=r"intensity\[0, 0\] .* = 0; it must be > 0; give `least`"):
            network_input(counts)

    @pytest.mark.parametrize(
        ("curve", "settings", "message"),
        [
            ([1.0, 2.0, 3.0], {"start": 2}, "start = 2; it must lie in 0 to 1"),
            ([1.0, 2.0, 3.0], {"start": -1}, "start = -1"),
            ([1.0, 2.0, 3.0], {"least": 0.0}, "least = 0; it must be > 0"),
            ([1.0, float("inf"), 3.0], {}, "= inf; it must be finite"),
            ([1.0, float("nan"), 3.0], {}, "= nan; it must be > 0"),
            ([1.0, float("nan"), 3.0], {"least": 1.0}, "= nan; it must be > 0"),
            ([2.0, 2.0, 2.0], {}, "the same intensity at every point"),
        ],
    )
    def test_refused(self, curve, settings, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            network_input(torch.tensor([curve]), **settings)


class TestTargets:
    def test_ends_of_the_ranges(self):
        ends = torch.tensor([PUBLISHED_RANGES[name] for name in NAMES], dtype=torch.float64).T
        np.testing.assert_allclose(SCALE.scaled(ends), [[0] * 7, [1] * 7], atol=1e-15)

    def test_inverse(self):
        values = simulated()[1]
        np.testing.assert_allclose(SCALE.values(SCALE.scaled(values)), values, rtol=1e-12)
        np.testing.assert_allclose(SCALE.values(SCALE.scaled(values.float())), values, rtol=1e-4, atol=1e-3)

    def test_nothing_is_cut_off(self):
        low = torch.tensor([[0.002, 0.001, 500.0, 0.0, 0.002, 500.0, -6010.0]], dtype=torch.float64)
        np.testing.assert_allclose(SCALE.scaled(low)[0, [2, 5, 6]], [-1 / 12, -1 / 12, -1 / 600])

    def test_own_ranges_and_order(self):
        scale = TargetScale.of(["K", "L1"], {"K": (0.0, 4.0), "L1": (1000.0, 2000.0), "other": (0.0, 1.0)})
        np.testing.assert_allclose(scale.scaled(torch.tensor([[1.0, 1500.0]])), [[0.25, 0.5]])

    def test_refused(self):
        with pytest.raises(ValueError, match="no range for K; there are ranges for Dmax1"):
            TargetScale.of(["L1", "K"])
        with pytest.raises(ValueError, match="range of K = 2 to 1"):
            TargetScale.of(["K"], {"K": (2.0, 1.0)})


class TestLosses:
    def test_penalty_is_zero_exactly_where_constraints_hold(self):
        """On the grid's own values, where equalities abound, and on any others; in float32."""
        rng = np.random.default_rng(3)
        lower, upper = np.array(SCALE.lower), np.array(SCALE.upper)
        free = rng.uniform(lower, upper, (5000, 7))
        steps = np.array([0.001, 0.001, 500, 500, 0.001, 500, 500])
        values = np.concatenate([free, lower + steps * np.round((free - lower) / steps)])
        penalty = ConstraintPenalty(FAMILY.constraints, SCALE)
        scaled = SCALE.scaled(torch.from_numpy(values)).float()
        broken = np.array([float(penalty(row[None])) > 0 for row in scaled])
        expected = FAMILY.violations(values)
        assert 0.01 < expected.mean() < 0.99
        np.testing.assert_array_equal(broken, expected)

    @pytest.mark.parametrize(
        ("change", "penalty"),
        [
            ({}, 0.0),
            ({"D01": 0.0229}, 0.0029 / 0.029),
            ({"D02": 0.020}, 0.005 / 0.029),
            ({"Rp1": 5700.0}, 700 / 7000),
            ({"L2": 5600.0}, 600 / 6000),
            ({"Rp1": 5700.0, "L2": 5600.0}, 0.2),
        ],
    )
    def test_penalty_in_scaled_units(self, change, penalty):
        start = {
            "Dmax1": 0.020, "D01": 0.015, "L1": 5000.0, "Rp1": 1000.0, "D02": 0.005, "L2": 2000.0, "Rp2": -500.0
        }  # fmt: skip
        values = start | {"D02": 0.005} | change
        row = torch.tensor([[values[name] for name in NAMES]], dtype=torch.float64)
        found = ConstraintPenalty(FAMILY.constraints, SCALE)(SCALE.scaled(row).float())
        assert float(found) == pytest.approx(penalty, abs=1e-6)

    def test_penalty_with_other_parameters(self):
        two = TargetScale.of(["D01", "Dmax1"])
        first, second = FAMILY.constraints[:2]
        both = torch.tensor([[0.5, 0.0]])
        assert float(ConstraintPenalty([first], two)(both)) == pytest.approx((0.0155 - 0.002) / 0.029)
        unconcerned = Constraint(terms=(("Rp1", 1.0), ("L1", -1.0)), upper=0.0)
        assert float(ConstraintPenalty([unconcerned], two)(both)) == 0
        held = ConstraintPenalty([second], two, {"D02": 0.020})
        assert float(held(both)) == pytest.approx((0.0155 + 0.020 - 0.030) / 0.029)
        with pytest.raises(ValueError, match="needs D02, neither predicted nor held"):
            ConstraintPenalty([second], two)

    def test_penalty_pulls_back(self):
        scaled = torch.tensor([[0.1, 0.9, 0.5, 0.1, 0.0, 0.1, 0.5]], requires_grad=True)
        ConstraintPenalty(FAMILY.constraints, SCALE)(scaled).backward()
        slopes = dict(zip(NAMES, scaled.grad[0].tolist(), strict=True))
        assert slopes["D01"] > 0 > slopes["Dmax1"]
        assert slopes["L1"] == slopes["Rp2"] == 0

    def test_formulas(self):
        torch.manual_seed(1)
        predicted, target = torch.rand(64, 7), torch.rand(64, 7)
        square = (predicted - target) ** 2  # smooth L1 is half of it below a difference of one
        penalty = ConstraintPenalty(FAMILY.constraints, SCALE)(predicted)
        weights = torch.tensor([V2_ERRORS[name] for name in NAMES])
        expected = {
            "mse": square.mean(),
            "smooth_l1": 0.5 * square.mean() + PENALTY_SHARE * penalty,
            "weighted_smooth_l1": 0.5 * (square.mean(dim=0) @ weights) / weights.sum()
            + PENALTY_SHARE * penalty,
        }
        assert set(expected) == set(LOSSES)
        assert penalty > 0.1
        for name, value in expected.items():
            loss = Loss(name, constraints=FAMILY.constraints, scale=SCALE)
            assert float(loss(predicted, target)) == pytest.approx(float(value), rel=1e-5), name

    @pytest.mark.parametrize("name", LOSSES)
    def test_zero_at_the_truth(self, name):
        truth = SCALE.scaled(simulated()[1]).float()
        assert float(Loss(name, constraints=FAMILY.constraints, scale=SCALE)(truth, truth)) == 0

    def test_refused(self):
        with pytest.raises(ValueError, match="loss = 'l2'; it must be one of smooth_l1"):
            Loss("l2", constraints=(), scale=SCALE)
        other = TargetScale.of(["K"], {"K": (0.0, 1.0)})
        with pytest.raises(ValueError, match="no weight for K; train without weights"):
            Loss("weighted_smooth_l1", constraints=(), scale=other)
        with pytest.raises(ValueError, match=r"predicted has shape \(2, 7\), target \(7,\)"):
            Loss("mse", constraints=(), scale=SCALE)(torch.rand(2, 7), torch.rand(7))


class TestRecipes:
    def test_one_for_each_network(self):
        assert set(RECIPES) == set(BASELINES)

    def test_prototype(self):
        recipe = RECIPES["v3"]
        assert recipe.loss == "smooth_l1"
        assert (recipe.batch_for(999_999), recipe.batch_for(1_000_000)) == (128, 256)
        optimiser = recipe.build_optimiser(network("v1", 701).parameters())
        assert isinstance(optimiser, torch.optim.AdamW)
        assert optimiser.defaults["lr"] == 1.5e-3
        assert optimiser.defaults["weight_decay"] == 5e-4

    def test_learning_rate_falls_after_five_epochs_without_progress(self):
        recipe = RECIPES["v3"]
        optimiser = recipe.build_optimiser(network("v1", 701).parameters())
        schedule = recipe.build_schedule(optimiser)
        rates = []
        for _ in range(7):
            schedule.step(1.0)
            rates.append(optimiser.param_groups[0]["lr"])
        assert rates == [1.5e-3] * 6 + [0.75e-3]

    def test_cnn2023(self):
        recipe = RECIPES["cnn2023"]
        assert recipe.loss == "mse"
        assert recipe.batch_for(100) == recipe.batch_for(1_500_000) == 4096
        built = network("cnn2023", 701)
        optimiser = recipe.build_optimiser(built.parameters())
        assert isinstance(optimiser, torch.optim.RMSprop)
        assert optimiser.defaults["lr"] == 1e-3
        # The batch normalizations' scales stay 1.
        assert sum(w.numel() for w in optimiser.param_groups[0]["params"]) == weight_count(built)
