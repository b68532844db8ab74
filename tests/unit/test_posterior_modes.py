"""Which regions of a posterior are modes of their own, on a density that is known."""

import numpy as np
import pytest

from strainscope.inversion.mixture import WeightedDraws
from strainscope.inversion.posterior import agreement_of, modes_among
from strainscope.inversion.sampling import Drawn

WELLS = np.array([-3.0, 0.0, 3.0])


class Wells:
    """Residuals sin(pi x / 3) h, which have wells at x = -3, 0, 3 with ridges of h^2 between them, and a flat y."""

    def __init__(self, ridge):
        self.height = np.sqrt(ridge)

    def misfit(self, z):
        return (self.linearised(z)[0] ** 2).sum(axis=1)

    def linearised(self, z):
        x, y = z.T
        phase = np.pi * x / 3
        residuals = np.stack([self.height * np.sin(phase), 0.1 * y], axis=1)
        zero = np.zeros_like(x)
        slopes = [[self.height * np.pi / 3 * np.cos(phase), zero], [zero, 0.1 + zero]]
        return residuals, np.moveaxis(np.array(slopes), -1, 0)


def modes(ridge, share, *, group=(0, 1, 2)):
    """What leads each well's mode where its one draw has this share of the weight."""
    share = np.asarray(share)
    z = np.stack([WELLS, np.zeros(3)], axis=1)
    target = Wells(ridge)
    drawn = Drawn(
        draws=WeightedDraws(z=z, log_weight=np.log(share), log_evidence=0.0),
        log_density=-0.5 * target.misfit(z),
        region=np.arange(3),
        group=np.array(group),
    )
    return modes_among(target, drawn, share, z, np.arange(3)).tolist()


def drawn_of(rng, number, mean, sd, shares):
    """Draws around two wells with these shares, equally weighted within each, moved and widened by so much."""
    region = np.repeat([0, 1], number)
    z = np.stack([6.0 * region, np.zeros(2 * number)], axis=1) + mean + sd * rng.standard_normal((2 * number, 2))
    weight = np.log(np.repeat(shares, number) / number)
    return Drawn(
        draws=WeightedDraws(z=z, log_weight=weight, log_evidence=0.0),
        log_density=np.zeros(2 * number),
        region=region,
        group=np.arange(2),
    )


@pytest.mark.parametrize(
    ("mean", "sd", "shares"),
    [(0.0, 1.0, (0.7, 0.3)), (0.4, 1.0, (0.7, 0.3)), (0.0, 1.3, (0.7, 0.3)), (0.0, 1.0, (0.5, 0.5))],
)
def test_draws_are_compared_with_those_that_check_them(mean, sd, shares):
    rng = np.random.default_rng(0)
    known = drawn_of(rng, 20_000, 0.0, 1.0, (0.7, 0.3))
    found = agreement_of(drawn_of(rng, 20_000, mean, sd, shares), known, np.arange(2))
    assert found.mean == pytest.approx(mean, abs=0.03)
    assert found.sd == pytest.approx(sd - 1, abs=0.03)
    assert found.weight == pytest.approx(abs(shares[0] - 0.7), abs=1e-9)


@pytest.fixture(autouse=True)
def descents_stay(monkeypatch):
    """The wells' bottoms are known: descents need features that these wells have not."""
    monkeypatch.setattr(
        "strainscope.inversion.posterior.descend", lambda target, starts, **options: type("Ends", (), {"z": starts})
    )


def test_wells_with_ridges_between_them_are_modes_and_others_are_one():
    assert modes(20.0, [0.5, 0.3, 0.2]) == [0, 1, 2]
    assert modes(2.0, [0.5, 0.3, 0.2]) == [0, 0, 0]


def test_a_light_well_goes_with_the_heaviest_of_its_group():
    assert modes(20.0, [0.3, 0.6999, 0.0001], group=(0, 1, 1)) == [0, 1, 1]
    assert modes(20.0, [0.3, 0.6999, 0.0001], group=(0, 1, 0)) == [0, 1, 0]
    assert modes(20.0, [0.9999, 0.00005, 0.00005]) == [0, 1, 2]
