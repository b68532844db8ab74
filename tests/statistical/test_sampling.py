"""Weighted draws by a surrogate: right for densities that are known, efficient where residuals are quadratic."""

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.optimize import least_squares
from scipy.special import logsumexp
from scipy.stats import norm

from strainscope.inversion.curved import Curved as Bent
from strainscope.inversion.evidence import log_normaliser
from strainscope.inversion.mixture import Mixture, Walked
from strainscope.inversion.pareto import FEWEST_DRAWS, WORST_PARETO, effective_size, pareto_shape, trusted
from strainscope.inversion.sampling import sample
from strainscope.inversion.surrogate import PolynomialSurrogate
from strainscope.inversion.target import Described, log_density
from strainscope.inversion.warp import GRID, Warp

PLAIN = CubicSpline(GRID, GRID)
UNWARPED = Warp(intensities={i: PLAIN for i in range(3)})
WARPED = Warp(intensities={0: CubicSpline(GRID, np.exp(0.5 * GRID)), 1: PLAIN, 2: PLAIN})
STEP = 1e-6


def first(warp, d):
    """The warp of the first so many coordinates."""
    return Warp(intensities={i: warp.intensities[i] for i in range(d)})


def slopes(function, z):
    """Derivatives (n, feature, d) of a function of places (n, d)."""
    moves = STEP * np.eye(z.shape[1])
    return np.stack([(function(z + m) - function(z - m)) / (2 * STEP) for m in moves], axis=-1)


class Curved:
    """Features: the coordinates and curved functions of the first."""

    def __init__(self, warp, d):
        self.warp, self._d = warp, d

    def __call__(self, z):
        first = z[:, :1]
        return np.concatenate([z, first**2, np.sin(2 * first), np.exp(first)], axis=1)

    @property
    def blocks(self):
        everything = slice(0, self._d + 3), np.arange(self._d)
        return (everything,)

    def slopes(self, z):
        return slopes(self, z)

    def slopes_by_block(self, z):
        return (self.slopes(z),)


def described(z):
    return Described(z, Curved(first(UNWARPED, z.shape[1]), z.shape[1]))


class Known:
    """A target with given residuals."""

    def __init__(self, residuals, warp=UNWARPED):
        self._residuals, self._warp, self.evaluations = residuals, warp, 0

    def features(self, z):
        return Curved(first(self._warp, len(z)), len(z))

    def by_features(self, z, features, weights):
        return weights @ np.array([self._by_features(place, features) for place in z])

    def _by_features(self, place, features):
        around = place + np.random.default_rng(0).standard_normal((200, len(place)))
        known = np.concatenate([features(around), np.ones((200, 1))], axis=1)
        return np.linalg.lstsq(known, self._residuals(around), rcond=None)[0][:-1].T

    def linearised(self, z):
        unit = np.broadcast_to(np.eye(z.shape[1]), (*z.shape, z.shape[1]))
        jacobian = np.concatenate([slopes(self._residuals, z), unit], axis=1)
        return np.concatenate([self._residuals(z), z], axis=1), jacobian

    def climb(self, z):
        return least_squares(lambda z: self.linearised(z[None])[0][0], z).x

    def residuals(self, z):
        self.evaluations += len(z)
        return self._residuals(z)


def nowhere_else(z):
    return np.zeros(len(z), dtype=np.int64)


def linear(z):
    return np.stack([(z[:, 0] - 1) / 0.2, (z[:, 0] + z[:, 1]) / 0.5], axis=1)


def banana(z):
    return np.stack([z[:, 0] / 0.7, (z[:, 1] - z[:, 0] ** 2) / 0.1], axis=1)


def bent(z):
    return np.stack([z[:, 0] / 0.6, (np.sin(2 * z[:, 0]) - z[:, 1]) / 0.15], axis=1)


def steep(z):
    return np.stack([(np.exp(z[:, 0]) + z[:, 1]) / 0.4, z[:, 1] / 0.5], axis=1)


def known_moments(residuals):
    """Mean, sd and ln of the evidence by quadrature."""
    x = np.linspace(-6, 6, 1201)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    log_weight = log_density(z, residuals(z))
    total = logsumexp(log_weight)
    share = np.exp(log_weight - total)
    mean = share @ z
    evidence = total + 2 * np.log(x[1] - x[0]) - np.log(2 * np.pi)
    return mean, np.sqrt(share @ (z - mean) ** 2), evidence


