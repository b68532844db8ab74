"""Crystals: structure factors, χ and geometry against exact values, laws and other programs."""

import cmath
import math

import numpy as np
import pytest
import xraylib
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.crystal.structure import _phase_sum

DIAMOND = [site.position for site in builtin_crystal("Si").sites]
INDEX = st.integers(-8, 8)
HKL = st.tuples(INDEX, INDEX, INDEX).filter(any)


class TestStructureFactor:
    @pytest.mark.parametrize(
        ("hkl", "expected"),
        [((0, 0, 4), 8), ((1, 1, 1), 4 - 4j), ((0, 0, 2), 0), ((2, 2, 0), 8), ((0, 1, 1), 0)],
    )
    def test_diamond_of_unit_scatterers(self, hkl, expected):
        assert _phase_sum(hkl, DIAMOND, np.ones(8, dtype=complex)) == pytest.approx(expected, abs=1e-13)

    @given(hkl=HKL, crystal=st.sampled_from(["GaAs", "GaN", "SiC-6H", "GGG"]))
    def test_friedels_law_holds_without_absorption(self, hkl, crystal):
        sites = builtin_crystal(crystal).sites
        positions = [site.position for site in sites]
        real = np.array([float(xraylib.FF_Rayl(xraylib.SymbolToAtomicNumber(s.element), 0.3)) for s in sites])
        opposite = tuple(-index for index in hkl)
        forward, backward = (_phase_sum(h, positions, real + 0j) for h in (hkl, opposite))
        assert backward == pytest.approx(forward.conjugate(), abs=1e-9)

    def test_absorption_breaks_friedels_law_in_a_polar_crystal_only(self):
        polar, centric = builtin_crystal("GaAs"), builtin_crystal("GGG")
        up, down = (abs(polar.structure_factor(h, wavelength=1.54)) for h in ((1, 1, 1), (-1, -1, -1)))
        assert abs(up - down) > 0.5
        up, down = (abs(centric.structure_factor(h, wavelength=1.54)) for h in ((4, 4, 4), (-4, -4, -4)))
        assert up == pytest.approx(down, rel=1e-12)

    @given(hkl=HKL)
    def test_diamond_absences(self, hkl):
        h, k, l = hkl  # noqa: E741
        mixed = len({index % 2 for index in hkl}) == 2
        absent = mixed or (h % 2 == 0 and (h + k + l) % 4 == 2)
        amplitude = abs(builtin_crystal("Si").structure_factor(hkl, wavelength=0.71))
        assert (amplitude < 1e-9) == absent

    @given(hkl=HKL)
    def test_garnet_absences(self, hkl):
        h, k, l = hkl  # noqa: E741
        zone = [pair for pair, third in (((k, l), h), ((h, l), k), ((h, k), l)) if third == 0]
        glide_a = any(index % 2 for pair in zone for index in pair)
        # Ia-3d: hhl and its permutations only for 2h + l = 4n
        equal = [(x, z) for x, y, z in ((h, k, l), (h, l, k), (k, l, h)) if abs(x) == abs(y)]
        glide_d = any((2 * x + z) % 4 for x, z in equal)
        if (h + k + l) % 2 or glide_a or glide_d:
            assert abs(builtin_crystal("GGG").structure_factor(hkl, wavelength=0.71)) < 1e-8

    @given(hkl=HKL)
    def test_vibration_weakens_every_reflection_of_an_element(self, hkl):
        si = builtin_crystal("Si")
        still = si.structure_factor(hkl, wavelength=0.71, debye_waller=False)
        b, s = si.sites[0].b_iso, 0.5 / si.d_spacing(hkl)
        expected = still * math.exp(-b * s * s)
        assert si.structure_factor(hkl, wavelength=0.71) == pytest.approx(expected, rel=1e-12, abs=1e-9)

    def test_the_forward_factor_counts_electrons_far_from_edges(self):
        # f' of Si at 60 keV is below 0.01 electrons.
        f_0 = builtin_crystal("Si").structure_factor_0(wavelength=12.398 / 60.0)
        assert f_0.real == pytest.approx(8 * 14, abs=0.2)
        assert 0.0 < f_0.imag < 0.1


