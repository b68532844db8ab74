"""The benchmark of coverage: its truths are draws of the prior that scans are inverted with."""

import numpy as np
from benchmarks.coverage import LabScans
from scipy.special import ndtri
from scipy.stats import kstest


def test_truths_are_draws_of_the_inversion_s_prior():
    places = LabScans().places(range(12_800))
    for own in places.T:
        assert kstest(own, "uniform").pvalue > 1e-4
    correlation = np.corrcoef(ndtri(np.clip(places, 1e-9, 1 - 1e-9)), rowvar=False)
    np.testing.assert_allclose(correlation, np.eye(places.shape[1]), atol=0.05)


def test_places_are_those_of_the_scans():
    cases = LabScans()
    for i in (3, 300):
        scan, _, truth = cases.expected(i)
        prior = cases.problem(scan).prior
        names = [name for name in prior.names if "log10" not in name and name[:6] != "offset"]
        own = [prior.names.index(name) for name in names if name != "background_slope"]
        np.testing.assert_allclose(cases.places([i])[0], prior.to_unit(truth[None])[0, own], atol=1e-9)
