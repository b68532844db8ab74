"""Families of strain and of disorder go together: nothing that a search may draw is too deep to simulate."""

from itertools import product

import numpy as np
import pytest

from strainscope.inversion.problem import prepare
from strainscope.sample.sample import validated
from strainscope.scan import Scan

STRAINS = (
    {"family": "double-gaussian"},
    {"family": "b-spline"},
    {"family": "asymmetric-pseudo-voigt"},
    {"family": "asymmetric-pseudo-voigt", "plateau": True},
)
DISORDERS = ("none", "tied", "b-spline", "exponential-double-gaussian", "amorphous")
ANGLE = np.arange(-2500.0, 400.0, 4.0)
SCAN = Scan(
    angle=ANGLE,
    intensity=np.round(1e5 / (1 + (ANGLE / 20) ** 2) + 10),
    axis="delta-theta-arcsec",
    intensity_kind="counts",
    name="peak",
)
# Draws, and sublayers that take no longer than a search may wait.
DRAWS, MOST = 256, 1000


@pytest.mark.parametrize(("strain", "disorder"), list(product(STRAINS, DISORDERS)))
def test_what_a_search_draws_can_be_simulated(strain, disorder):
    sample = validated(
        {
            "crystal": "GGG",
            "reflection": [4, 4, 4],
            "wavelength": 1.5406,
            "strain": strain,
            "disorder": {"family": disorder},
        },
        source="a sample",
        folder=None,
    )
    experiment = sample.experiment()
    problem = prepare(
        SCAN, experiment, bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.07
    )
    drawn = problem.prior.sample(DRAWS, rng=np.random.default_rng(1))
    cells = problem.model.sublayers(drawn[:, experiment.slices["profile"]])
    assert (cells.thickness > 0).sum(axis=1).max() <= MOST