class TestSusceptibility:
    # Measured with a separate prototype on the same tables, without Debye-Waller factors.
    @pytest.mark.parametrize(
        ("crystal", "hkl", "wavelength", "chi_0", "chi_h"),
        [
            ("GGG", (4, 4, 4), 1.54056, -3.670e-5 - 3.576e-6j, 1.2692e-5 + 3.259e-6j),
            ("YIG", (4, 4, 4), 1.54056, -3.030e-5 - 2.024e-6j, 9.116e-6 + 8.44e-7j),
            ("ZrO2", (4, 0, 0), 1.5406, -3.495e-5 - 1.468e-6j, -1.875e-5 - 1.468e-6j),
        ],
    )
    def test_reference_crystals(self, crystal, hkl, wavelength, chi_0, chi_h):
        r = reflection(builtin_crystal(crystal), hkl, wavelength=wavelength, debye_waller=False)
        for value, expected in ((r.chi_0, chi_0), (r.chi_h, chi_h), (r.chi_hbar, chi_h)):
            assert value.real == pytest.approx(expected.real, rel=3e-4)
            assert value.imag == pytest.approx(expected.imag, rel=5e-4)

    @pytest.mark.parametrize(
        ("name", "hkl"),
        [
            ("Si", (0, 0, 4)), ("Ge", (0, 0, 4)), ("GaAs", (0, 0, 4)), ("GaAs", (0, 0, 2)),
            ("InP", (0, 0, 4)),
            ("MgO", (0, 0, 2)), ("SrTiO3", (0, 0, 2)), ("GaN", (0, 0, 4)), ("Al2O3", (0, 0, 6)),
        ],
    )  # fmt: skip
    def test_xrayutilities_agrees(self, name, hkl):
        xu = pytest.importorskip("xrayutilities")
        material = getattr(xu.materials, name)
        energy = xu.lam2en(1.5405974)
        ours = reflection(builtin_crystal(name), hkl, wavelength=1.5405974, debye_waller=False)
        chi_0 = material.chi0(en=energy).conjugate()  # it works with exp(i(k·r - ωt))
        chi_h = material.chih(material.Q(*hkl), en=energy, temp=0, polarization="S")
        assert ours.chi_0.real == pytest.approx(chi_0.real, rel=3e-3)
        assert ours.chi_0.imag == pytest.approx(chi_0.imag, rel=1e-2)
        assert abs(ours.chi_h.real) == pytest.approx(abs(chi_h[0]), rel=2e-2)
        if name != "GaN":  # without a centre of symmetry it quotes another split into two parts
            assert abs(ours.chi_h.imag) == pytest.approx(abs(chi_h[1]), rel=2e-2)

    @pytest.mark.parametrize("crystal", ["GGG", "Si", "GaN", "SiC-4H", "Al2O3"])
    def test_absorption_agrees_with_the_tabulated_photoabsorption(self, crystal):
        structure = builtin_crystal(crystal)
        hkl = (0, 0, 12) if crystal == "Al2O3" else (0, 0, 4)
        r = reflection(structure, hkl, wavelength="CuKa1")
        atoms = [xraylib.SymbolToAtomicNumber(site.element) for site in structure.sites]
        energy = 12.398419843320026 / r.wavelength
        barn = 1e-8  # Å²
        mu = sum(xraylib.CSb_Photo(z, energy) for z in atoms) * barn / structure.volume
        assert 1.0 / r.absorption_length == pytest.approx(mu, rel=0.05)

    def test_the_origin_of_the_cell_cancels(self):
        si = builtin_crystal("Si")
        shift = np.exp(2j * np.pi * (0.1 + 0.2 + 0.3))
        r = reflection(si, (1, 1, 1), wavelength="CuKa1")
        assert (r.chi_h * shift) * (r.chi_hbar / shift) == pytest.approx(r.chi_h * r.chi_hbar, rel=1e-12)
        # Si 111 with its origin on an atom: equal to the value at the centre of symmetry, real and negative.
        centred = cmath.sqrt(r.chi_h * r.chi_hbar)
        assert abs(centred.real) == pytest.approx(8.02e-6, rel=5e-3)
        assert abs(centred.imag) < 0.05 * abs(centred.real)

    def test_susceptibility_is_one_over_the_volume(self):
        ggg = builtin_crystal("GGG")
        ratio = ggg.with_lattice(c=12.5).structure_factor_0(wavelength=1.54) / ggg.structure_factor_0(
            wavelength=1.54
        )
        assert ratio == pytest.approx(1.0, rel=1e-12)
        thin = reflection(ggg, (0, 0, 8), wavelength=1.54)
        thick = reflection(ggg.with_lattice(c=12.5), (0, 0, 8), wavelength=1.54)
        assert thick.chi_0 / thin.chi_0 == pytest.approx(12.383 / 12.5, rel=1e-12)


