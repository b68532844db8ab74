"""The corner plot."""

from dataclasses import replace

import numpy as np

from strainscope.inversion import FittedParameter, Mode
from strainscope.report.corner import corner_figure


def mode(draws, names=("L1", "fwhm_arcsec", "n")):
    units = {"L1": "Å", "fwhm_arcsec": "arcsec", "n": "1"}
    parameters = tuple(
        FittedParameter(name=name, unit=units[name], value=2.0, sd=1.0, lower=0.0, upper=9.0)
        for name in names
    )
    return Mode(
        parameters=parameters,
        covariance=np.eye(len(names)),
        fitted_names=names,
        chi2=1.0,
        reduced_chi2=1.0,
        rms_log10=0.1,
        weight=1.0,
        starts=1,
        fitted=np.ones(3),
        bands=None,
        maximum_strain=(0.0, 0.0),
        draws=draws,
    )


def test_every_pair_has_a_panel_with_its_draws():
    rng = np.random.default_rng(0)
    axes = corner_figure(mode(rng.normal(2, 1, (200, 3)))).axes[0]
    points = axes.lines[0].get_xydata()
    cells = {(int(y), int(x)) for x, y in points}
    assert cells == {(1, 0), (2, 0), (2, 1)}
    # All but what lies beyond the limits is drawn.
    assert 3 * 190 < len(points) <= 3 * 200
    words = [text.get_text() for text in axes.texts]
    assert {"L1 (nm)", "fwhm_arcsec", "n"} <= set(words)


def test_a_correlation_is_seen_as_one():
    rng = np.random.default_rng(0)
    along = rng.normal(2, 1, 400)
    draws = np.stack([along, 3 * along, -along], axis=1)
    points = corner_figure(mode(draws)).axes[0].lines[0].get_xydata()
    # Down is larger in these axes: a rising pair falls in numbers.
    rising = points[(points[:, 1] < 2) & (points[:, 0] < 1)]
    assert np.corrcoef(rising.T)[0, 1] < -0.999


def test_draws_that_are_all_alike_have_a_panel_too():
    assert corner_figure(mode(np.full((50, 1), 2.0), names=("n",))) is not None


def test_without_draws_there_is_no_figure():
    assert corner_figure(replace(mode(np.ones((2, 3))), draws=None)) is None