@pytest.mark.parametrize(
    ("residuals", "warp", "least"),
    [(linear, UNWARPED, 0.6), (banana, UNWARPED, 0.5), (bent, UNWARPED, 0.3), (steep, WARPED, 0.4)],
)
def test_draws_and_evidence_are_those_of_the_posterior(residuals, warp, least):
    rng = np.random.default_rng(0)
    target = Known(residuals, warp)
    places = target.climb(np.array([0.5, 0.0]))[None]
    drawn = sample(target, places, nowhere_else, wanted=4000, most=20_000, rng=rng)
    draws = drawn.draws
    assert draws.effective >= 4000
    assert draws.effective > least * len(draws.z)
    assert logsumexp(draws.log_weight) == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(drawn.log_density, log_density(draws.z, residuals(draws.z)))
    share = np.exp(draws.log_weight)
    mean = share @ draws.z
    sd = np.sqrt(share @ (draws.z - mean) ** 2)
    expected, width, evidence = known_moments(residuals)
    np.testing.assert_allclose(mean, expected, atol=4.5 * width.max() / np.sqrt(4000))
    np.testing.assert_allclose(sd, width, rtol=0.08)
    assert draws.log_evidence == pytest.approx(evidence, abs=0.1)


def two(z):
    """Peaks near (-1.5, 0) and, half as wide, near (1.5, 0)."""
    wide = np.where(z[:, 0] < 0, 0.3, 0.15)
    return np.stack([(np.abs(z[:, 0]) - 1.5) / wide, z[:, 1] / wide], axis=1)


def test_two_modes_have_their_odds_and_stay_apart():
    target = Known(two)
    places = np.array([target.climb(np.array([-1.5, 0.0])), target.climb(np.array([1.5, 0.0]))])
    drawn = sample(
        target,
        places,
        lambda z: (z[:, 0] > 0).astype(np.int64),
        regions=2,
        wanted=3000,
        most=20_000,
        rng=np.random.default_rng(1),
    )
    assert drawn.group.tolist() == [0, 1]
    np.testing.assert_array_equal(drawn.region, drawn.draws.z[:, 0] > 0)
    x = np.linspace(-6, 6, 2401)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    exact = np.exp(log_density(z, two(z)))
    right = exact[z[:, 0] > 0].sum() / exact.sum()
    assert np.exp(drawn.draws.log_weight[drawn.region == 1]).sum() == pytest.approx(right, abs=0.02)


def test_maxima_of_one_mode_are_joined():
    target = Known(banana)
    places = np.array([[0.0, 0.0], [0.6, 0.36]])
    drawn = sample(
        target,
        places,
        lambda z: (z[:, 0] > 0.3).astype(np.int64),
        regions=2,
        wanted=500,
        most=5000,
        rng=np.random.default_rng(2),
    )
    assert drawn.group.tolist() == [0, 0]


def test_a_maximum_that_was_not_known_is_found():
    """The start lies on a slope, far from the peak."""
    target = Known(lambda z: np.stack([(z[:, 0] - 2) / 0.05, z[:, 1] / 0.05], axis=1))
    drawn = sample(
        target,
        np.array([[1.5, 0.3]]),
        nowhere_else,
        wanted=500,
        most=5000,
        rng=np.random.default_rng(3),
    )
    share = np.exp(drawn.draws.log_weight)
    assert drawn.draws.effective >= 500
    np.testing.assert_allclose(share @ drawn.draws.z, [2 / 1.0025, 0], atol=0.01)


def test_a_region_of_a_single_draw_is_not_walked_through():
    seen = []

    def region_of(z):
        # The first draw that is not one of the maxima.
        if len(z) > 1 and not seen:
            seen.append(z[0])
        return np.array([int(any((row == one).all() for one in seen)) for row in z])

    rng = np.random.default_rng(0)
    drawn = sample(Known(linear), np.zeros((1, 2)), region_of, regions=2, wanted=500, most=3000, rng=rng)
    assert (drawn.region == 1).sum() == 1
    assert drawn.group.tolist() == [0, 1]
    mean, _, _ = known_moments(linear)
    share = np.exp(drawn.draws.log_weight)
    np.testing.assert_allclose(share @ drawn.draws.z / share.sum(), mean, atol=0.1)


def test_it_stops_at_the_most_evaluations():
    target = Known(lambda z: 30 * np.sin(9 * z))
    drawn = sample(
        target, np.zeros((1, 3)), nowhere_else, wanted=1e6, most=3000, rng=np.random.default_rng(1)
    )
    assert 3000 <= target.evaluations < 4500
    assert len(drawn.draws.z) == len(drawn.log_density) == target.evaluations


