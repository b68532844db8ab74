"""A distribution along curved valleys has the density that its draws have, and bends where draws do."""

import numpy as np
import pytest

from strainscope.inversion.curved import Curved
from strainscope.inversion.mixture import effective_size
from strainscope.inversion.nested import Normal


def valley(number, *, d=2, rng):
    """Draws of a bent valley, narrower on one side, and their log density up to a constant."""
    x = rng.standard_normal((number, d))
    return bent(x), log_valley(bent(x))


def bent(x):
    z = 0.1 * x
    z[:, 0] = x[:, 0]
    z[:, 1] = 0.6 * x[:, 0] ** 2 + 0.1 * np.exp(0.3 * x[:, 0]) * x[:, 1]
    return z


def log_valley(z):
    wide = 0.1 * np.exp(0.3 * z[:, 0])
    first = z[:, 0] ** 2 + ((z[:, 1] - 0.6 * z[:, 0] ** 2) / wide) ** 2
    return -0.5 * (first + ((z[:, 2:] / 0.1) ** 2).sum(axis=1)) - np.log(wide)


def even(number):
    return np.full(number, 1 / number)


def test_its_density_has_the_integral_1_and_is_that_of_its_draws():
    rng = np.random.default_rng(0)
    z, _ = valley(1000, rng=rng)
    curved = Curved.around(z, even(1000))
    x = np.linspace(-16, 16, 3201)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(curved.log_density(grid)) * (x[1] - x[0]) ** 2
    # Of the tails a little lies beyond.
    assert mass.sum() == pytest.approx(1, abs=0.01)
    drawn = curved.place(rng.standard_normal((100_000, 2)))
    for low, high in (((-1, 0), (1, 0.5)), ((0.5, 0.3), (2, 3)), ((-3, 1), (-1, 6))):
        share = mass[((grid > low) & (grid < high)).all(axis=1)].sum()
        assert ((drawn > low) & (drawn < high)).all(axis=1).mean() == pytest.approx(share, abs=0.01)


def test_it_bends_where_a_normal_distribution_cannot():
    rng = np.random.default_rng(1)
    z, _ = valley(2000, d=8, rng=rng)
    curved = Curved.around(z, even(2000))
    straight = Normal(mean=z.mean(axis=0), triangle=np.linalg.cholesky(np.cov(z, rowvar=False)))
    share = []
    for part in (curved, straight):
        drawn = part.place(rng.standard_normal((5000, 8)))
        share.append(effective_size(log_valley(drawn) - part.log_density(drawn)) / 5000)
    assert share[0] > 0.3
    assert share[0] > 3 * share[1]


def test_few_draws_are_not_bent():
    z, _ = valley(30, d=8, rng=np.random.default_rng(2))
    curved = Curved.around(z, even(30))
    assert curved.terms.curving == 0
    assert np.isfinite(curved.log_density(z)).all()
