"""Diffraction engine: other programs' curves, the linear Bragg law's error, the predecessor's grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

import strainscope
from strainscope.crystal import ARCSEC, HC_KEV_ANGSTROM, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    choose_sublayers,
    coefficients,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.profile import DepthProfile, DoubleGaussian

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1", debye_waller=False)
GGG880 = reflection(
    builtin_crystal("GGG"), (8, 8, 0), wavelength="CuKa1", surface=(1, 1, 1), debye_waller=False
)
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1), debye_waller=False)
STEP = 4.671897861 * ARCSEC
FILE = Path(strainscope.__file__).parent / "crystal" / "data" / "GGG.cif"


def rms(a, b):
    return np.sqrt(np.mean(np.log10(a / b) ** 2))


def many(stack, thickness, strain, cell=30.0):
    """Thick uniform layers as many sublayers."""
    parts = [np.full(n, t / n) for t, n in ((t, int(np.ceil(t / cell))) for t in thickness)]
    strains = [np.full(len(p), e) for p, e in zip(parts, strain, strict=True)]
    return uniform_sublayers(np.concatenate(parts), np.concatenate(strains), stack=stack)


class TestXrayutilities:
    """Its solvers, which know nothing of ours, given our crystal's susceptibilities and spacings."""

    @staticmethod
    def simulate(model, crystal, theta, thickness=(), strain=(), polarization="S", shrink=True, **options):
        xu = pytest.importorskip("xrayutilities")
        material = xu.materials.Crystal.fromCIF(str(FILE))
        energy = 1000 * HC_KEV_ANGSTROM / crystal.wavelength
        layers = [xu.simpack.Layer(material, np.inf)]
        layers += [xu.simpack.Layer(material, t) for t in thickness[::-1]]
        experiment = xu.HXRD(material.Q(1, 1, -2), material.Q(1, 1, 1), en=energy)
        made = getattr(xu.simpack, model)(
            xu.simpack.LayerStack("stack", *layers),
            experiment=experiment,
            energy=energy,
            resolution_width=0,
            polarization=polarization,
        )
        made.set_hkl((4, 4, 4))
        # Its waves go as exp(i(k·r - ωt)): the conjugates of ours. Substrate first.
        spacing = 1 / (1 + np.array([0.0, *strain[::-1]]))
        share = spacing if shrink else np.ones_like(spacing)
        c = abs(np.cos(2 * crystal.bragg_angle))
        made.chi0 = np.conj(crystal.chi_0) * share
        made.chih = {key: np.conj(crystal.chi_h) * share * f for key, f in (("S", 1), ("P", c))}
        made.chimh = {key: np.conj(crystal.chi_hbar) * share * f for key, f in (("S", 1), ("P", c))}
        in_plane = -2 * np.pi / crystal.d_spacing * np.sin(crystal.asymmetry)
        normal = 2 * np.pi / crystal.d_spacing * np.cos(crystal.asymmetry) * spacing
        made._prepare_dyncalculation = lambda geometry: (None, in_plane, normal)
        return made.simulate(np.degrees(theta), hkl=None, **options)

    def test_perfect_ggg_by_its_own_database(self):
        """Its structure factors, from the same CIF: they differ by 0.6 % from xraylib's."""
        xu = pytest.importorskip("xrayutilities")
        material = xu.materials.Crystal.fromCIF(str(FILE))
        energy = 1000 * HC_KEV_ANGSTROM / GGG.wavelength
        model = xu.simpack.DynamicalModel(
            xu.simpack.Layer(material, np.inf),
            experiment=xu.HXRD(material.Q(1, 1, -2), material.Q(1, 1, 1), en=energy),
            energy=energy,
            resolution_width=0,
            polarization="S",
        )
        stack = stack_from_reflections(GGG)
        theta = GGG.bragg_angle + (20 - np.arange(701)) * STEP
        theirs = model.simulate(np.degrees(theta), hkl=(4, 4, 4))
        assert rms(rocking_curve(theta, stack, many(stack, [10.0], [0.0]))[0], theirs) < 0.008
        chi_h, chi_0 = model.chih["S"][0], model.chi0[0]
        assert abs(abs(chi_h) / abs(GGG.chi_h) - 1) < 0.01
        assert abs(chi_0.real / GGG.chi_0.real - 1) < 0.01

    @pytest.mark.parametrize(
        ("crystal", "bound"),
        [
            (GGG, 1e-4),
            (GGG880, 6e-4),
            (replace(GGG880, asymmetry=-GGG880.asymmetry), 6e-4),
            (GAAS, 3e-4),
            (replace(GAAS, asymmetry=-GAAS.asymmetry), 3e-4),
        ],
        ids=["GGG444", "GGG880", "GGG880steep", "GaAs115", "GaAs115steep"],
    )
    def test_dynamical_model_on_a_substrate(self, crystal, bound):
        stack = stack_from_reflections(crystal)
        # Two thirds of the scan: beyond, the steep 880 beam leaves below the surface.
        theta = stack.incidence_angle + (20 - np.arange(451)) * STEP
        theirs = self.simulate("DynamicalModel", crystal, theta)
        ours = rocking_curve(theta, stack, many(stack, [10.0], [0.0]), engine="reference")[0]
        assert rms(ours, theirs) < bound

    @pytest.mark.parametrize(
        ("thickness", "strain"),
        [
            ([2000.0], [0.013]),
            ([900.0, 1200.0, 700.0], [0.008, 0.017, 0.004]),
            ([900.0, 1200.0, 700.0], [-0.008, 0.017, -0.004]),
        ],
        ids=["one", "three", "contraction"],
    )
    @pytest.mark.parametrize("crystal", [GGG, GGG880, GAAS], ids=["GGG444", "GGG880", "GaAs115"])
    def test_dynamical_model_on_strained_stacks(self, crystal, thickness, strain):
        """It solves the quartic dispersion equation, layer by layer, and scales χ as we do."""
        stack = stack_from_reflections(crystal)
        theta = stack.incidence_angle + (20 - np.arange(701)) * STEP
        theirs = self.simulate("DynamicalModel", crystal, theta, thickness, strain)
        ours = rocking_curve(theta, stack, many(stack, thickness, strain, cell=20.0), engine="reference")[0]
        assert rms(ours, theirs) < 4e-4

    def test_dynamical_model_on_a_graded_stack(self):
        """58 layers, where the brief's linear law was 0.30 away and its exact one 0.06."""
        stack = stack_from_reflections(GGG)
        theta = GGG.bragg_angle + (20 - np.arange(0, 701, 2)) * STEP
        thickness, strain = [50.0] * 58, list(0.0175 * np.exp(-(((np.arange(58) - 32) / 18) ** 2)))
        theirs = self.simulate("DynamicalModel", GGG, theta, thickness, strain)
        cells = many(stack, thickness, strain)
        assert rms(rocking_curve(theta, stack, cells, engine="reference")[0], theirs) < 2e-4
        assert rms(rocking_curve(theta, stack, cells)[0], theirs) < 2e-4
        assert rms(rocking_curve(theta, stack, cells, bragg_law="linear")[0], theirs) > 0.2

    def test_scaled_susceptibility_is_what_brings_the_two_together(self):
        """A negative control: without χ ∝ 1/V in its layers the two are 0.01 apart."""
        stack = stack_from_reflections(GGG)
        theta = GGG.bragg_angle + (20 - np.arange(701)) * STEP
        ours = rocking_curve(theta, stack, many(stack, [2000.0], [0.013]))[0]
        theirs = self.simulate("DynamicalModel", GGG, theta, [2000.0], [0.013])
        unscaled = self.simulate("DynamicalModel", GGG, theta, [2000.0], [0.013], shrink=False)
        assert rms(ours, theirs) < 2e-4
        assert rms(ours, unscaled) > 0.009

    def test_pi_differs_by_the_polarization_factor_away_from_the_peak_only(self):
        """C = |cos 2θ_B| here, |cos(θ_in + θ_out)| there: up to 0.033 in log10 at 3000 arcsec."""
        stack = stack_from_reflections(GGG)
        theta = GGG.bragg_angle + (20 - np.arange(701)) * STEP
        theirs = self.simulate("DynamicalModel", GGG, theta, [2000.0], [0.013], polarization="P")
        ours = rocking_curve(theta, stack, many(stack, [2000.0], [0.013]))[1]
        near = np.abs(theta - GGG.bragg_angle) < 40 * ARCSEC
        assert rms(ours[near], theirs[near]) < 5e-4
        expected = 2 * np.log10(np.cos(2 * theta) / np.cos(2 * GGG.bragg_angle))
        far = theta < GGG.bragg_angle - 2000 * ARCSEC
        np.testing.assert_allclose(np.log10(theirs / ours)[far], expected[far], atol=1e-3)

    def test_linear_law_is_its_simplified_model(self):
        """SimpleDynamicalCoplanarModel is linear in angle and strain, and does not scale χ.

        Without absorption: in layers (not in the substrate) that model amplifies instead of absorbing.
        """
        real = {key: complex(getattr(GGG, key).real) for key in ("chi_0", "chi_h", "chi_hbar")}
        lossless = replace(GGG, **real)
        stack = stack_from_reflections(lossless)
        theta = GGG.bragg_angle + (20 - np.arange(701)) * STEP
        thickness, strain = [900.0, 1200.0, 700.0], [0.008, 0.017, 0.004]
        theirs = self.simulate(
            "SimpleDynamicalCoplanarModel", lossless, theta, thickness, strain, shrink=False, idxref=0
        )
        ours, exact = (
            rocking_curve(theta, stack, many(stack, thickness, strain), bragg_law=law)[0]
            for law in ("linear", "exact")
        )
        # Ours keeps √(γ0 γh) of σ at its angle, theirs at θ_B: a smooth factor, no displacement.
        factor = np.sin(theta) ** 2 / np.sin(GGG.bragg_angle) ** 2
        far = theta < GGG.bragg_angle - 100 * ARCSEC
        assert rms((ours * factor)[far], theirs[far]) < 1e-3
        assert rms((exact * factor)[far], theirs[far]) > 0.1