def test_walks_leave_the_surrogate_s_density_as_it_is():
    """Draws of a banana through its surrogate have the moments that quadrature gives, wherever they begin."""
    rng = np.random.default_rng(2)
    places = rng.standard_normal((400, 2)) * [1.0, 1.5]
    surrogate = PolynomialSurrogate(described(places), banana(places), np.ones(400), lambda own: own.z)
    along = Bent.around(places, np.full(400, 1 / 400))
    z, density, _ = surrogate.walk(rng.standard_normal((64, 2)), 12_800, along=along, rng=rng)
    np.testing.assert_allclose(density, surrogate.log_density(described(z)))
    mean, width, _ = known_moments(banana)
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.05)
    np.testing.assert_allclose(z.std(axis=0), width, rtol=0.07)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_walks_that_begin_right_stay_right(seed):
    """Draws of a surrogate remain such, also where the straight coordinates are of a narrower distribution."""
    rng, d = np.random.default_rng(seed), 12
    features = Curved(Warp(intensities={i: PLAIN for i in range(d)}), d)
    places = rng.standard_normal((2000, d))
    surrogate = PolynomialSurrogate(
        Described(places, features), 0.5 * places, np.ones(len(places)), lambda own: own.z
    )
    sd = 1 / np.sqrt(1 + 0.5**2)
    along = Bent.around(0.8 * sd * rng.standard_normal((1000, d)), np.full(1000, 1 / 1000))
    z, _, _ = surrogate.walk(sd * rng.standard_normal((256, d)), 1024, along=along, rng=rng)
    assert z.std() == pytest.approx(sd, rel=0.02)


def test_straight_coordinates_are_those_of_the_places():
    rng = np.random.default_rng(3)
    z = rng.standard_normal((500, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 0.2]]) + 1
    z[:, 1] += z[:, 0] ** 2
    along = Bent.around(z, np.full(500, 1 / 500))
    e, volume = along.straight(z[:20])
    np.testing.assert_allclose(along.bent(e), z[:20], atol=1e-9)
    step = 1e-6
    moved = [(along.bent(e + step * m) - along.bent(e - step * m)) / (2 * step) for m in np.eye(3)]
    np.testing.assert_allclose(np.linalg.slogdet(np.stack(moved, axis=-1))[1], volume, atol=1e-4)


def test_walks_go_along_a_narrow_bent_valley_that_straight_coordinates_know_nothing_of():
    """Chains that begin at one place spread along y = b x^2, fifty times as narrow as long, and learn its course."""
    rng, d = np.random.default_rng(6), 8
    bends = np.linspace(-0.5, 0.5, d - 1)

    def valley(z):
        return 50 * (z[:, 1:] - bends * z[:, :1] ** 2)

    features = Curved(Warp(intensities={i: PLAIN for i in range(d)}), d)
    places = rng.standard_normal((800, d))
    surrogate = PolynomialSurrogate(Described(places, features), valley(places), np.ones(800), lambda own: own.z)
    along = Bent.around(places, np.full(800, 1 / 800))
    first = walk = surrogate.walk(np.zeros((256, d)), 1024, along=along, rng=rng)
    for _ in range(9):
        along = Bent.around(walk.places, np.full(1024, 1 / 1024))
        walk = surrogate.walk(walk.places[-256:], 1024, along=along, rng=rng)
    assert first.taken < 0.01 < 0.1 < walk.taken
    z, x = walk.places, np.linspace(-5, 5, 2001)
    density = np.exp(-(x**2) / 2 - (bends**2).sum() * x**4 / 2)
    assert z[:, 0].std() == pytest.approx(np.sqrt((x**2 * density).sum() / density.sum()), rel=0.1)
    assert (valley(z) ** 2).mean() == pytest.approx(1, rel=0.1)


def test_quadratic_residuals_are_met_exactly():
    rng = np.random.default_rng(3)
    places = rng.standard_normal((80, 2))
    surrogate = PolynomialSurrogate(described(places), banana(places), np.ones(80), lambda own: own.z)
    z = 0.7 * rng.standard_normal((20, 2))
    np.testing.assert_allclose(surrogate.log_density(described(z)), log_density(z, banana(z)), atol=0.02)


def test_effective_size():
    assert effective_size(np.zeros(50)) == pytest.approx(50)
    assert effective_size(np.array([0.0, -800.0, -900.0])) == pytest.approx(1)
    assert effective_size(np.log([1.0, 1.0, 2.0]) - 1e4) == pytest.approx(16 / 6)


def test_the_integral_of_a_known_density():
    rng = np.random.default_rng(4)
    mean, root = np.array([1.0, -2.0, 0.5]), np.array([[1.0, 0, 0], [0.8, 0.3, 0], [0.1, -0.2, 2.0]])
    inverse = np.linalg.inv(root)
    draws = mean + rng.standard_normal((4000, 3)) @ root.T

    def density(z):
        return 7.0 - 0.5 * (((z - mean) @ inverse.T) ** 2).sum(axis=1)

    expected = 7.0 + 1.5 * np.log(2 * np.pi) + np.log(np.linalg.det(root))
    found = log_normaliser(density, draws, density(draws), rng=rng)
    assert found == pytest.approx(expected, abs=0.03)


