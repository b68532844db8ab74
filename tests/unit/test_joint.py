"""Several reflections of one sample: shared parameters, miscut, E of another reflection, a finite Lorentzian."""

import json
import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from strainscope.cli import app
from strainscope.diffraction import stack_from_reflections
from strainscope.experiment import ManyCurves, ScanModel, debye_waller_power
from strainscope.instrument import Lorentzian, WindowedLorentzian
from strainscope.inversion import Companion, PosteriorSettings
from strainscope.inversion.joint import prepare_joint
from strainscope.inversion.problem import prepare
from strainscope.inversion.refine import Fit
from strainscope.inversion.spread import noise_spread
from strainscope.inversion.target import Target
from strainscope.profile import CubicBSpline, DepthProfile, DoubleGaussian, TiedDisorder
from strainscope.sample import load_sample, preset_text, read_result, values_at
from strainscope.sample.sample import validated
from strainscope.series import job

PROFILE = {
    "Dmax1": 0.008,
    "D01": 0.003,
    "L1": 4000.0,
    "Rp1": 2500.0,
    "D02": 0.001,
    "L2": 1500.0,
    "Rp2": -500.0,
}
TRUTH = PROFILE | {"K": 0.3, "n": 2.0, "diffuse_amplitude": 0.3, "correlation_length": 100.0}
WIDTHS = {"444": 35.0, "888": 120.0}


def settings(**changed):
    return yaml.safe_load(preset_text("ggg444-888")) | changed


def joint_sample(**changed):
    return validated(settings(**changed), source="test", folder=None)


def simulated(own, seed=0):
    given = TRUTH | {"fwhm_arcsec": WIDTHS[own.label], "lorentz_fraction": 0.05}
    values = own.simulated_values(given, counts=1e6)
    return own.simulate(values, counts=1e6, seed=seed)[0]


@pytest.fixture(scope="module")
def problem():
    first, second = joint_sample().by_reflection()
    kept = {"bounds": first.bounds(), "held": first.held(), "start": first.start()}
    alone = prepare(simulated(first), first.experiment(), **kept, model_error=0.05)
    companion = Companion(
        label="888",
        scan=simulated(second, seed=1),
        experiment=second.experiment(),
        bounds=second.bounds(),
        held=second.held(),
        start=second.start(),
    )
    return prepare_joint(alone, [companion], model_error=0.05)


def place(problem):
    """Values near those that made the scans, not on any bound."""
    values = problem.base.copy()
    known = TRUTH | {
        "fwhm_arcsec": 35.0,
        "fwhm_arcsec_888": 120.0,
        "miscut_deg": 0.1,
        "diffuse_amplitude_888": 0.2,
    }
    for name, value in known.items():
        values[problem.prior.names.index(name)] = value
    return values


def test_a_windowed_lorentzian_has_an_area_of_one_and_becomes_a_lorentzian():
    delta = np.linspace(-4000, 4000, 40001)
    kernel = WindowedLorentzian(reach_widths=2.0).kernel(delta, [60.0, 0.0])[0]
    assert np.trapezoid(kernel, delta) == pytest.approx(1.0, abs=1e-9)
    assert kernel[np.abs(delta) > 600].max() < 1e-12
    whole = Lorentzian().kernel(delta, [60.0])[0]
    np.testing.assert_allclose(WindowedLorentzian().kernel(delta, [60.0, 1.0])[0], whole)
    near = np.abs(delta) < 300
    far = WindowedLorentzian(reach_widths=1000.0).kernel(delta, [60.0, 0.0])[0]
    np.testing.assert_allclose(far[near], whole[near], rtol=2e-3)


@pytest.mark.parametrize("i", [0, 1])
def test_derivatives_of_a_windowed_lorentzian(i):
    resolution, delta = WindowedLorentzian(), np.linspace(-500, 500, 201)
    values = np.array([80.0, 0.3])
    step = 1e-5 * values[i] * np.eye(2)[i]
    both = [resolution.kernel(delta, values + sign * step)[0] for sign in (1, -1)]
    wanted = (both[0] - both[1]) / (2 * step[i])
    np.testing.assert_allclose(resolution.kernel_gradient(delta, values)[0, i], wanted, atol=1e-9, rtol=1e-5)


