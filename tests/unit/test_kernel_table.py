"""Resolutions of many curves at once: what is interpolated is what the instrument does to one curve."""

import numpy as np
import pytest

from strainscope.experiment import KernelTable
from strainscope.instrument import (
    Gaussian,
    NoResolution,
    PseudoVoigt,
    Smearing,
    SplitPseudoVoigt,
)


def smearing_of(resolution, **more):
    return Smearing(start_arcsec=-300.0, step_arcsec=2.0, number=300, resolution=resolution, **more)


@pytest.fixture
def curves():
    rng = np.random.default_rng(0)
    return 10.0 ** rng.uniform(-6, 0, (5, 2, 300))


@pytest.mark.parametrize("weights", [None, (0.8, 0.2)])
@pytest.mark.parametrize(
    ("resolution", "values"),
    [
        (PseudoVoigt(), [[15.0, 0.0], [15.2, 0.3], [22.2, 1.0], [39.9, 0.1], [40.0, 0.5]]),
        (Gaussian(), [[15.0], [15.2], [22.2], [39.9], [40.0]]),
        (NoResolution(), [[], [], [], [], []]),
    ],
    ids=["two", "one", "none"],
)
def test_each_curve_is_smeared_by_a_resolution_of_its_own(curves, resolution, values, weights):
    smearing = smearing_of(resolution, polarization_weights=weights)
    table = KernelTable(smearing, (15.0, 40.0))
    padded = np.zeros((5, 2, table.length))
    padded[..., :300] = curves
    found = table.smear(padded, np.array(values))
    assert found.shape == (5, 300)
    for curve, row, own in zip(curves, np.array(values), found, strict=True):
        np.testing.assert_allclose(own, smearing.smear(curve, row), rtol=1e-5)


def test_a_resolution_with_more_parameters_is_refused():
    with pytest.raises(
        ValueError, match="SplitPseudoVoigt has fwhm_low_arcsec, .*; only resolutions of up to 2"
    ):
        KernelTable(smearing_of(SplitPseudoVoigt()), (10.0, 20.0))
