"""Curves of datasets beside a direct calculation, and what the audit says of aliasing sublayers."""

from functools import cache

import numpy as np
import pytest
import yaml

from strainscope.crystal import ARCSEC
from strainscope.dataset.audit import REFINEMENT, log10_gap, summary
from strainscope.dataset.peaks import verify_peaks
from strainscope.dataset.plan import checked, load_plan, plan_text
from strainscope.dataset.simulate import Simulator
from strainscope.dataset.store import rounded
from strainscope.diffraction import Sublayers, choose_sublayers, coefficients, reference, rocking_curve

FWHM_ARCSEC = 25.0
SIGMA = FWHM_ARCSEC / (2 * np.sqrt(2 * np.log(2)))
FINE = 0.125  # arcsec; a plateau of GGG 444 is 10 wide, a fringe of the film 6


def direct(plan, values):
    """Curves by the definition: dense angles, fine sublayers, float64, a sum over the Gaussian.

    The axis is zero at the kinematic Bragg angle plus the refraction -χ0'/sin 2θ_B (symmetric reflection).
    """
    experiment = plan.sample_settings.experiment()
    stack = experiment.stack
    zero = -stack.layers[-1].chi_0.real / np.sin(2 * stack.bragg_angle) / ARCSEC
    lags = np.arange(-round(6 * SIGMA / FINE), round(6 * SIGMA / FINE) + 1) * FINE
    points = zero + plan.angle_arcsec
    angles = np.arange(points[0] + lags[0] - FINE, points[-1] + lags[-1] + 2 * FINE, FINE)
    theta = stack.bragg_angle + ARCSEC * angles
    cells = choose_sublayers(experiment.profile, values, coefficients(theta, stack), stack, tolerance=1e-7)
    sigma, pi = np.moveaxis(rocking_curve(theta, stack, cells, dtype=np.float64), 1, 0)
    weights = experiment.polarization_weights
    mixed = weights[0] * sigma + weights[1] * pi
    gaussian = np.exp(-0.5 * (lags / SIGMA) ** 2)
    smeared = [np.convolve(row, gaussian / gaussian.sum(), mode="valid") for row in mixed]
    inside = angles[len(lags) // 2 : -(len(lags) // 2)]
    # Neighbours are so close behind the resolution that straight lines between them err by 1e-6.
    return np.array([np.interp(points, inside, row) for row in smeared])


def rms(curves, others):
    return np.sqrt((np.log10(np.asarray(curves, dtype=np.float64) / others) ** 2).mean(axis=1))


@cache
def simulator(name, refinement=1.0):
    return Simulator(load_plan(name), refinement=refinement)


def samples(name, number):
    return load_plan(name).draws.values(0, number)


class TestDirectCalculation:
    @pytest.mark.parametrize(
        "name", ["random-1m", "balanced-1m", "uniform-1m", "random-1m-film", "balanced-1m-film"]
    )
    def test_stored_curves_are_those_of_the_definition(self, name):
        values = samples(name, 6)
        curves = rounded(simulator(name).simulate(values))
        assert rms(curves, direct(simulator(name).plan, values)).max() < 1e-3

    @pytest.mark.parametrize("name", ["balanced-1m", "balanced-1m-film"])
    def test_also_where_the_strain_falls_within_ten_angstrom(self, name):
        many, names = samples(name, 500), list(load_plan(name).names)
        steep = many[np.isclose(many[:, names.index("L1")] - many[:, names.index("Rp1")], 10)]
        assert 0.04 < len(steep) / 500 < 0.12
        curves = rounded(simulator(name).simulate(steep[:6]))
        assert rms(curves, direct(simulator(name).plan, steep[:6])).max() < 1e-3

    def test_tells_a_thousandth_of_the_strain(self):
        """The direct calculation is sharp enough to fail: 0.1 % more of Dmax1 shows above the tolerance."""
        values = samples("balanced-1m", 6)
        converged = direct(simulator("balanced-1m").plan, values)
        more = values * np.where(np.array(load_plan("balanced-1m").names) == "Dmax1", 1.001, 1.0)
        assert np.median(rms(simulator("balanced-1m").simulate(more), converged)) > 2e-3


@pytest.mark.parametrize(
    ("name", "index"),
    [("balanced-1m", 20), ("random-1m", 20), ("balanced-1m-film", 10), ("random-1m-film", 10)],
)
def test_strongest_point_is_the_predecessors(name, index):
    """Index from the large-angle end: the substrate's peak on bare GGG, the film's above it."""
    plan = load_plan(name)
    peaks = verify_peaks([simulator(name).simulate(samples(name, 64))], plan.angle_arcsec)
    assert (peaks.size, peaks.lowest, peaks.highest) == (64, index, index)


def test_a_varying_width_gives_the_curves_of_a_fixed_one():
    """Another path through the instrument, one curve at a time; where the width is 25 arcsec it must not matter."""
    data = yaml.safe_load(plan_text("uniform-1m"))
    data["parameters"]["fwhm_arcsec"] = {"low": 15.0, "high": 40.0}
    varied = Simulator(checked(data, source="plan"))
    fixed = simulator("uniform-1m")
    assert fixed.linear
    assert not varied.linear
    assert varied.plan.names[:7] == fixed.plan.names
    values = samples("uniform-1m", 8)
    widths = np.full((8, 1), FWHM_ARCSEC)
    curves = fixed.simulate(values)
    assert rms(varied.simulate(np.hstack([values, widths])), curves).max() < 5e-4
    assert rms(varied.simulate(np.hstack([values, widths + 1])), curves).min() > 5e-4


def test_a_part_of_a_plan_has_the_same_curves_where_the_width_varies():
    """Angles are chosen by the plan's ranges, not by the samples that happen to be in it."""
    data = yaml.safe_load(plan_text("uniform-1m"))
    data["parameters"] |= {
        "fwhm_arcsec": {"low": 15.0, "high": 40.0},
        "offset_arcsec": {"low": -20.0, "high": 20.0},
    }
    small, large = (Simulator(checked(data | {"size": size}, source="plan")) for size in (4, 50_000))
    np.testing.assert_array_equal(small.model.grid.node_arcsec, large.model.grid.node_arcsec)
    values = large.plan.draws.values(0, 4)
    np.testing.assert_array_equal(small.curves(0), large.simulate(values))


class TestAudit:
    """Ours keep the tolerance; sublayers of 400 and 100 Å by the midpoint rule do not."""

    NUMBER = 10

    @staticmethod
    def midpoint(dl, values):
        """Curves of uniform sublayers with the strain at their middles: without the check that refuses them."""
        finer = simulator("balanced-1m", REFINEMENT)
        experiment = finer.model.experiment
        theta = experiment.stack.incidence_angle + ARCSEC * finer.model.grid.node_arcsec
        count = round(12_000 / dl)
        upper = dl * np.arange(count)
        reflectivities = []
        for row in values:
            strain, factor = experiment.profile.evaluate(upper + dl / 2, row)
            cells = Sublayers(
                thickness=np.full(count, float(dl)),
                strain=np.repeat(strain[:, None], 2, axis=1),
                debye_waller=np.repeat(factor[:, None], 2, axis=1),
                layer=np.zeros(count, dtype=np.int64),
                upper=upper,
            )
            with pytest.raises(ValueError, match="alias"):
                rocking_curve(theta, experiment.stack, cells, engine="reference")
            reflectivities.append(reference.reflectivity(theta, experiment.stack, cells))
        held = finer.plan.with_held(samples("balanced-1m", 1))[0]
        return np.einsum("pan,cpn->ca", finer.model.to_points(held), np.array(reflectivities))

    def judged(self, curves):
        finer = simulator("balanced-1m", REFINEMENT)
        converged = finer.simulate(samples("balanced-1m", self.NUMBER)).astype(np.float64)
        gap = log10_gap(np.asarray(curves, dtype=np.float64), converged)
        return summary(gap, np.arange(self.NUMBER), tolerance=finer.plan.tolerance)

    @pytest.mark.parametrize("dl", [400, 100])
    def test_aliasing_sublayers_fail(self, dl):
        found = self.judged(self.midpoint(dl, samples("balanced-1m", self.NUMBER)))
        assert not found.passed
        assert found.rms > 0.02
        assert found.rms_median > 0.01
        assert found.below_tolerance == 0

    def test_ours_pass(self):
        found = self.judged(rounded(simulator("balanced-1m").simulate(samples("balanced-1m", self.NUMBER))))
        assert found.passed
        assert 1e-6 < found.rms < 1e-3
