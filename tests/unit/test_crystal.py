"""Crystals: CIF reading, names, Miller indices, wavelengths, and every error a user can meet."""

import math

import pytest

from strainscope.crystal import (
    builtin_crystal,
    builtin_crystals,
    crystal_from_cif,
    emission_lines,
    parse_wavelength,
    reflection,
)

CELL = """data_test
_space_group_name_H-M_alt '{group}'
_cell_length_a 4.0
_cell_length_b 4.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_U_iso_or_equiv
"""
ATOMS = "Gd1 Gd3+ 0 0 0 0.5 0.01(1)\nO1 O2- 0.25 0 0 1 ?\n"


def cif(atoms=ATOMS, group="P -1"):
    return CELL.format(group=group) + atoms


class TestCif:
    def test_ions_are_elements_and_symmetry_expands_the_sites(self):
        crystal = crystal_from_cif(cif(), name="test")
        assert sorted(site.element for site in crystal.sites) == ["Gd", "O", "O"]
        assert sorted(site.position[0] % 1.0 for site in crystal.sites if site.element == "O") == [0.25, 0.75]
        assert crystal.volume == pytest.approx(80.0, rel=1e-14)

    def test_occupancy_and_displacement_are_read_and_missing_ones_recorded(self):
        crystal = crystal_from_cif(cif(), name="test")
        gd = next(site for site in crystal.sites if site.element == "Gd")
        assert gd.occupancy == 0.5
        assert gd.b_iso == pytest.approx(8.0 * math.pi**2 * 0.01, rel=1e-12)
        assert crystal.without_b_iso == ("O1",)

    def test_anisotropic_displacements_are_averaged(self):
        tensor = (
            "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n_atom_site_aniso_U_22\n"
            "_atom_site_aniso_U_33\n_atom_site_aniso_U_12\n_atom_site_aniso_U_13\n_atom_site_aniso_U_23\n"
            "O1 0.01 0.02 0.06 0 0 0\n"
        )
        crystal = crystal_from_cif(cif() + tensor, name="test")
        oxygen = [site.b_iso for site in crystal.sites if site.element == "O"]
        assert oxygen == pytest.approx([8.0 * math.pi**2 * 0.03] * 2, rel=1e-9)

    def test_an_isotropic_tensor_on_hexagonal_axes_averages_to_itself(self):
        text = cif("O1 O 0.1 0.2 0.3 1 ?\n", "P 3").replace("gamma 90", "gamma 120")
        tensor = (
            "loop_\n_atom_site_aniso_label\n_atom_site_aniso_U_11\n_atom_site_aniso_U_22\n"
            "_atom_site_aniso_U_33\n_atom_site_aniso_U_12\n_atom_site_aniso_U_13\n_atom_site_aniso_U_23\n"
            "O1 0.02 0.02 0.02 0.01 0 0\n"
        )
        crystal = crystal_from_cif(text + tensor, name="test")
        assert [s.b_iso for s in crystal.sites] == pytest.approx([8.0 * math.pi**2 * 0.02] * 3, rel=1e-9)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("not a CIF", "not readable"),
            ("", "0 blocks with a cell"),
            (cif() + cif().replace("data_test", "data_other"), "2 blocks with a cell"),
            (cif().replace("_cell_length_b 4.0\n", ""), "no complete cell"),
            (cif().replace("_cell_angle_beta 90", "_cell_angle_beta ?"), "no complete cell"),
            (cif()[: cif().index("loop_")], "no atoms"),
            (cif(group="Q 17"), "no known space group"),
            (cif("X1 Qq 0 0 0 1 0.01\n"), "'Qq'"),
            (cif("O1 O 0 0 ? 1 0.01\n"), "no complete position"),
            (cif("O1 O 0 0 0 1.5 0.01\n"), "occupancy 1.5"),
        ],
    )
    def test_a_useless_cif_is_one_line_of_explanation(self, text, message):
        with pytest.raises(ValueError, match=message) as caught:
            crystal_from_cif(text, name="test")
        assert "CIF of test" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestBuiltin:
    ATOMS_PER_CELL = {
        "Al2O3": 30, "GaAs": 8, "GaN": 4, "Ge": 8, "GGG": 160, "InP": 8, "MgO": 8, "Si": 8,
        "SiC-3C": 8, "SiC-4H": 8, "SiC-6H": 12, "SrTiO3": 5, "YIG": 160, "ZrO2": 12,
    }  # fmt: skip

    def test_every_cell_holds_all_its_atoms_with_displacements(self):
        cells = {name: builtin_crystal(name) for name in builtin_crystals()}
        assert {name: len(crystal.sites) for name, crystal in cells.items()} == self.ATOMS_PER_CELL
        assert all(crystal.without_b_iso == () for crystal in cells.values())
        assert all(0.1 < site.b_iso < 1.0 for crystal in cells.values() for site in crystal.sites)

    def test_names_ignore_case_and_know_their_other_names(self):
        assert builtin_crystal("ggg") == builtin_crystal("GGG") == builtin_crystal("Gd3Ga5O12")
        assert builtin_crystal(" YSZ ").name == "ZrO2"
        assert builtin_crystal("4H-SiC").name == "SiC-4H"

    def test_an_unknown_name_gets_the_list_and_the_closest(self):
        with pytest.raises(ValueError, match=r"one of Al2O3, .*ZrO2\. Did you mean SiC-6H\?"):
            builtin_crystal("SiC6H")
        with pytest.raises(ValueError, match=r"'unobtainium' is not built in.*ZrO2\.$"):
            builtin_crystal("unobtainium")


