"""Rearrangements of a solution over depth: as much of the crystal at each strain, in other orders."""

import numpy as np

from strainscope.inversion import SearchSettings
from strainscope.inversion.problem import prepare
from strainscope.inversion.rearrange import arrangements, rearranged_starts
from strainscope.profile import AmorphousLayer, CubicBSpline, DepthProfile, DoubleGaussian, TiedDisorder
from strainscope.sample import load_sample

TIED = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
BURIED = np.array([0.0215, 0.00116, 5300.0, 2070.0, 0.00095, 1230.0, -730.0, 0.9, 0.6])
# As much of each strain, but falling from the surface on.
FALLING = {"Dmax1": 0.0025, "D01": 0.0025, "L1": 4950.0, "Rp1": 3300.0, "D02": 0.019, "L2": 4500.0, "Rp2": -5.0}
SMALL = SearchSettings(population=192, generations=12, starts=16, model_error=0.0)


def thickness(depth, size, levels):
    return (size[..., None, :] > levels[:, None]).mean(axis=-1) * depth[-1]


def test_as_much_of_the_crystal_has_each_strain():
    depth, strains, factors = arrangements(TIED, BURIED)
    z = np.linspace(0, depth[-1], 4000)
    strain, factor = (own[0] for own in TIED.evaluate(z[None], BURIED[None]))
    levels = strain.max() * np.linspace(0.02, 0.95, 20)
    step = depth[1] - depth[0]
    np.testing.assert_allclose(
        thickness(depth, strains, levels), thickness(z, strain, levels) * np.ones((len(strains), 1)), atol=2.5 * step
    )
    # E goes with the strain, as it does where it is tied to it.
    order = np.argsort(strain)
    np.testing.assert_allclose(factors, np.interp(strains, strain[order], factor[order]), atol=0.04)


def test_strain_rises_to_its_maximum_and_falls_again():
    _, strains, _ = arrangements(TIED, BURIED)
    for strain in strains:
        top = int(np.argmax(strain))
        assert (np.diff(strain[: top + 1]) >= 0).all()
        assert (np.diff(strain[top:]) <= 0).all()
    surface = strains[:, 0] / strains.max(axis=1)
    assert surface.min() < 0.05
    assert surface.max() > 0.6


def test_strain_that_contracts_keeps_its_sign():
    profile = DepthProfile(
        strain=CubicBSpline(number=4), disorder=CubicBSpline(number=4, quantity="debye_waller")
    )
    values = np.array([4000.0, -0.001, -0.01, -0.004, -0.001, 4000.0, 0.9, 0.6, 0.8, 0.95])
    depth, strains, factors = arrangements(profile, values)
    strain, factor = (own[0] for own in profile.evaluate(depth[None], values[None]))
    assert strains.max() <= 0
    np.testing.assert_allclose(strains.min(axis=1), strain.min(), rtol=0.1)
    # Disorder of its own goes with the strain, too.
    np.testing.assert_allclose(factors.min(axis=1), factor.min(), atol=0.05)


def test_disorder_below_what_is_strained_stays_where_it_is():
    profile = DepthProfile(strain=CubicBSpline(number=4), disorder=AmorphousLayer())
    values = np.array([2000.0, 0.001, 0.012, 0.006, 0.001, 2500.0, 4000.0, 100.0])
    depth, strains, factors = arrangements(profile, values)
    factor = profile.evaluate(depth[None], values[None])[1][0]
    below = depth > 2100
    np.testing.assert_allclose(factors[:, below], np.broadcast_to(factor[below], factors[:, below].shape), atol=0.02)
    assert np.abs(strains[:, below]).max() == 0


def test_weak_strain_is_rearranged_like_strong():
    weak = DepthProfile(strain=DoubleGaussian(minimum_strain=1e-6), disorder=TiedDisorder())
    strong = DepthProfile(strain=DoubleGaussian(minimum_strain=1e-3), disorder=TiedDisorder())
    factor = np.where(np.isin(np.arange(9), [0, 1, 4]), 1e-3, 1.0)
    depth, strains, _ = arrangements(weak, factor * BURIED)
    of_strong = arrangements(strong, BURIED)
    np.testing.assert_allclose(depth, of_strong[0], rtol=1e-6)
    np.testing.assert_allclose(1e3 * strains, of_strong[1], rtol=1e-6, atol=1e-9)


def test_with_the_strain_held_there_are_no_starts():
    sample = load_sample("ggg444")
    scan, made = sample.simulate(sample.simulated_values({}, counts=1e5), counts=1e5, seed=3, step=20.0)
    held = {name: made[name] for name in ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2")}
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held() | held, start={}, model_error=0.0
    )
    known = np.array([[made[name] for name in problem.prior.names]])
    assert len(rearranged_starts(problem, known, SMALL, rng=np.random.default_rng(0))) == 0


def test_starts_from_a_wrong_order_come_near_the_right_one():
    sample = load_sample("ggg444")
    names = ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2", "K", "n")
    truth = dict(zip(names, BURIED.tolist(), strict=True))
    scan, made = sample.simulate(sample.simulated_values(truth, counts=1e5), counts=1e5, seed=3)
    problem = prepare(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held() | {"K": 0.9},
        start=sample.start(),
        model_error=0.0,
    )
    right, wrong = (np.array([own[name] for name in problem.prior.names]) for own in (made, made | FALLING))
    starts = rearranged_starts(problem, wrong[None], SMALL, rng=np.random.default_rng(0))
    assert len(starts) == SMALL.starts
    assert (starts[:, problem.prior.names.index("K")] == 0.9).all()
    matrix, side = problem.prior.rows
    assert (starts @ matrix.T <= side + 1e-9).all()
    # The instrument is the solution's.
    np.testing.assert_allclose(starts[:, 9:], np.broadcast_to(wrong[9:], starts[:, 9:].shape))
    depth = np.linspace(0, 6000, 200)
    strain = sample.experiment().profile.strain

    def apart(values):
        own = strain.evaluate(np.broadcast_to(depth, (len(values), 200)), values[:, :7])
        return np.abs(own - strain.evaluate(depth[None], right[None, :7])).mean(axis=1) / right[0]

    assert apart(wrong[None])[0] > 0.2
    assert apart(starts).min() < 0.1
