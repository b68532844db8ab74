"""What networks see of curves and scans."""

import math

import pytest
import torch

from strainscope.estimator.features import CurveFeatures, ScanFeatures

POINTS, TOLD = 200, 3


def fringes(depth, scale=1.0):
    """A peak at point 180, tails that fall as its distance squared, fringes of so many points."""
    q = torch.arange(POINTS) - 180.0
    return scale * (1 + 0.5 * torch.cos(2 * math.pi * q / depth)) / (1 + q**2)


def scans(number=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logs = torch.stack([torch.log10(fringes(5 + 0.2 * i)) for i in range(number)])
    logs += 0.05 * torch.randn(logs.shape, generator=generator)
    error = torch.full_like(logs, 0.05)
    measured = torch.ones_like(logs)
    measured[::2, :60] = 0
    told = torch.randn((number, TOLD), generator=generator)
    return torch.cat([logs * measured, error * measured, measured, told], dim=1)


def test_features_of_curves_are_standardised_and_blind_to_scale():
    features = CurveFeatures(POINTS)
    curves = torch.stack([fringes(5 + 0.2 * i) for i in range(64)])
    features.standardise(curves)
    seen = features(curves)
    assert seen.shape == (64, features.number)
    assert seen.mean(dim=0).abs().max() < 1e-3
    for part in (seen[:, :POINTS], seen[:, POINTS:]):
        assert float(part.std()) == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(features(7 * curves), seen, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("depth", [8.0, 16.0])
def test_a_fringe_is_a_peak_in_the_spectrum(depth):
    features = CurveFeatures(POINTS)
    features.standardise(torch.stack([fringes(5 + 0.2 * i) for i in range(64)]))
    lines = (features(fringes(depth)[None])[0, POINTS:] * features.line_scale + features.line_mean)[10:]
    assert 10 + int(lines.argmax()) == pytest.approx(2 * POINTS / depth, abs=1.5)


def test_what_is_not_measured_says_nothing():
    features = ScanFeatures(POINTS, TOLD)
    rows = scans()
    features.standardise(rows)
    seen = features(rows)
    assert seen.shape == (64, features.number)
    other = rows.clone()
    other[::2, :60] = 5.0
    other[::2, POINTS : POINTS + 60] = 0.3
    torch.testing.assert_close(features(other), seen)
    other[1, 10] += 1.0
    assert (features(other)[1] - seen[1]).abs().max() > 0.5


def test_features_of_scans_are_of_order_one():
    features = ScanFeatures(POINTS, TOLD)
    rows = scans()
    features.standardise(rows)
    seen = features(rows)
    assert bool(torch.isfinite(seen).all())
    assert float(seen.abs().max()) < 30
    values = seen[1::2, :POINTS]
    assert float(values.std()) == pytest.approx(1, abs=0.2)
    torch.testing.assert_close(seen[:, -TOLD:], rows[:, -TOLD:])
