"""Many curves at once are the curves that the model gives one by one."""

import numpy as np
import pytest

from strainscope.experiment import ManyCurves, ScanModel
from strainscope.inversion.problem import prepare
from strainscope.sample import load_sample
from strainscope.sample.sample import validated

POSITION = np.arange(-2600.0, 300.0, 11.0)


def sample_with(name="ggg444", **changes):
    data = load_sample(name).model_dump(exclude_unset=True)
    return validated(data | changes, source="sample", folder=None)


def model_of(sample, **more):
    settings = {"fringe_depth": 9000.0, "narrowest_fwhm_arcsec": 12.0, "widest_fwhm_arcsec": 60.0}
    return ScanModel(
        experiment=sample.experiment(), position=POSITION, offset_range=(-60.0, 60.0), **settings | more
    )


def drawn(sample, n, seed=0):
    """Values of all parameters, of the strength that scans have."""
    prior = sample.prior()
    values = prior.sample(n, rng=np.random.default_rng(seed))
    usual = {
        "fwhm_arcsec": (15.0, 50.0),
        "fwhm_low_arcsec": (15.0, 50.0),
        "fwhm_high_arcsec": (15.0, 50.0),
        "offset_arcsec": (-40.0, 40.0),
        "log10_scale": (3.0, 6.0),
        "log10_background": (0.0, 1.0),
        "diffuse_amplitude": (0.0, 1.0),
        "correlation_length": (20.0, 1000.0),
    }
    rng = np.random.default_rng(seed + 1)
    for name, (low, high) in usual.items():
        if name in prior.names:
            values[:, prior.names.index(name)] = rng.uniform(low, high, n)
    return values


@pytest.mark.parametrize(
    "sample",
    [
        sample_with(),
        sample_with(diffuse=False),
        sample_with(resolution={"family": "gaussian"}, diffuse=False),
        sample_with(resolution={"family": "split-pseudo-voigt"}),
        sample_with("yig-on-ggg444"),
    ],
    ids=["usual", "coherent", "one parameter", "four parameters", "film"],
)
def test_many_curves_are_the_model_s(sample):
    model = model_of(sample)
    many = ManyCurves(model)
    for seed, n in ((0, 70), (5, 3)):
        values = drawn(sample, n, seed)
        found = many.expected(values)
        assert found.shape == (n, len(POSITION))
        exact = np.array([model.expected(row) for row in values])
        error = np.abs(np.log10(found / exact))
        assert np.median(error.max(axis=1)) < 1e-4
        assert np.sqrt((error**2).mean(axis=1)).max() < 1e-3
        assert error.max() < 5e-3


def test_tables_grow_with_what_is_asked_for():
    sample = sample_with()
    model = model_of(sample)
    values = drawn(sample, 2)
    narrow, wide = values.copy(), values.copy()
    column = list(sample.prior().names).index
    for name, small, large in (
        ("fwhm_arcsec", 20.0, 55.0),
        ("correlation_length", 30.0, 1500.0),
        ("Dmax1", 0.004, 0.02),
        ("D01", 0.002, 0.008),
    ):
        narrow[:, column(name)], wide[:, column(name)] = small, large
    many = ManyCurves(model)
    before = many.expected(narrow)
    np.testing.assert_allclose(many.expected(wide), [model.expected(row) for row in wide], rtol=1e-3)
    np.testing.assert_allclose(many.expected(narrow), before, rtol=5e-4)


@pytest.mark.parametrize("length", [66.0, 200.0])
def test_strong_diffuse_scattering_alone_is_as_true_as_beside_others(length):
    """A table made for one correlation length is not used to the end of its range: to far below the noise of 8e6."""
    sample = sample_with()
    model = model_of(sample)
    values = drawn(sample, 1)
    column = list(sample.prior().names).index
    of_a_scan = {
        "Dmax1": 0.007,
        "D01": 0.0045,
        "L1": 7960.0,
        "Rp1": 6860.0,
        "D02": 0.003,
        "L2": 560.0,
        "Rp2": -4060.0,
        "K": 0.86,
        "n": 1.5,
        "diffuse_amplitude": 1.56,
        "correlation_length": length,
        "log10_scale": 7.92,
        "log10_background": 2.16,
    }
    for name, value in of_a_scan.items():
        values[:, column(name)] = value
    found, exact = ManyCurves(model).expected(values)[0], model.expected(values[0])
    assert ((found - exact) ** 2 / exact).sum() < 1.0


def test_the_least_width_can_be_smeared_by_where_the_peak_is_broad():
    # A search tries the narrowest resolution that is allowed, however broad the peak that sets the grid.
    sample = sample_with(
        "si004", resolution={"family": "pseudo-voigt"}, scan={"axis": "delta-theta-arcsec", "intensity": "counts"}
    )
    values = sample.simulated_values({"fwhm_arcsec": 190.0}, counts=1e5)
    scan, _ = sample.simulate(values, counts=1e5, seed=1, span=(-3000, 1500), step=15)
    problem = prepare(
        scan, sample.experiment(), bounds=sample.bounds(), held=sample.held(), start=sample.start(), model_error=0.0
    )
    narrow = np.tile(problem.base, (3, 1))
    width = problem.prior.names.index("fwhm_arcsec")
    narrow[:, width] = problem.prior.parameters[width].lower
    for own in (problem, problem.coarse):
        assert np.isfinite(own.residuals_many(narrow, own.many_curves())).all()
        assert np.isfinite(own.residuals_with_jacobian(narrow[:1])[0]).all()