class TestLinearLaw:
    @pytest.mark.parametrize(
        ("strain", "arcsec"), [(0.004, 1.8), (0.013, 18), (0.02, 43), (0.027, 78)], ids=str
    )
    def test_misplaces_a_sublayer(self, strain, arcsec):
        """The brief's figures, from the laws and from the peaks of a thick layer's simulated curves."""
        film = Layer(chi_0=GGG.chi_0, chi_h=1e-3 * GGG.chi_h, chi_hbar=1e-3 * GGG.chi_hbar, thickness=2e4)
        bed = replace(film, chi_h=1e-6 * film.chi_h, chi_hbar=1e-6 * film.chi_hbar, thickness=np.inf)
        stack = replace(stack_from_reflections(GGG), layers=(film, bed))
        start = GGG.bragg_angle - np.tan(GGG.bragg_angle) * strain

        def root(law):
            def detuning(theta):
                at = coefficients(np.array([theta]), stack, bragg_law=law)
                delta = strain / (1 + strain) if law == "exact" else strain
                return (at.detuning[0, 0] + delta * at.strain_response[0, 0]).real

            return brentq(detuning, start - 200 * ARCSEC, start + 200 * ARCSEC)

        misplaced = (root("exact") - root("linear")) / ARCSEC
        assert abs(misplaced) == pytest.approx(arcsec, rel=0.04)
        # A strain that is fitted with the linear law comes out too low: its peak lies too far down.
        assert misplaced > 0

        theta = start + np.arange(-60, 160, 0.25) * ARCSEC
        cells = many(stack, [2e4], [strain], cell=80.0)
        curves = [rocking_curve(theta, stack, cells, bragg_law=law)[0] for law in ("exact", "linear")]
        peaks = [theta[curve.argmax()] for curve in curves]
        assert (peaks[0] - peaks[1]) / ARCSEC == pytest.approx(misplaced, abs=0.6)

    def test_agrees_at_the_substrate(self):
        """No strain, near the peak: the two laws are one."""
        stack = stack_from_reflections(GGG)
        theta = GGG.bragg_angle + GGG.refraction_shift + np.linspace(-30, 30, 121) * ARCSEC
        cells = many(stack, [10.0], [0.0])
        exact, linear = (rocking_curve(theta, stack, cells, bragg_law=law) for law in ("exact", "linear"))
        assert rms(exact, linear) < 2e-3