def test_the_integral_of_a_density_unlike_a_normal_one():
    # Uniform on a cube of side 2: ln 8.
    rng = np.random.default_rng(5)
    draws = rng.uniform(-1, 1, (6000, 3))

    def density(z):
        return np.where(np.abs(z).max(axis=1) <= 1, 0.0, -np.inf)

    assert log_normaliser(density, draws, np.zeros(6000), rng=rng) == pytest.approx(np.log(8), abs=0.06)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_shape_of_known_tails(shape):
    # Weights u^-k have a tail of shape k.
    rng = np.random.default_rng(6)
    found = [pareto_shape(-shape * np.log(rng.random(20_000))) for _ in range(5)]
    assert np.mean(found) == pytest.approx(shape, abs=0.12)


def test_pareto_shape_of_even_and_of_few_weights():
    assert pareto_shape(np.zeros(500)) == -np.inf
    assert pareto_shape(np.arange(10.0)) == np.inf
    # One weight has nearly everything.
    rng = np.random.default_rng(7)
    assert pareto_shape(np.concatenate([rng.standard_normal(500), [60.0]])) > 0.7


class Normally:
    """A normal distribution as a proposal."""

    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def log_density(self, places):
        return norm.logpdf(places.z[:, 0], self.mean, self.sd)

    def draw(self, n, rng):
        return self.mean + self.sd * rng.standard_normal((n, 1))


class WalkedNormally(Walked):
    """One whose walks kept to a part of it."""

    def __init__(self, whole):
        object.__setattr__(self, "whole", whole)

    def log_density(self, places):
        return self.whole.log_density(places)


@pytest.mark.parametrize(("lies", "counts"), [((0.0, 1.0), True), ((4.0, 0.1), False)])
def test_what_walks_have_missed_is_no_proposal(lies, counts):
    """Walks through a standard normal density that came to know one tail only, and took its integral for the whole."""
    rng = np.random.default_rng(8)
    mixture = Mixture(Curved(first(UNWARPED, 1), 1))
    wide, own = Normally(0.0, 2.0), Normally(*lies)
    exact = Normally(0.0, 1.0)
    claimed = WalkedNormally(exact if counts else Shifted(exact, 6.0))
    for proposal, z in ((wide, wide.draw(4000, rng)), (claimed, own.draw(4000, rng))):
        mixture.add(proposal, z, exact.log_density(described(z)))
    drawn = mixture.together()
    assert np.isfinite(drawn.log_weight[4000:]).all() == counts
    assert np.isfinite(drawn.log_weight[:4000]).all()
    # That of exp(-x²/2) / √(2π), to which the prior's own integral comes.
    assert drawn.log_evidence + 0.5 * np.log(2 * np.pi) == pytest.approx(0.0, abs=0.05)


def test_walks_need_not_come_where_the_posterior_is_not():
    """What is claimed there takes no draw's weight."""
    rng = np.random.default_rng(9)
    mixture = Mixture(Curved(first(UNWARPED, 1), 1))
    wide, exact = Normally(0.0, 2.0), Normally(0.0, 1.0)
    claimed = WalkedNormally(Sum(exact, Shifted(Normally(12.0, 1.0), 3.0)))
    for proposal, z in ((wide, wide.draw(4000, rng)), (claimed, exact.draw(4000, rng))):
        mixture.add(proposal, z, exact.log_density(described(z)))
    drawn = mixture.together()
    assert np.isfinite(drawn.log_weight).all()
    assert drawn.log_evidence + 0.5 * np.log(2 * np.pi) == pytest.approx(0.0, abs=0.05)


class Sum:
    """Two densities together."""

    def __init__(self, first, second):
        self.both = first, second

    def log_density(self, places):
        return np.logaddexp(*(own.log_density(places) for own in self.both))


class Shifted:
    """A density taken for so much more, in the logarithm."""

    def __init__(self, of, by):
        self.of, self.by = of, by

    def log_density(self, places):
        return self.of.log_density(places) + self.by


def test_weights_that_can_be_trusted_stay_as_they_are():
    log_weight = 0.5 * np.random.default_rng(1).standard_normal(3000)
    assert np.allclose(trusted(log_weight + 7.0), log_weight - logsumexp(log_weight))


@pytest.mark.parametrize("shape", [1.5, 4.0])
def test_weights_with_a_heavy_tail_are_flattened_in_their_order(shape):
    log_weight = -shape * np.log(np.random.default_rng(2).random(3000))
    found = trusted(log_weight)
    assert effective_size(log_weight) < FEWEST_DRAWS <= effective_size(found)
    assert pareto_shape(found) <= WORST_PARETO
    assert np.isclose(logsumexp(found), 0.0)
    assert np.array_equal(np.argsort(found), np.argsort(log_weight))
