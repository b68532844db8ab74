import io
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from tests.unit.test_cli import fake_result, simulated_example

from strainscope.profile import IonProfile
from strainscope.readers import read_file
from strainscope.report import result_nexus
from strainscope.sample import load_sample

IONS = IonProfile(
    what="ions",
    ion="He 30 keV",
    depth=np.array([10.0, 20.0]),
    value=np.array([1.0, 2.0]),
    unit="1/cm",
    program="SRIM-2013",
)


@pytest.fixture(scope="module")
def result():
    plain = fake_result(simulated_example(), load_sample("ggg444").settings(), 0)
    return replace(plain, modes=(*plain.modes, plain.best), ions=(IONS,))


@pytest.fixture(scope="module")
def file(result):
    with h5py.File(io.BytesIO(result_nexus(result)), "r") as opened:
        yield opened


def test_the_profile_is_shown_first_with_its_axis(file, result):
    entry = file[file.attrs["default"]]
    assert entry.attrs["NX_class"] == "NXentry"
    profile = entry[entry.attrs["default"]]
    assert profile.attrs["NX_class"] == "NXdata"
    assert (profile.attrs["signal"], list(profile.attrs["axes"])) == ("strain", ["depth"])
    assert list(profile.attrs["auxiliary_signals"]) == ["debye_waller"]
    bands = result.best.bands
    np.testing.assert_array_equal(profile["depth"], bands.depth)
    assert profile["depth"].attrs["units"] == "angstrom"
    np.testing.assert_array_equal(profile["strain"], bands.strain)
    np.testing.assert_array_equal(profile["debye_waller_upper_95"], bands.debye_waller_95[1])
    assert "profile_mode_2" in entry


def test_every_group_of_data_names_what_it_holds(file):
    found = []

    def check(name, group):
        if group.attrs.get("NX_class") == "NXdata":
            found.append(name)
            for named in (
                group.attrs["signal"],
                *group.attrs["axes"],
                *group.attrs.get("auxiliary_signals", ()),
            ):
                assert group[named].shape == group[group.attrs["signal"]].shape
                assert "units" in group[named].attrs

    file.visititems(check)
    assert found == ["entry/curve", "entry/ions_1", "entry/profile", "entry/profile_mode_2"]


def test_curve_fit_and_sample(file, result):
    entry = file["entry"]
    np.testing.assert_array_equal(entry["curve/delta_theta"], result.scan.angle)
    assert entry["curve/delta_theta"].attrs["units"] == "arcsec"
    np.testing.assert_array_equal(entry["curve/fitted"], result.best.fitted)
    assert entry["fit/verdict"][()].decode() == "check"
    parameter = entry["fit/parameters/Dmax1"]
    assert parameter[()] == 0.013
    assert (parameter.attrs["standard_deviation"], parameter.attrs["fitted"]) == (1e-4, True)
    assert json.loads(entry["sample/settings/data"][()])["crystal"] == "GGG"
    assert entry["instrument/beam/incident_wavelength"][()] == 1.54056


def test_the_same_result_gives_the_same_bytes(result):
    assert result_nexus(result) == result_nexus(result)


def test_a_scan_on_an_absolute_axis_is_read_back_as_one(tmp_path, result):
    scan = replace(result.scan, axis="omega-deg", angle=25.5 + result.scan.angle / 3600)
    (tmp_path / "result.nxs").write_bytes(result_nexus(replace(result, scan=scan, ions=())))
    found = next(own for own in read_file(tmp_path / "result.nxs") if own.scanned == "/entry/curve")
    assert found.wavelength_A == 1.54056
    back = found.scan(name="x")
    np.testing.assert_array_equal(back.angle, scan.angle)
    np.testing.assert_array_equal(back.intensity, scan.intensity)
    assert (back.axis, back.intensity_kind) == ("omega-deg", "counts")