@pytest.mark.parametrize("power", [2.0**1.5, 0.4])
@pytest.mark.parametrize("disorder", [TiedDisorder(), CubicBSpline(number=4, quantity="debye_waller")])
def test_a_power_of_the_debye_waller_factor(power, disorder):
    plain = DepthProfile(strain=DoubleGaussian(), disorder=disorder)
    raised = replace(plain, debye_waller_power=power)
    own = [0.7, 3.0] if isinstance(disorder, TiedDisorder) else [4500.0, 0.9, 0.6, 0.5, 0.8]
    values = np.array([[*PROFILE.values(), *own]])
    depth = np.linspace(10, 5000, 40)[None]
    np.testing.assert_allclose(raised.evaluate(depth, values)[1], plain.evaluate(depth, values)[1] ** power)
    slopes = raised.gradient(depth, values)[1]
    for k in range(values.shape[1]):
        step = 1e-6 * max(abs(values[0, k]), 1e-3) * np.eye(values.shape[1])[k]
        both = [raised.evaluate(depth, values + sign * step)[1] for sign in (1, -1)]
        wanted = (both[0] - both[1]) / (2 * step[k])
        np.testing.assert_allclose(slopes[..., k], wanted, atol=1e-4 * np.abs(wanted).max() + 1e-9)


def test_the_power_is_that_of_the_diffraction_vectors():
    first, second = joint_sample(disorder_exponent=2.0).by_reflection()
    assert debye_waller_power(first.experiment(), second.experiment(), 2.0) == pytest.approx(4.0)
    assert second.experiment().profile.debye_waller_power == pytest.approx(4.0)
    assert first.experiment().profile.debye_waller_power == 1.0


@pytest.mark.parametrize("sign", [1, -1])
def test_miscut_is_what_an_inclined_surface_does(sign):
    """Against the curve of a stack whose surface is cut inclined, in the strained region."""
    nominal = load_sample("ggg444")
    cut = {"surface": [100, 100, 101], "incidence": "grazing" if sign > 0 else "steep"}
    inclined = validated(yaml.safe_load(preset_text("ggg444")) | cut, source="test", folder=None)
    stack = stack_from_reflections(inclined.substrate)
    assert abs(stack.asymmetry) > 0.004
    position = np.linspace(-900, -100, 400)
    experiment = replace(nominal.experiment(), miscut=True, diffuse=False)
    values = np.array(
        [{**TRUTH, "fwhm_arcsec": 25.0}.get(spec.name, 0.0) for spec in experiment.parameters], dtype=float
    )
    values[-2:] = values[-1], np.degrees(stack.asymmetry)
    values[[spec.name for spec in experiment.parameters].index("log10_background")] = -9.0
    values[[spec.name for spec in experiment.parameters].index("background_slope")] = 0.0

    def curve(own, numbers):
        model = ScanModel(
            experiment=own,
            position=position,
            fringe_depth=5000.0,
            narrowest_fwhm_arcsec=20.0,
            widest_fwhm_arcsec=50.0,
            offset_range=(-1.0, 1.0),
        )
        return np.log10(model.expected(numbers))

    true = curve(replace(experiment, stack=stack, miscut=False), values[:-1])
    stretched = curve(experiment, values)
    ignored = curve(experiment, np.append(values[:-1], 0.0))
    # The height changes a little, which the scale takes up; where fringes lie is what counts.
    errors = [np.std(other - true) for other in (stretched, ignored)]
    assert errors[0] < 0.2 * errors[1]


def test_derivatives_of_joint_residuals(problem):
    values = place(problem)
    residuals, jacobian, _ = problem.residuals_with_jacobian(values)
    np.testing.assert_allclose(
        problem.residuals_many(values[None], problem.many_curves())[0], residuals, atol=0.05
    )
    for name in (
        "Dmax1",
        "L1",
        "K",
        "miscut_deg",
        "offset_arcsec_888",
        "fwhm_arcsec_888",
        "lorentz_fraction_888",
    ):
        i = problem.prior.names.index(name)
        spec = problem.prior.parameters[i]
        step = 1e-4 * (spec.upper - spec.lower) * np.eye(len(values))[i]
        both = [problem.residuals_with_jacobian(values + sign * step)[0] for sign in (1, -1)]
        wanted = (both[0] - both[1]) / (2 * step[i])
        error = np.linalg.norm(jacobian[:, i] - wanted) / np.linalg.norm(wanted)
        assert error < 5e-3, name


