"""A profile held against a scan of another reflection."""

import numpy as np
import pytest

from strainscope.cli import app
from strainscope.inversion.predict import predict
from strainscope.sample import load_sample, preset_text

PROFILE = {"Dmax1": 0.008, "D01": 0.004, "L1": 4500.0, "Rp1": 3300.0, "D02": 0.002, "L2": 2500.0, "Rp2": -500.0}
PROFILE |= {"K": 0.1, "n": 2.0}


@pytest.fixture(scope="module")
def other():
    """The sample as 888 sees it, and a scan of it there in another instrument than a middling one."""
    sample = load_sample("ggg444").with_options(intensity="counts").at_reflection((8, 8, 8))
    values = sample.simulated_values(PROFILE | {"fwhm_arcsec": 31.0, "diffuse_amplitude": 0.05}, counts=1e5)
    return sample, *sample.simulate(values, counts=1e5, seed=2, step=8.0)


def predicted(sample, scan, profile, **held):
    return predict(
        scan,
        sample.experiment(),
        profile=profile,
        bounds=sample.bounds(),
        held=held,
        start=sample.start(),
        model_error=0.0,
    )


def test_the_right_profile_explains_another_reflection_and_a_wrong_one_does_not(other):
    sample, scan, made = other
    length = {"correlation_length": made["correlation_length"]}
    right = predicted(sample, scan, PROFILE | length)
    assert right.reduced_chi2 == pytest.approx(1.0, abs=4 * np.sqrt(2 / len(scan.angle)))
    assert right.values["fwhm_arcsec"] == pytest.approx(31.0, abs=0.5)
    assert {name: right.values[name] for name in PROFILE} == pytest.approx(PROFILE)
    wrong = predicted(sample, scan, PROFILE | length | {"Dmax1": 0.0078})
    assert wrong.reduced_chi2 > 2
    assert wrong.rms_log10 > right.rms_log10


def test_a_part_of_a_profile_predicts_nothing(other):
    sample, scan, _ = other
    with pytest.raises(ValueError, match="L2 has no value: a prediction needs the whole profile"):
        predicted(sample, scan, {name: value for name, value in PROFILE.items() if name != "L2"})


def test_the_command_tells_the_misfit_and_writes_the_prediction_at_the_scan_s_points(other, tmp_path, capsys):
    _, scan, _ = other
    np.savetxt(tmp_path / "888.xy", np.column_stack([scan.angle, scan.intensity]), fmt="%.8g")
    given = [word for name, value in PROFILE.items() for word in ("--set", f"{name}={value}")]
    counts = tmp_path / "counts.yaml"
    counts.write_text(preset_text("ggg888").replace("intensity: normalised", "intensity: counts"))
    command = ["simulate", str(counts), *given, "--against", str(tmp_path / "888.xy")]
    command += ["-o", str(tmp_path / "out.xy"), "--plot", str(tmp_path / "out.png")]
    with pytest.raises(SystemExit) as ended:
        app(command, prog_name="strainscope")
    said = capsys.readouterr().err
    assert ended.value.code in (0, None)
    assert "888.xy: the profile, with only the instrument fitted to it, leaves an rms of log10 of 0." in said
    written = np.loadtxt(tmp_path / "out.xy")
    np.testing.assert_allclose(written[:, 0], scan.angle, atol=1e-6)
    assert (tmp_path / "out.png").stat().st_size > 5000
    with pytest.raises(SystemExit) as ended:
        app([*command, "--counts", "1e4", "--force"], prog_name="strainscope")
    assert ended.value.code == 2
    assert "--against has the angles and the noise of its scan; leave --counts" in capsys.readouterr().err
