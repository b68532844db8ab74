"""Lattice units: what several reflections have in common."""

from pathlib import Path

import numpy as np
import pytest

from strainscope.measurement import (
    BLOCK,
    LabMixture,
    LabSettings,
    angle_of,
    from_lattice,
    lattice_angle,
    lattice_of,
    to_lattice,
)
from strainscope.sample import load_sample

FEW = LabSettings(step_arcsec=(1.0, 10.0))


def stack(name):
    return load_sample(name).experiment().stack


def test_lengths_count_planes_and_angles_are_e():
    ggg = stack("ggg444")
    lattice = lattice_of(ggg)
    values = np.array([[1000.0, 100.0, 0.01]])
    planes, e, strain = to_lattice(values, ("Å", "arcsec", "1"), lattice)[0]
    assert planes == pytest.approx(1000 / ggg.d_spacing)
    assert e == pytest.approx(abs(lattice_angle(-100.0, ggg)), rel=1e-3)
    assert strain == 0.01
    back = from_lattice(to_lattice(values, ("Å", "arcsec", "1"), lattice), ("Å", "arcsec", "1"), lattice)
    np.testing.assert_allclose(back, values, rtol=1e-14)


def test_coupling_and_absorption_are_those_of_the_reflection():
    lattice = lattice_of(stack("ggg444"))
    # The coupling of GGG 444 at Cu Kα1, to the figure that is usually quoted.
    assert lattice.coupling == pytest.approx(1.1e-4, rel=0.05)
    assert lattice_of(stack("ggg888")).coupling < lattice.coupling


def test_the_same_strain_lies_at_the_same_e():
    """A strain ε lies at e = ε/(1 + ε), whatever the reflection."""
    for name in ("ggg444", "ggg888", "si004"):
        own = stack(name)
        theta = np.arcsin(np.sin(own.bragg_angle) / 1.01)
        angle = np.degrees(theta - own.bragg_angle) * 3600
        assert lattice_angle(angle, own) == pytest.approx(0.01 / 1.01, rel=1e-6)
        assert angle_of(0.01 / 1.01, own) == pytest.approx(angle, rel=1e-6)


@pytest.fixture(scope="module")
def two():
    return LabMixture([load_sample("ggg444"), load_sample("ggg888")], FEW, seed=4)


def test_samples_take_turns_in_the_units_of_the_first(two):
    one, other = two.simulators
    np.testing.assert_array_equal(two.block(4).values, one.block(4).values)
    own, there = other.block(5).values, two.block(5).values
    column = list(two.names).index("L1")
    assert there[:, column] / own[:, column] == pytest.approx(one.lattice.plane_A / other.lattice.plane_A)
    column = list(two.names).index("Dmax1")
    np.testing.assert_array_equal(there[:, column], own[:, column])
    np.testing.assert_allclose(two.in_own(there, 1), own, rtol=1e-12)
    low, high = np.array(list(two.bounds.values())).T
    for values in (two.block(4).values, there):
        assert (values >= low - 1e-9 * abs(low)).all()
        assert (values <= high + 1e-9 * abs(high)).all()


def test_what_is_told_tells_the_reflections_apart(two):
    told = two.scans(BLOCK - 2, BLOCK + 2).told
    np.testing.assert_array_equal(told[0, :4], told[1, :4])
    assert (told[1, :3] != told[2, :3]).all()


def test_samples_with_other_parameters_are_refused():
    sample = load_sample("ggg444")
    settings = sample.model_dump(exclude_unset=True) | {"disorder": "exponential-double-gaussian", "fit": {}}
    other = type(sample).model_validate(settings, context={"folder": Path()})
    with pytest.raises(
        ValueError, match=r"sample\[1\] has the parameters .*One network needs the same of all"
    ):
        LabMixture([sample, other], FEW, seed=0)
