"""The instrument from a reference: does it find what made the scan, and do scans to come take it?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import truncnorm
from typer.testing import CliRunner

from strainscope.cli import app
from strainscope.inversion import calibrate
from strainscope.inversion.problem import prepare
from strainscope.profile import DepthProfile, Normal, NoStrain
from strainscope.sample import Sample, instrument_text, load_sample, with_instrument
from strainscope.scan import Scan
from strainscope.series import Job

FWHM, SHARE = 22.0, 0.1


def _reference(sample: Sample, *, seed: int, counts: float = 2e5, share: float = SHARE, reach: float = 600) -> Scan:
    """A scan of the unimplanted crystal."""
    experiment = replace(sample.experiment(), profile=DepthProfile(strain=NoStrain()), diffuse=False)
    virgin = sample.model_copy(update={"fit": {}})
    virgin.__dict__["_experiment"] = experiment
    given = {"fwhm_arcsec": FWHM, "lorentz_fraction": share}
    values = virgin.simulated_values(given, counts=counts)
    return virgin.simulate(values, counts=counts, seed=seed, span=(-reach, reach), step=4.0)[0]


def _sample(name: str = "ggg444") -> Sample:
    return load_sample(name).with_options(axis="delta-theta-arcsec", intensity="counts")


def _calibrated(scan: Scan, sample: Sample, *, model_error: float = 0.0):
    return calibrate(
        scan,
        sample.experiment(),
        bounds=sample.bounds(),
        held=sample.held(),
        start=sample.start(),
        model_error=model_error,
        seed=0,
    )


def _lines(scan: Scan) -> str:
    return "".join(f"{x:.6g} {y:.0f}\n" for x, y in zip(scan.angle, scan.intensity, strict=True))


def test_finds_the_instrument_within_its_own_doubt():
    sample = _sample()
    off = []
    for seed in range(4):
        found = _calibrated(_reference(sample, seed=seed), sample)
        assert found.reduced_chi2 == pytest.approx(1.0, abs=0.35)
        assert found.doubts == ()
        for name, truth in (("fwhm_arcsec", FWHM), ("lorentz_fraction", SHARE)):
            own = found.parameters[name]
            off.append((own.mean - truth) / own.sd)
    # Eight draws of a standard normal distribution.
    assert max(map(abs, off)) < 4
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 2.2


def test_weak_tails_under_a_model_error_do_not_spoil_the_draws():
    """Background and Lorentz share bend around each other: no normal distribution is like that."""
    sample = _sample()
    found = _calibrated(_reference(sample, seed=0, counts=1e6, share=0.02, reach=300), sample, model_error=0.07)
    for name, truth, most in (("fwhm_arcsec", FWHM, 0.6), ("lorentz_fraction", 0.02, 0.02)):
        own = found.parameters[name]
        assert own.mean == pytest.approx(truth, abs=4 * own.sd)
        assert own.sd < most


def test_a_model_error_widens_the_doubt():
    sample = _sample()
    scan = _reference(sample, seed=1)
    sure, unsure = (_calibrated(scan, sample, model_error=error) for error in (0.0, 0.07))
    assert unsure.parameters["fwhm_arcsec"].sd > 3 * sure.parameters["fwhm_arcsec"].sd


def test_an_implanted_crystal_is_no_reference():
    sample = _sample()
    values = sample.simulated_values({"Dmax1": 0.008, "D01": 0.004, "D02": 0.002}, counts=1e5)
    scan, _ = sample.simulate(values, counts=1e5, seed=0)
    with pytest.raises(ValueError, match="a crystal without strain does not describe the scan"):
        _calibrated(scan, sample)


def test_a_held_resolution_has_nothing_to_fit():
    sample = _sample()
    held = {"fwhm_arcsec": FWHM, "lorentz_fraction": SHARE}
    with pytest.raises(ValueError, match="no free parameter"):
        calibrate(
            _reference(sample, seed=0),
            sample.experiment(),
            bounds=sample.bounds(),
            held=sample.held() | held,
            start={},
            model_error=0.0,
            seed=0,
        )


def _written(folder: Path, sample: Sample, mean: float = FWHM, sd: float = 0.5) -> str:
    path = folder / "instrument.yaml"
    found = {"fwhm_arcsec": (mean, sd), "lorentz_fraction": (SHARE, 0.01)}
    path.write_text(instrument_text(sample, found, about="test"), encoding="utf-8")
    return str(path)


def test_hands_on_family_mean_and_sd(tmp_path):
    plain = Sample.model_validate(
        _sample().model_dump(exclude_unset=True) | {"resolution": {"family": "gaussian"}, "fit": {}}
    )
    told = with_instrument(plain, _written(tmp_path, _sample()))
    specs = {spec.name: spec for spec in told.experiment().parameters}
    assert specs["fwhm_arcsec"].shape == Normal(mean=FWHM, sd=0.5)
    assert specs["lorentz_fraction"].shape == Normal(mean=SHARE, sd=0.01)
    assert type(told.experiment().resolution) is type(_sample().experiment().resolution)
    assert told.start()["fwhm_arcsec"] == FWHM
    drawn = told.prior().sample(4000, rng=np.random.default_rng(0))
    width = drawn[:, told.prior().names.index("fwhm_arcsec")]
    assert width.mean() == pytest.approx(FWHM, abs=0.05)
    assert width.std() == pytest.approx(0.5, rel=0.06)


def test_the_prior_of_an_inversion_is_the_instruments(tmp_path):
    told = with_instrument(_sample(), _written(tmp_path, _sample()))
    problem = prepare(
        _reference(_sample(), seed=0),
        told.experiment(),
        bounds=told.bounds(),
        held=told.held(),
        start=told.start(),
        model_error=0.07,
    )
    i = problem.prior.names.index("fwhm_arcsec")
    assert problem.prior.parameters[i].shape == Normal(mean=FWHM, sd=0.5)
    assert problem.base[i] == FWHM


def test_joint_samples_take_an_instrument_for_each_reflection(tmp_path):
    joint = _sample("ggg444-888")
    own = joint.by_reflection()[1].alone()
    path = tmp_path / "888.yaml"
    names = [spec.name for spec in own.experiment().resolution.parameters]
    path.write_text(instrument_text(own, {names[0]: (60.0, 0.3)}, about="test"), encoding="utf-8")
    told = with_instrument(joint, str(path)).by_reflection()
    assert dict(told[1].experiment().shapes) == {names[0]: Normal(mean=60.0, sd=0.3)}
    assert told[0].experiment().shapes == ()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bragg_angle_deg", 25.9, "was calibrated at a Bragg angle of 25.9"),
        ("reflection", [8, 8, 8], "is of reflection"),
        ("spectrum", {"lines": "natural", "setting": "non-dispersive"}, "calibrate and invert with the same"),
        ("fit", {"Dmax1": {"mean": 0.01, "sd": 0.001}}, "is of the sample, not of the instrument"),
        ("fit", {"fwhm_arcsec": {"mean": 500, "sd": 1}}, "must lie in its bounds, 10 to 80 arcsec"),
        ("fit", {"fwhm_arcsec": {"mean": 22}}, "mean and sd go together"),
        ("fit", {"log10_scale": {"mean": 2, "sd": 1}}, "is placed by what the scan shows"),
        ("colour", "red", "unknown key"),
    ],
)
def test_refuses_an_instrument_of_something_else(tmp_path, key, value, message):
    path = Path(_written(tmp_path, _sample()))
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document[key] = value
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        with_instrument(_sample(), str(path))


def test_normal_shape_is_the_truncated_normal_distribution():
    shape = Normal(mean=1.0, sd=0.5)
    low, high = np.array([0.2]), np.array([1.4])
    expected = truncnorm((0.2 - 1) / 0.5, (1.4 - 1) / 0.5, loc=1.0, scale=0.5)
    unit = np.array([0.001, 0.3, 0.5, 0.9, 0.999])
    np.testing.assert_allclose(shape.quantile(unit, low, high), expected.ppf(unit), rtol=1e-10)
    np.testing.assert_allclose(shape.cumulative(expected.ppf(unit), low, high), unit, rtol=1e-10)
    ends = shape.quantile(np.array([0.0, 1.0]), np.array([-1e6]), np.array([1e6]))
    assert np.isfinite(ends).all()


def test_command_writes_a_file_that_invert_would_take(tmp_path):
    scan, out, picture = tmp_path / "virgin.xy", tmp_path / "i.yaml", tmp_path / "i.png"
    scan.write_text(_lines(_reference(_sample(), seed=2)), encoding="utf-8")
    arguments = ["calibrate", str(scan), "--sample", "ggg444", "--intensity", "counts", "-o", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--plot", str(picture)])
    assert result.exit_code == 0, result.output
    assert "fwhm_arcsec 2" in result.output
    told = with_instrument(_sample(), str(out))
    assert {name for name, _ in told.experiment().shapes} == {"fwhm_arcsec", "lorentz_fraction"}
    assert picture.stat().st_size > 5000
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_two_instruments_of_one_reflection_are_refused(tmp_path):
    path = _written(tmp_path, _sample())
    job = Job(sample="ggg444", axis="delta-theta-arcsec", intensity="counts", instruments=(path, path))
    with pytest.raises(ValueError, match=r"is of reflection \[4, 4, 4\], as .* is; give one file for each"):
        job.described()
