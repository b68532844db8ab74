"""Clamping by the substrate: known formulas for cubic and hexagonal surfaces, and constants that cannot be."""

import pytest

from strainscope.crystal import builtin_crystal
from strainscope.crystal.elastic import ELASTIC_GPA, check_constants, expansion_ratio

GGG = {"C11": 285.7, "C12": 114.9, "C44": 90.2}


def test_cubic_surfaces_obey_the_known_formulas():
    c11, c12, c44 = GGG.values()
    crystal = builtin_crystal("GGG")
    bulk = c11 + 2 * c12
    assert expansion_ratio(crystal, (0, 0, 1), GGG) == pytest.approx(bulk / c11)
    assert expansion_ratio(crystal, (4, 0, 0), GGG) == pytest.approx(bulk / c11)
    assert expansion_ratio(crystal, (4, 4, 4), GGG) == pytest.approx(3 * bulk / (bulk + 4 * c44))
    assert expansion_ratio(crystal, (2, 2, 0), GGG) == pytest.approx(2 * bulk / (c11 + c12 + 2 * c44))
    # Between the two extremes, with shear.
    between = expansion_ratio(crystal, (3, 1, 1), GGG)
    assert (
        min(bulk / c11, 3 * bulk / (bulk + 4 * c44)) < between < max(bulk / c11, 3 * bulk / (bulk + 4 * c44))
    )


def test_an_isotropic_crystal_expands_alike_on_all_surfaces():
    young, poisson = 200.0, 0.3
    factor = young / ((1 + poisson) * (1 - 2 * poisson))
    constants = {"C11": factor * (1 - poisson), "C12": factor * poisson, "C44": 0.5 * young / (1 + poisson)}
    for surface in ((0, 0, 1), (1, 1, 1), (3, 2, 1)):
        found = expansion_ratio(builtin_crystal("Si"), surface, constants)
        assert found == pytest.approx((1 + poisson) / (1 - poisson))


def test_a_hexagonal_basal_plane():
    constants = ELASTIC_GPA["GaN"]
    found = expansion_ratio(builtin_crystal("GaN"), (0, 0, 4), constants)
    assert found == pytest.approx((constants["C33"] + 2 * constants["C13"]) / constants["C33"])


def test_trigonal_shear_counts_off_the_basal_plane_only():
    crystal, constants = builtin_crystal("Al2O3"), dict(ELASTIC_GPA["Al2O3"])
    without = {name: value for name, value in constants.items() if name != "C14"}
    for surface, same in (((0, 0, 6), True), ((0, 1, 2), False)):
        one, other = (expansion_ratio(crystal, surface, c) for c in (constants, without))
        assert (abs(one - other) < 1e-9) is same


@pytest.mark.parametrize("name", sorted(ELASTIC_GPA))
def test_every_listed_crystal_is_built_in_and_swells_more_when_clamped(name):
    crystal = builtin_crystal(name)
    check_constants(crystal, ELASTIC_GPA[name])
    for surface in ((0, 0, 1), (1, 1, 1)):
        assert 1.1 < expansion_ratio(crystal, surface, ELASTIC_GPA[name]) < 2.3


@pytest.mark.parametrize(
    ("crystal", "constants", "message"),
    [
        ("GGG", {"C11": 285.7, "C12": 114.9}, "elastic constants C11, C12; GGG needs C11, C12, C44"),
        ("GGG", {}, r"elastic constants \(none\); GGG needs"),
        ("GGG", GGG | {"C33": 1.0}, "GGG needs C11, C12, C44"),
        ("GaN", GGG, "GaN needs C11, C12, C13, C33, C44, C14 .* C14 if it is trigonal"),
        ("Si", {"C11": 60.0, "C12": 65.0, "C44": 80.0}, "C12 = 65, .* are of no stable crystal"),
    ],
)
def test_constants_that_cannot_be_are_refused(crystal, constants, message):
    with pytest.raises(ValueError, match=message):
        expansion_ratio(builtin_crystal(crystal), (0, 0, 1), constants)