class TestLattice:
    def test_edges_that_were_equal_follow(self):
        cubic = builtin_crystal("GGG")
        wider = cubic.with_lattice(a=12.4)
        assert (wider.a, wider.b, wider.c) == (12.4, 12.4, 12.4)
        stretched = cubic.with_lattice(c=12.5)
        assert (stretched.a, stretched.b, stretched.c) == (12.383, 12.383, 12.5)
        hexagonal = builtin_crystal("GaN").with_lattice(a=3.2)
        assert (hexagonal.a, hexagonal.b, hexagonal.c) == (3.2, 3.2, 5.189)
        assert cubic.with_lattice() == cubic

    def test_an_impossible_edge_is_refused(self):
        with pytest.raises(ValueError, match="a = -1 Å; a cell edge must be > 0 Å"):
            builtin_crystal("Si").with_lattice(a=-1.0)


class TestMiller:
    def test_four_indices_mean_the_same_plane_as_three(self):
        gan = builtin_crystal("GaN")
        assert gan.miller((1, 1, -2, 4)) == (1, 1, 4)
        four = reflection(gan, (0, 0, 0, 2), wavelength="CuKa1")
        assert four == reflection(gan, (0, 0, 2), wavelength="CuKa1")
        assert four.d_spacing == pytest.approx(5.189 / 2, rel=1e-14)

    @pytest.mark.parametrize(
        ("crystal", "hkl", "message"),
        [
            ("GaN", (1, 1, 1, 4), r"i = 1, but i = -\(h \+ k\) = -2"),
            ("Si", (0, 0, 0, 4), "Si has no hexagonal axes"),
            ("Si", (0, 0), "2 of them"),
            ("Si", (0, 0, 0), "one index must differ from 0"),
            ("Si", (0, 0, 4.0), "every index must be an integer"),
            ("Si", ("0", "0", "4"), "every index must be an integer"),
        ],
    )
    def test_wrong_indices_are_explained(self, crystal, hkl, message):
        with pytest.raises(ValueError, match=message):
            reflection(builtin_crystal(crystal), hkl, wavelength="CuKa1")