def test_instruments_are_apart_and_the_sample_is_shared(problem):
    residuals, jacobian, _ = problem.residuals_with_jacobian(place(problem))
    first, second = (part.T for part in problem.split(jacobian.T))
    assert len(first) + len(second) == len(residuals)
    wanted = {"fwhm_arcsec": (1, 0), "fwhm_arcsec_888": (0, 1), "Dmax1": (1, 1), "miscut_deg": (1, 1)}
    for name, parts in wanted.items():
        i = problem.prior.names.index(name)
        assert tuple(int(np.abs(part[:, i]).max() > 0) for part in (first, second)) == parts, name
    assert "correlation_length_888" not in problem.prior.names


def test_descents_are_linear_in_the_shared_profile(problem):
    """Features of the first reflection's profile foretell residuals of both."""
    target = Target(problem)
    z = target.place(place(problem)[None])[0]
    features = target.features(z)
    chain = features.slopes(z[None])[0]
    points = sum(len(own.scan.angle) for own in problem.measurements)
    near = target.by_features(z[None], features, np.eye(points)[None])[0] @ chain
    exact = target.linearised(z[None])[1][0, :points]
    name = "K"
    column = list(problem.prior.free).index(problem.prior.names.index(name))
    for part, wanted in zip(problem.split(near[:, column]), problem.split(exact[:, column]), strict=True):
        assert np.linalg.norm(part - wanted) < 0.15 * np.linalg.norm(wanted)


def test_noise_of_one_scan_is_not_that_of_another(problem):
    """Residuals of either scan count by its own excess over the noise."""
    target = Target(problem)
    z = target.place(place(problem)[None])
    rng = np.random.default_rng(0)
    sizes = [len(own.scan.angle) for own in problem.measurements]
    residuals = np.concatenate([size * rng.standard_normal(n) for size, n in zip((1.0, 3.0), sizes, strict=True)])
    model = problem.residuals_with_jacobian(place(problem))[2]
    fit = Fit(values=z, unit=z, cost=0.0, chi2=0.0, residuals=residuals, model=model, evaluations=0)
    spread = noise_spread(problem, fit)
    first, second = problem.split(spread)
    assert (first == 1).all()
    assert np.ptp(second) == 0
    assert 3 < second[0] < 9
    wider = Target(problem, spread=spread)
    np.testing.assert_allclose(wider.residuals(z), target.residuals(z) / np.sqrt(spread))
    np.testing.assert_allclose(
        wider.linearised(z)[1][0, : len(spread)], target.linearised(z)[1][0, : len(spread)] / np.sqrt(spread)[:, None]
    )
    features, weights = target.features(z[0]), np.eye(len(spread))[None]
    expected = target.by_features(z, features, weights) / np.sqrt(spread)[None, :, None]
    np.testing.assert_allclose(wider.by_features(z, features, weights), expected, atol=1e-9 * np.abs(expected).max())


def test_many_curves_know_miscut(problem):
    own = problem.measurements[1]
    values = own.own(place(problem))
    many = ManyCurves(own.model).expected(values[None])[0]
    np.testing.assert_allclose(np.log10(many), np.log10(own.model.expected(values)), atol=5e-3)


def test_a_further_reflection_does_not_take_the_instrument_of_the_first():
    entries = settings()["reflections"]
    entries[0]["fit"] = {"fwhm_arcsec": {"bounds": [20.0, 60.0]}}
    entries[1]["fit"] = {"offset_arcsec": {"bounds": [-50.0, 50.0]}}
    first, second = joint_sample(reflections=entries).by_reflection()
    assert first.bounds()["fwhm_arcsec"] == (20.0, 60.0)
    assert "fwhm_arcsec" not in second.bounds()
    assert second.bounds()["offset_arcsec"] == (-50.0, 50.0)
    assert second.bounds()["Dmax1"] == first.bounds()["Dmax1"]


def _wrong(change):
    data = settings()
    change(data)
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["reflections"][1].update(reflection=[4, 4, 4]), "444, 444; give each once"),
        (
            lambda d: d["reflections"][1].update(fit={"Dmax1": {"bounds": [0.001, 0.01]}}),
            "fit.Dmax1 is the sample's",
        ),
        (lambda d: d.update(reflection=[8, 8, 8]), "reflections begins with"),
        (lambda d: d["reflections"][1].update(reflection=[8, 8, 0]), "parallel to the surface"),
        (lambda d: d.update(disorder_exponent=0.0), "disorder_exponent"),
        (lambda d: d["reflections"][1].update(surfce=[1, 1, 1]), "surfce"),
    ],
)
def test_what_a_sample_of_several_reflections_may_not_say(change, message):
    with pytest.raises(ValueError, match=message):
        validated(_wrong(change), source="test", folder=None)


