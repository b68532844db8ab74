"""Sublayers that the engine chooses: they keep the stated error, fill the depth, and have limits."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    Sublayers,
    choose_sublayers,
    coefficients,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.diffraction.sublayers import FACTOR_SHARE, STRAIN_SHARE, gauss_depths
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
STACKS = {
    "bare": stack_from_reflections(GGG),
    "film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 31_500.0),)),
    "thin_film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 2500.0),)),
    "polar_grazing": stack_from_reflections(GAAS),
    "polar_steep": stack_from_reflections(replace(GAAS, asymmetry=-GAAS.asymmetry)),
}
each_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
GARNET = np.array([0.01305, 0.0017, 5800.0, 3500.0, 0.004845, 4000.0, -500.0])
STRAIN = DepthProfile(strain=DoubleGaussian())
DISORDERED = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
SCAN = (np.arange(351) * 2 - 680) * 4.671897861 * ARCSEC


def rms(a, b):
    """Rms of log10(a/b) over polarization and angle of each curve."""
    return np.sqrt(np.mean(np.log10(np.asarray(a, dtype=float) / b) ** 2, axis=(-2, -1)))


def random_values(n, profile, *, rng, steep=0.0):
    """Valid parameters drawn over the whole prior; a share of them with L1 only 10 Å below Rp1."""
    lower, upper = (np.array([getattr(s, end) for s in profile.parameters]) for end in ("lower", "upper"))
    drawn = rng.uniform(lower, upper, (4000, len(lower)))
    drawn[: int(4000 * steep), 2] = drawn[: int(4000 * steep), 3] + 10.0
    valid = drawn[~profile.violations(drawn)]
    profile.check(valid)
    share = valid[:, 2] - valid[:, 3] < 10.001
    mixed = np.concatenate([valid[share][: int(n * steep)], valid[~share][: n - int(n * steep)]])
    assert len(mixed) == n
    return mixed


def row(sublayers, i):
    return Sublayers(**{key: value[i] for key, value in vars(sublayers).items()})


class TestChosenSublayers:
    @staticmethod
    def errors(name, profile, n, tolerance):
        """Error of each random curve where it is above 1e-7; beside zeros log10 has no bound."""
        stack = STACKS[name]
        values = random_values(n, profile, rng=np.random.default_rng(5), steep=0.2)
        theta = stack.incidence_angle + SCAN
        tables = coefficients(theta, stack)
        fine, found = (
            rocking_curve(theta, stack, choose_sublayers(profile, values, tables, stack, tolerance=asked))
            for asked in (1e-7, tolerance)
        )
        bright = fine > 1e-7
        assert bright.mean() > 0.9
        square = np.where(bright, np.log10(found / fine) ** 2, 0).sum(axis=(1, 2))
        return np.sqrt(square / bright.sum(axis=(1, 2)))

    @pytest.mark.parametrize("name", ["bare", "film"])
    @pytest.mark.parametrize("profile", [STRAIN, DISORDERED], ids=["strain", "disorder"])
    def test_keep_the_stated_error(self, name, profile):
        errors = self.errors(name, profile, 200, 1e-4)
        assert errors.max() < 1e-4

    def test_follow_the_tolerance(self):
        stack, values = STACKS["bare"], random_values(20, STRAIN, rng=np.random.default_rng(9), steep=0.2)
        theta = stack.incidence_angle + SCAN
        tables = coefficients(theta, stack)
        curves, cells = [], []
        for tolerance in (1e-3, 1e-4, 1e-5, 1e-7):
            chosen = choose_sublayers(STRAIN, values, tables, stack, tolerance=tolerance)
            curves.append(rocking_curve(theta, stack, chosen))
            cells.append((chosen.thickness > 0).sum(axis=1).mean())
        errors = [np.median(rms(curve, curves[-1])) for curve in curves[:-1]]
        assert errors[0] < 1e-3
        assert errors[0] > errors[1] > errors[2]
        assert cells[0] < cells[1] < cells[2] < cells[3]
        # Fourth order: a tenth of the error costs less than twice the cells.
        assert cells[2] < 2 * cells[1]

    @each_stack
    def test_fill_the_depth_once_and_end_at_every_break(self, stack):
        values = random_values(12, DISORDERED, rng=np.random.default_rng(3), steep=0.25)
        tables = coefficients(stack.incidence_angle + SCAN, stack)
        chosen = choose_sublayers(DISORDERED, values, tables, stack)
        extent = DISORDERED.extent(
            values, strain_tolerance=1e-4 * STRAIN_SHARE, factor_tolerance=1e-4 * FACTOR_SHARE
        )
        for i, parameters in enumerate(values):
            used = chosen.thickness[i] > 0
            upper, thickness = chosen.upper[i][used], chosen.thickness[i][used]
            ends = upper + thickness
            assert upper[0] == 0
            np.testing.assert_allclose(upper[1:], ends[:-1], rtol=0, atol=1e-8)
            assert ends[-1] == pytest.approx(extent[i], rel=1e-12)
            for mark in (parameters[3], *stack.interfaces):
                if mark < extent[i]:
                    assert np.abs(ends - mark).min() < 1e-6
            middle = 0.5 * (upper + ends)
            np.testing.assert_array_equal(chosen.layer[i][used], np.searchsorted(stack.interfaces, middle))
            strain, factor = DISORDERED.evaluate(gauss_depths(upper, thickness).ravel(), parameters)
            np.testing.assert_allclose(chosen.strain[i][used].ravel(), strain, rtol=1e-12, atol=1e-300)
            np.testing.assert_allclose(chosen.debye_waller[i][used].ravel(), factor, rtol=1e-12)

    def test_curve_by_curve_is_the_batch(self):
        stack, values = STACKS["film"], random_values(4, STRAIN, rng=np.random.default_rng(2), steep=0.25)
        tables = coefficients(stack.incidence_angle + SCAN, stack)
        batch = choose_sublayers(STRAIN, values, tables, stack)
        for i in range(4):
            alone = row(choose_sublayers(STRAIN, values[i : i + 1], tables, stack), 0)
            used = batch.thickness[i] > 0
            np.testing.assert_allclose(batch.thickness[i][used], alone.thickness, rtol=1e-12)
            np.testing.assert_allclose(batch.strain[i][used], alone.strain, rtol=1e-9, atol=1e-300)


def test_singular_parameters_have_smooth_curves():
    """D01 = Dmax1, Rp1 = 0 and L1 = Rp1 are limits: the curve of a neighbour 1e-7 away is the same."""
    stack = STACKS["bare"]
    theta = stack.incidence_angle + SCAN
    tables = coefficients(theta, stack)
    for index, value, near in ((1, 0.01305, -1e-10), (3, 0.0, 1e-5), (2, 3500.0, 1e-5)):
        limit = GARNET.copy()
        limit[index] = value
        limit[5] = min(limit[5], limit[2])
        beside = limit.copy()
        beside[index] += near
        curves = [
            rocking_curve(theta, stack, choose_sublayers(STRAIN, v[None], tables, stack, tolerance=1e-5))
            for v in (limit, beside)
        ]
        assert np.isfinite(curves[0]).all()
        assert rms(curves[0], curves[1]).max() < 2e-5


def test_film_layer_holds_its_mismatch_when_damaged():
    """A film all of whose depth is cells equals the same film left perfect, cell for cell of zero strain."""
    film = Layer(chi_0=YIG.chi_0, chi_h=YIG.chi_h, chi_hbar=YIG.chi_hbar, mismatch=-4.85e-4, thickness=2500.0)
    stack = replace(STACKS["bare"], layers=(film, *STACKS["bare"].layers))
    theta = stack.incidence_angle + SCAN
    cells = uniform_sublayers(np.full(125, 20.0), np.zeros(125), stack=stack)
    part = uniform_sublayers(np.full(25, 20.0), np.zeros(25), stack=stack)
    for engine, tolerance in (("reference", 1e-9), ("fast", 2e-5)):
        curves = [rocking_curve(theta, stack, s, engine=engine) for s in (cells, part)]
        np.testing.assert_allclose(curves[0], curves[1], rtol=tolerance)