class TestReflection:
    @pytest.mark.parametrize(
        ("crystal", "hkl", "options", "message"),
        [
            ("GGG", (1, 0, 0), {}, "GGG 1 0 0 is forbidden"),
            ("Si", (2, 0, 0), {}, "Si 2 0 0 is forbidden"),
            ("GGG", (20, 0, 0), {}, r"wavelength = 1\.5406 Å; it must be < 2d = 1\.2383 Å"),
            (
                "Si",
                (1, 1, 3),
                {"surface": (1, 1, 0)},
                r"planes lie 64\.\d+° off the surface, Bragg angle 28\.",
            ),
            ("Si", (1, 1, 1), {"surface": (-1, -1, -1)}, r"planes lie 180\.000° off"),
            ("Si", (0, 0, 4), {"incidence": "low"}, "'grazing' or 'steep'"),
        ],
    )
    def test_what_cannot_be_measured_is_explained(self, crystal, hkl, options, message):
        with pytest.raises(ValueError, match=message):
            reflection(builtin_crystal(crystal), hkl, wavelength=1.5406, **options)

    def test_polarization_is_sigma_or_pi(self):
        with pytest.raises(ValueError, match="'sigma' or 'pi'"):
            reflection(builtin_crystal("Si"), (0, 0, 4), wavelength=1.5406).darwin_width("s")

    def test_a_parallel_surface_is_exactly_symmetric(self):
        ggg = builtin_crystal("GGG")
        cut = reflection(ggg, (4, 4, 4), wavelength=1.5406, surface=(1, 1, 1))
        assert cut == reflection(ggg, (4, 4, 4), wavelength=1.5406)
        assert cut.asymmetry == 0.0


class TestWavelength:
    @pytest.mark.parametrize("name", ["CuKa1", "cuka1", "Cu Kα1", "Cu K-alpha1", "Cu_Kα₁", "Cu Ka1"])
    def test_one_line_by_all_its_spellings(self, name):
        # Hölzer et al., Phys. Rev. A 56 (1997) 4554: 1.540598 Å.
        assert parse_wavelength(name) == pytest.approx(1.540598, abs=2e-6)

    @pytest.mark.parametrize(
        ("name", "expected"),  # Bearden, Rev. Mod. Phys. 39 (1967) 78, on the Cu Kα1 = 1.540598 Å scale
        [("CuKb1", 1.39225), ("MoKa1", 0.70932), ("CoKa1", 1.78900), ("AgKa1", 0.55942), ("CrKa1", 2.28973)],
    )
    def test_other_lines(self, name, expected):
        assert parse_wavelength(name) == pytest.approx(expected, rel=3e-5)

    def test_the_doublet_is_a_mean_of_two_to_one(self):
        (first, weight_1, width_1), (second, weight_2, _) = emission_lines("CuKa")
        assert (weight_1, weight_2) == (2 / 3, 1 / 3)
        assert parse_wavelength("CuKa") == pytest.approx((2 * first + second) / 3, rel=1e-15)
        assert second == pytest.approx(1.544427, abs=2e-5)
        # 2.10 eV (K and L3 levels) of 8047.8 eV
        assert width_1 == pytest.approx(first * 2.10 / 8047.8, rel=1e-3)

    def test_numbers_are_angstrom(self):
        assert parse_wavelength(1.54056) == parse_wavelength("1.54056") == 1.54056

    @pytest.mark.parametrize("value", [0.0, -1.5, 0.0154, 15.4, math.nan, math.inf, "154"])
    def test_a_number_out_of_range_is_refused(self, value):
        with pytest.raises(ValueError, match=r"it must be between 0\.1 and 10 Å"):
            parse_wavelength(value)

    @pytest.mark.parametrize("value", ["CuLa1", "XxKa1", "LiKb1", "copper", ""])
    def test_an_unknown_line_is_refused(self, value):
        with pytest.raises(ValueError, match="no emission line"):
            parse_wavelength(value)