def test_an_inclined_reflection_keeps_the_surface_of_the_first():
    data = settings(miscut=False)
    data["reflections"][1]["reflection"] = [8, 8, 0]
    _, second = validated(data, source="test", folder=None).by_reflection()
    assert np.degrees(second.substrate.asymmetry) == pytest.approx(35.264, abs=1e-3)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joint")
    files = []
    for i, own in enumerate(joint_sample().by_reflection()):
        scan = simulated(own, seed=i)
        files.append(folder / f"{own.label}.xy")
        np.savetxt(files[-1], np.stack([scan.angle, scan.intensity], axis=1))
    options = ["--sample", "ggg444-888", "--draws", "256", "--starts", "2", "-o", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        # Bands are not what is looked at here.
        patch.setattr(job, "PosteriorSettings", partial(PosteriorSettings, effective=50, evaluations=300))
        done = CliRunner().invoke(app, ["invert", *map(str, files), *options])
    assert done.exit_code == 0, done.output
    return folder, files


def test_both_scans_are_fitted_and_reported(result):
    folder, _ = result
    document = json.loads((folder / "out" / "result.json").read_text())
    assert [own["label"] for own in document["reflections"]] == ["888"]
    assert document["reflections"][0]["fit"]["rms_log10"] < 0.1
    evidence = document["evidence"]
    assert len(evidence["noise_factors"]) == 2
    assert min(evidence["noise_factors"]) >= 1.0
    second = document["reflections"][0]["fit"]["chi2"]
    squares = np.array([document["fit"]["chi2"] - second, second])
    best = float(-0.5 * (squares / evidence["noise_factors"]).sum())
    assert best - 150 < evidence["log_evidence"] < best
    assert document["parameters"]["Dmax1"]["value"] == pytest.approx(0.008, rel=0.05)
    assert document["parameters"]["fwhm_arcsec_888"]["value"] == pytest.approx(120.0, rel=0.1)
    assert (folder / "out" / "fit_888.csv").read_text().startswith("angle,measured,fitted")
    assert "The fit at 888" in (folder / "out" / "report.html").read_text()


def test_a_result_predicts_its_own_and_other_reflections(result):
    folder, _ = result
    found, values = read_result(str(folder / "out"))
    fitted = np.loadtxt(folder / "out" / "fit_888.csv", delimiter=",", skiprows=1)
    second = found.at_reflection((8, 8, 8))
    own = values_at(second, found, values)
    scan, _ = second.simulate(own, span=(fitted[0, 0], fitted[-1, 0]), step=fitted[1, 0] - fitted[0, 0])
    np.testing.assert_allclose(np.log10(scan.intensity), np.log10(fitted[:, 2]), atol=5e-3)
    runner = CliRunner()
    other = runner.invoke(
        app, ["simulate", str(folder / "out"), "-r", "8", "8", "0", "-o", str(folder / "880.xy")]
    )
    assert other.exit_code == 0, other.output
    wrong = runner.invoke(app, ["simulate", str(folder / "880.json")])
    assert wrong.exit_code != 0


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("schema_version",), 2, "schema_version = 2; this version reads 1"),
        (("parameters", "Dmax1", "value"), "x", "parameters.Dmax1.value = 'x'; it must be a number"),
        (("parameters", "L1"), None, "is no result"),
        (("sample", "reflection"), [4, 4], "result.json: reflection"),
    ],
)
def test_a_result_that_was_changed_is_refused_in_a_line(result, tmp_path, keys, value, message):
    document = json.loads((result[0] / "out" / "result.json").read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        read_result(str(path))
    assert "\n" not in str(raised.value)


def test_a_result_without_one_of_the_samples_parameters_is_refused(result, tmp_path):
    document = json.loads((result[0] / "out" / "result.json").read_text())
    del document["parameters"]["L1"]
    path = tmp_path / "result.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"parameters\.L1 is missing"):
        read_result(str(path))


def test_as_many_scans_as_reflections(result):
    folder, files = result
    once = CliRunner().invoke(
        app, ["invert", str(files[0]), "--sample", "ggg444-888", "-o", str(folder / "none")]
    )
    assert once.exit_code == 2
    assert "has 2 reflection(s), 444, 888, but 1 scan(s)" in once.output
    splines = [
        "invert",
        *map(str, files),
        "--sample",
        "ggg444-888",
        "--splines",
        "6",
        "-o",
        str(folder / "none"),
    ]
    refused = CliRunner().invoke(app, splines)
    assert refused.exit_code == 2
    assert "leave --splines out" in refused.output
