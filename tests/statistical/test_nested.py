"""Nested sampling finds the evidence and the odds of modes, wherever it was told to look."""

import numpy as np
import pytest
from scipy.special import logsumexp

from strainscope.inversion.mixture import WeightedDraws
from strainscope.inversion.nested import Unfinished, mixture_around, nested_draws, require_nested
from strainscope.inversion.target import log_density


class Two:
    """Modes near (-1.5, 0) and, half as wide, near (1.5, 0)."""

    def residuals(self, z):
        wide = np.where(z[:, 0] < 0, 0.3, 0.15)
        return np.stack([(np.abs(z[:, 0]) - 1.5) / wide, z[:, 1] / wide], axis=1)


def exact():
    """ln of the evidence and the share of the right mode, by quadrature."""
    x = np.linspace(-6, 6, 2401)
    z = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    density = log_density(z, Two().residuals(z))
    evidence = logsumexp(density) + 2 * np.log(x[1] - x[0]) - np.log(2 * np.pi)
    return evidence, np.exp(logsumexp(density[z[:, 0] > 0]) - logsumexp(density))


def around(place, sd, *, rng):
    z = np.array(place) + sd * rng.standard_normal((200, 2))
    return WeightedDraws(z=z, log_weight=np.full(200, -np.log(200)), log_evidence=0.0)


def test_a_mixture_s_places_have_its_density():
    rng = np.random.default_rng(0)
    mixture = mixture_around([around((-1.0, 0.5), 0.3, rng=rng), around((2.0, 0.0), 0.1, rng=rng)])
    z = mixture.place(rng.random((200_000, 3)))
    # The mean of 1/q over draws of q within a box is the box's area.
    inside = (np.abs(z - [-1.0, 0.5]) < 0.8).all(axis=1)
    area = (inside / np.exp(mixture.log_density(z))).mean()
    assert area == pytest.approx(1.6**2, rel=0.03)


# Told of both modes and of one alone, too wide and too narrow.
@pytest.mark.parametrize("told", [((-1.5, 0.3), (1.5, 0.15)), ((-1.5, 0.15),)])
def test_evidence_and_odds_are_right_whatever_it_was_told(told):
    rng = np.random.default_rng(1)
    known = [around((x, 0.0), sd, rng=rng) for x, sd in told]
    draws = nested_draws(Two(), known, live=400, wanted=3000, seed=2)
    evidence, right = exact()
    assert draws.effective >= 3000
    assert draws.log_evidence == pytest.approx(evidence, abs=0.06)
    weight = np.exp(draws.log_weight)
    assert weight[draws.z[:, 0] > 0].sum() == pytest.approx(right, abs=4.5 * np.sqrt(right / 3000))


def test_what_takes_too_many_curves_is_unfinished(monkeypatch):
    monkeypatch.setattr("strainscope.inversion.nested._MOST", 500)
    known = [around((-1.5, 0.0), 0.3, rng=np.random.default_rng(1))]
    with pytest.raises(Unfinished, match="did not come to an end within 500 curves"):
        nested_draws(Two(), known, live=400, wanted=3000, seed=2)


@pytest.mark.parametrize("after", [0, 100, 200])
def test_shells_that_were_not_filled_again_are_no_end(monkeypatch, after):
    """The exploration has ended, and the draws that count have only begun."""
    explored = []

    class Counting(require_nested()):
        def run(self, **how):
            super().run(**how | {"n_eff": 0, "n_shell": 0, "n_like_max": np.inf})
            explored.append(self.n_like)

    known = [around((x, 0.0), sd, rng=np.random.default_rng(1)) for x, sd in ((-1.5, 0.3), (1.5, 0.15))]
    with monkeypatch.context() as patched:
        patched.setattr("strainscope.inversion.nested.require_nested", lambda: Counting)
        with pytest.raises(Unfinished):
            nested_draws(Two(), known, live=400, wanted=3000, seed=2)
    monkeypatch.setattr("strainscope.inversion.nested._MOST", explored[0] + after)
    with pytest.raises(Unfinished):
        nested_draws(Two(), known, live=400, wanted=3000, seed=2)


def test_without_the_library_a_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nautilus", None)
    with pytest.raises(ValueError, match=r"pip install 'strainscope\[gold\]'"):
        require_nested()