class TestPredecessorsGrid:
    """701 points from -20 steps, the axis towards smaller angles, zero at the substrate's refracted peak."""

    @pytest.mark.parametrize("film", [True, False], ids=["film", "bare"])
    def test_peak_index(self, film):
        wavelength, fine, reach = 1.5405, 4, 20
        garnet = builtin_crystal("GGG").with_lattice(a=12.382)
        substrate = reflection(garnet, (4, 4, 4), wavelength=wavelength)
        yig = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength=wavelength)
        films = ((yig, 12.376 / 12.382 - 1, 31_500.0),) if film else ()
        stack = stack_from_reflections(substrate, films)
        profile = DepthProfile(strain=DoubleGaussian())
        rng = np.random.default_rng(2025)
        lower, upper = (np.array([getattr(s, end) for s in profile.parameters]) for end in ("lower", "upper"))
        drawn = rng.uniform(lower, upper, (1000, 7))
        values = drawn[~profile.violations(drawn)][:10]
        assert len(values) == 10

        index = np.arange(-reach * fine, (701 + reach) * fine) / fine
        zero = substrate.bragg_angle + substrate.refraction_shift
        theta = zero + (20 - index) * STEP
        cells = choose_sublayers(profile, values, coefficients(theta, stack), stack)
        curves = rocking_curve(theta, stack, cells).mean(axis=1)
        sigma = 25 / 4.671897861 * fine / np.sqrt(8 * np.log(2))
        window = np.exp(-0.5 * (np.arange(-reach * fine, reach * fine + 1) / sigma) ** 2)
        window /= window.sum()
        measured = np.array([np.convolve(curve, window, mode="valid")[::fine][:701] for curve in curves])
        assert measured.shape == (10, 701)
        assert measured.argmax(axis=1).tolist() == [10 if film else 20] * 10