class TestGeometry:
    def test_spacings(self):
        assert builtin_crystal("GGG").d_spacing((4, 4, 4)) == pytest.approx(12.383 / math.sqrt(48), rel=1e-14)
        assert builtin_crystal("SiC-6H").d_spacing((0, 0, 0, 12)) == pytest.approx(15.1248 / 12, rel=1e-14)
        assert builtin_crystal("Al2O3").d_spacing((0, 0, 6)) == pytest.approx(12.9918 / 6, rel=1e-14)
        gan = builtin_crystal("GaN")
        hexagonal = 4.0 / 3.0 * (1 + 1 + 1) / gan.a**2 + 16.0 / gan.c**2
        assert gan.d_spacing((1, 1, -2, 4)) == pytest.approx(hexagonal**-0.5, rel=1e-14)

    @given(hkl=HKL, crystal=st.sampled_from(["GGG", "GaN", "Al2O3"]))
    def test_the_reciprocal_vector_counts_the_planes(self, hkl, crystal):
        structure = builtin_crystal(crystal)
        assert structure.direct_basis @ structure.reciprocal_vector(hkl) == pytest.approx(hkl, abs=1e-12)

    def test_an_inclined_plane_has_two_ways_in(self):
        gaas = builtin_crystal("GaAs")
        grazing = reflection(gaas, (2, 2, 4), wavelength="CuKa1", surface=(0, 0, 1))
        steep = reflection(gaas, (2, 2, 4), wavelength="CuKa1", surface=(0, 0, 1), incidence="steep")
        assert grazing.asymmetry == pytest.approx(math.atan(math.sqrt(8) / 4), rel=1e-14)
        assert grazing.incidence_angle < grazing.exit_angle
        assert steep.incidence_angle == pytest.approx(grazing.exit_angle, rel=1e-15)
        assert grazing.asymmetry_ratio * steep.asymmetry_ratio == pytest.approx(1.0, rel=1e-14)
        assert grazing.darwin_width() / steep.darwin_width() == pytest.approx(
            steep.asymmetry_ratio, rel=1e-12
        )
        assert grazing.extinction_length == pytest.approx(steep.extinction_length, rel=1e-14)
        assert grazing.refraction_shift > steep.refraction_shift > 0.0

    @pytest.mark.parametrize("incidence", ["grazing", "steep"])
    @pytest.mark.parametrize("hkl", [(0, 0, 4), (2, 2, 4), (1, 1, 5)])
    def test_strain_per_arcsec_is_the_slope_of_the_exact_law(self, hkl, incidence):
        r = reflection(
            builtin_crystal("GaAs"), hkl, wavelength="CuKa1", surface=(0, 0, 1), incidence=incidence
        )
        k = 2.0 * math.pi / r.wavelength

        def peak(strain):
            def mismatch(theta):
                t = math.cos(theta) - 2.0 * math.sin(r.bragg_angle) * math.sin(r.asymmetry)
                target = 2.0 * math.pi * math.cos(r.asymmetry) / (r.d_spacing * (1.0 + strain))
                return target - k * math.sin(theta) - k * math.sqrt(1.0 - t * t)

            return brentq(mismatch, r.incidence_angle - 0.005, r.incidence_angle + 0.005, xtol=1e-15)

        slope = (peak(1e-5) - peak(-1e-5)) / 2e-5
        assert slope < 0.0
        assert r.strain_per_arcsec == pytest.approx(-ARCSEC / slope, rel=1e-6)

    def test_a_symmetric_reflection_has_bragg_s_slope(self):
        r = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength=1.54056)
        assert r.strain_per_arcsec == pytest.approx(ARCSEC / math.tan(r.bragg_angle), rel=1e-14)
        assert math.degrees(r.bragg_angle) == pytest.approx(25.529, abs=1e-3)

    def test_silicon_widths_in_the_literature(self):
        r = reflection(builtin_crystal("Si"), (1, 1, 1), wavelength="CuKa1")
        # Plateau 6.9 to 7.1 arcsec for Cu Kα1; the curve's full width at half maximum is 3/(2√2) of it, 7.4.
        assert r.darwin_width() / ARCSEC * 3.0 / (2.0 * math.sqrt(2.0)) == pytest.approx(7.4, abs=0.1)
        assert r.darwin_width("pi") / r.darwin_width() == pytest.approx(
            math.cos(2.0 * r.bragg_angle), rel=1e-14
        )
        # Extinction and Darwin width are one quantity: Λ w = 2 λ sin θ/(π sin 2θ).
        product = 2.0 * r.wavelength * math.sin(r.bragg_angle) / (math.pi * math.sin(2.0 * r.bragg_angle))
        assert r.extinction_length * r.darwin_width() == pytest.approx(product, rel=1e-12)
