import base64
import copy
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from strainscope import plots
from strainscope.inversion.derived import DerivedQuantity
from strainscope.inversion.result import DepthBands, Evidence, FittedParameter, Mode, Result, Verdict
from strainscope.report import (
    FILES,
    check_target,
    fit_csv,
    number_text,
    profile_csv,
    report_html,
    result_document,
    value_text,
    write_result,
)
from strainscope.report.document import json_text
from strainscope.report.html import _yaml, parameter_row
from strainscope.report.numerals import band_text, depth_text
from strainscope.scan import Scan

SCHEMA = Path(__file__).parents[2] / "docs" / "result.md"
COMMAND = "strainscope invert a.xy && echo"
FREE = ("Dmax1", "L1", "Rp2", "offset_arcsec")


def make_bands(shift):
    depth = np.linspace(0.0, 5000.0, 41)
    strain = 0.012 * np.exp(-(((depth - 1500 - shift) / 1200) ** 2))
    debye_waller = np.exp(-60 * strain)
    spread = np.array([[-1.0], [1.0]])
    return DepthBands(
        depth=depth,
        strain=strain,
        strain_68=strain + 3e-4 * spread,
        strain_95=strain + 6e-4 * spread,
        debye_waller=debye_waller,
        debye_waller_68=debye_waller + 0.02 * spread,
        debye_waller_95=debye_waller + 0.04 * spread,
    )


def make_parameters():
    return (
        FittedParameter(name="Dmax1", unit="1", value=0.0122, mean=0.012, sd=0.00023, lower=0.0, upper=0.03),
        FittedParameter(
            name="L1",
            unit="Å",
            value=4230.3,
            mean=4210.3,
            sd=57.0,
            lower=100.0,
            upper=8000.0,
            description="depth at which it ends",
        ),
        FittedParameter(
            name="Rp2", unit="Å", value=0.0, sd=4e3, lower=-6e3, upper=0.0, determined=False, bound="upper"
        ),
        FittedParameter(name="Dmin", unit="1", value=1e-4, sd=None, lower=1e-4, upper=1e-4),
        FittedParameter(name="offset_arcsec", unit="arcsec", value=-3.21, sd=np.nan, lower=-50.0, upper=50.0),
    )


def make_derived():
    return (
        DerivedQuantity(
            name="maximum_strain",
            unit="1",
            value=0.0123,
            interval_68=(0.0121, 0.0124),
            interval_95=(0.0118, 0.0126),
            description="largest strain by magnitude",
        ),
        DerivedQuantity(
            name="strain_area",
            unit="Å",
            value=41.2,
            interval_68=(40.9, 41.6),
            interval_95=(40.1, 42.2),
            description="strain summed over depth",
        ),
    )


def make_result(*, modes=2, axis="delta-theta-arcsec", kind="counts", name="GGG 444"):
    grid = np.linspace(-900.0, 300.0, 120)
    expected = 1e4 / (1 + (grid / 15) ** 2) + 2 + np.sin(grid / 40)
    intensity = np.random.default_rng(3).poisson(expected).astype(float)
    intensity[5] = 0.0
    unit = 1.0 if kind == "counts" else 1e4
    scan = Scan(
        angle=grid if axis == "delta-theta-arcsec" else 25.4 + grid / 3600,
        intensity=intensity / unit,
        axis=axis,
        intensity_kind=kind,
        name=name,
    )

    def mode(i):
        bands = make_bands(300.0 * i)
        peak = int(bands.strain.argmax())
        return Mode(
            parameters=make_parameters(),
            covariance=np.diag([1e-8, 3e3, 1.6e7, np.nan]),
            fitted_names=FREE,
            chi2=110.0 + 20 * i,
            reduced_chi2=0.95 + 0.17 * i,
            rms_log10=0.03 + 0.01 * i,
            weight=0.9 if i == 0 else 0.1 / (modes - 1),
            starts=9 - i,
            fitted=expected / unit * (1 + 0.05 * i),
            bands=bands,
            maximum_strain=(float(bands.strain[peak]), float(bands.depth[peak])),
            derived=make_derived(),
        )

    return Result(
        scan=scan,
        modes=tuple(mode(i) for i in range(modes)),
        verdict=Verdict(level="check", reasons=("Rp2 is not determined.", "Strain < 2 % & more.")),
        sample={
            "crystal": "GGG",
            "reflection": (4, 4, 4),
            "dose": np.float64(1e15),
            "film": None,
            "search": {"model_error": 0.07},
        },
        likelihood="Poisson counts.",
        band_meaning="68 % and 95 % of 2000 profiles drawn per depth.",
        substrate_angle=0.0 if axis == "delta-theta-arcsec" else 25.4,
        seed=7,
        version="0.1.0",
        wall_s=83.2,
        evidence=Evidence(
            log_evidence=-1234.5,
            nested_log_evidence=-1234.25,
            effective_draws=1162.0,
            pareto_k=0.21,
            noise_factors=(1.63,),
        ),
        counters={"starts": 24},
    )


@pytest.fixture(scope="module")
def result():
    return make_result()


@pytest.fixture(scope="module")
def page(result):
    return report_html(result, command=COMMAND)


@pytest.fixture
def quick(monkeypatch):
    """Writing is tested without drawing, which is slow."""
    monkeypatch.setattr(plots, "picture", lambda figure, *, kind: f"picture {kind}".encode())
    monkeypatch.setattr(plots, "fit_figure", lambda result, **_: None)
    monkeypatch.setattr(plots, "profile_figure", lambda result, **_: None)


def documented_keys():
    table = SCHEMA.read_text(encoding="utf-8").split("## result.json")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE))


def keys_of(document):
    """Dotted paths; free-form objects and those documented as "as ..." end a path."""
    keys = set()

    def walk(value, path):
        if path in ("parameters", "derived"):
            for entry in value.values():
                walk(entry, f"{path}.<name>")
        elif path == "modes":
            for entry in value:
                walk(entry, "modes[]")
        elif isinstance(value, dict) and path not in {
            "sample",
            "scan.file",
            "counters",
            "modes[].derived",
            "modes[].parameters",
            "modes[].profile",
        }:
            for key, entry in value.items():
                walk(entry, f"{path}.{key}".lstrip("."))
        else:
            keys.add(path)

    walk(document, "")
    return keys


# result.json ------------------------------------------------------------------------------------------------


def test_the_schema_page_lists_exactly_the_keys(result):
    document = result_document(result)
    assert keys_of(document) == documented_keys()
    best = document["modes"][0]
    assert best["parameters"] == document["parameters"]
    assert best["profile"] == document["profile"]


def test_the_integral_over_the_posterior_is_told(result, page):
    evidence = result_document(result)["evidence"]
    assert evidence["log_evidence"] == -1234.5
    assert evidence["nested_log_evidence"] == -1234.25
    assert evidence["noise_factors"] == [1.63]
    assert "χ² was divided by 1.63:" in page
    assert "1,162 effective ones of all solutions, k̂ 0.21; ln of the evidence" in page
    told = page.replace("\u2212", "-")
    assert "-1234.25 by nested sampling, whose draws these are, -1234.5 by the weighted ones that it checks." in told


def test_without_draws_there_is_no_integral(result):
    bare = replace(result, evidence=None)
    assert set(result_document(bare)["evidence"].values()) == {None}
    assert "ln of the evidence" not in report_html(bare)


def test_document_survives_json(result):
    document = result_document(result, command="repeat")
    text = json_text(document)
    assert json.loads(text) == document
    assert document["parameters"]["offset_arcsec"]["sd"] is None
    assert document["modes"][0]["covariance"][3][3] is None
    assert document["parameters"]["Dmin"]["fixed"]
    assert not document["parameters"]["Dmax1"]["fixed"]
    assert document["sample"] == {
        "crystal": "GGG",
        "reflection": [4, 4, 4],
        "dose": 1e15,
        "film": None,
        "search": {"model_error": 0.07},
    }
    assert document["fit"]["free_parameters"] == len(FREE)
    assert document["fit"]["points"] == 120


def test_numbers_of_a_list_share_a_line_and_strings_keep_their_brackets():
    document = {"numbers": [1.5, None, -2e-9], "text": "[ 1,  2 ]", "rows": [[1, 2], [3, 4]], "none": []}
    text = json_text(document)
    assert '"numbers": [1.5, null, -2e-09]' in text
    assert json.loads(text) == document


# CSV --------------------------------------------------------------------------------------------------------


def test_profile_csv_holds_the_documented_columns(result):
    rows = list(csv.DictReader(io.StringIO(profile_csv(result))))
    profile = result_document(result)["profile"]
    assert list(rows[0]) == list(profile)
    for name, values in profile.items():
        np.testing.assert_allclose([float(row[name]) for row in rows], values, rtol=1e-11)
    np.testing.assert_allclose(profile["depth_A"], 10 * np.array(profile["depth_nm"]))


@pytest.mark.parametrize("axis", ["delta-theta-arcsec", "omega-deg"])
def test_fit_csv_is_read_by_numpy_on_the_scans_own_axis(axis):
    result = make_result(axis=axis)
    text = fit_csv(result)
    assert text.splitlines()[0] == "angle,measured,fitted,residual_log10"
    angle, measured, fitted, residual = np.loadtxt(io.StringIO(text), delimiter=",", skiprows=1).T
    np.testing.assert_allclose(angle, result.scan.angle, rtol=1e-11)
    np.testing.assert_array_equal(measured, result.scan.intensity)
    np.testing.assert_allclose(fitted, result.best.fitted, rtol=1e-11)
    assert np.isnan(residual[5])
    positive = measured > 0
    np.testing.assert_allclose(10 ** residual[positive] * fitted[positive], measured[positive], rtol=1e-9)


# The page ---------------------------------------------------------------------------------------------------


def test_page_says_what_matters(page):
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))
    for wanted in (
        "GGG 444",
        "! check",
        "Rp2 is not determined.",
        "Strain &lt; 2 % &amp; more.",
        "0.01200 ± 0.00023",
        "L1 depth at which it ends 423.03 421.0 ± 5.7 nm 10 to 800",
        "Rp2 at upper bound not determined by this curve 0",
        "more than half of the variance that the bounds alone would leave",
        "68 % interval: 1.210 to 1.240 %",
        "a model error of 7 % is granted beside the noise",
        "held 0.0001 0.0001 to 0.0001",
        "no standard deviation",
        "1.200 % 150.0 nm",
        "90 %",
        "10 %",
        "Poisson counts.",
        "68 % and 95 % of 2000 profiles drawn per depth.",
        "reflection: [4, 4, 4]",
        "strainscope invert a.xy &amp;&amp; echo",
        "1 min 23 s",
    ):
        assert wanted in text, wanted
    assert text.index("! check") < text.index("The fit") < text.index("Parameters of solution 1 of 2, weight 90 %")


def test_a_best_value_beside_its_interval_is_told_in_the_table(result):
    own = replace(result.best.parameters[0], value=0.0122, interval_90=(0.0123, 0.0143), bound="")
    assert "outside its interval" in parameter_row(result.best, own)["flags"]
    assert not own.aside
    assert replace(own, value=0.0117).aside
    assert not replace(own, value=0.0125).outside
    assert not replace(own, value=0.0, bound="lower").outside


def test_page_loads_nothing(page):
    assert re.findall(r'(?:src|srcset|href)="(?!data:)', page) == []
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)
    assert len(pictures) == 4
    outside_pictures = re.sub(r"base64,[^\"]+", "", page)
    assert not re.search(r"https?://|<script|@import|url\(|<iframe|<object", outside_pictures)
    for encoded in pictures:
        svg = base64.b64decode(encoded).decode()
        # Names of XML namespaces and of the licence of the metadata are not loaded; references are.
        assert re.findall(r'(?:xlink:)?href="(?!#|data:)', svg) == []
        assert "<script" not in svg


def test_page_takes_hostile_text_as_text(quick):
    hostile = "</title><script>alert(1)</script>\" $x_{ ' \udcff"
    result = make_result(name=hostile)
    parameters = (replace(make_parameters()[0], name=hostile), *make_parameters()[1:])
    result = replace(
        result,
        modes=(replace(result.best, parameters=parameters), result.modes[1]),
        verdict=Verdict(level=hostile, reasons=(hostile,)),
        sample={hostile: hostile},
        likelihood=hostile,
        band_meaning=hostile,
        version=hostile,
        counters={hostile: 1},
    )
    page = report_html(result, command=hostile)
    assert "<script" not in page
    assert page.count("</title>") == 1
    assert json.loads(json_text(result_document(result)))["scan"]["name"] == hostile


def test_page_of_one_mode_speaks_of_no_other(quick):
    result = make_result(modes=1, kind="normalised")
    page = report_html(result)
    assert "Parameters in every mode" not in page
    assert "other modes are" not in page
    assert "error bars of one standard deviation (counts estimated from the scatter)" in page
    # A curve without scatter tells no noise.
    smooth = report_html(replace(result, scan=replace(result.scan, intensity=result.best.fitted)))
    assert "error bars of one standard deviation" not in smooth
    assert "grey band" not in smooth


def test_settings_read_back_as_yaml():
    settings = {"layers": [{"name": "a", "hkl": [4, 4, 4]}], "text": "x: [", "none": None}
    text = _yaml(settings)
    assert "hkl: [4, 4, 4]" in text
    assert yaml.safe_load(text) == settings


@pytest.mark.parametrize(
    ("value", "sd", "text"),
    [
        (0.012, 0.00023, "0.01200 ± 0.00023"),
        (421.03, 5.7, "421.0 ± 5.7"),
        (123456.0, 2300.0, "123500 ± 2300"),
        (-600.0, 400.0, "−600 ± 400"),
        (-1e-12, 18.0, "0 ± 18"),
        (0.0, 0.2, "0.00 ± 0.20"),
        (3.2e-6, 2e-7, "(3.20 ± 0.20)×10⁻⁶"),
        (1234567.0, 2300.0, "(1.2346 ± 0.0023)×10⁶"),
        (2e-9, 5e-6, "(0.0 ± 5.0)×10⁻⁶"),
        (1.0, 1e-30, "1.000000000 ± 0.000000000"),
        (-3.21, None, "−3.21"),
        (-3.21, float("nan"), "−3.21"),
        (float("nan"), 1.0, "unknown"),
        (1.5e-7, None, "1.5×10⁻⁷"),
    ],
)
def test_value_text(value, sd, text):
    assert value_text(value, sd) == text


@given(
    value=st.floats(-1e12, 1e12),
    sd=st.floats(1e-12, 1e12),
)
def test_value_text_is_true_to_a_tenth_of_the_deviation(value, sd):
    text = value_text(value, sd).replace("−", "-")
    match = re.fullmatch(r"\(?(\S+) ± ([^\s)]+)\)?(?:×10(\S+))?", text)
    digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    factor = 10.0 ** int((match[3] or "0").translate(digits))
    rounding = 1e-9 * max(abs(value), sd)
    assert abs(float(match[1]) * factor - value) <= 0.0501 * sd + rounding
    assert abs(float(match[2]) * factor - sd) <= 0.0501 * sd + rounding


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((1.99873, 1.9915, 2.0028), ("1.999", "1.992", "2.003")),
        ((2.0, 1.98, 2.02), ("2.000", "1.980", "2.020")),
        ((1.32514, 1.3239, 1.3262), ("1.3251", "1.3239", "1.3262")),
        ((0.061, 0.04, 0.19), ("0.06", "0.04", "0.19")),
        ((-0.5, -0.8, 0.001), ("−0.5", "−0.8", "0.0")),
        ((1.3, 1.3, 1.3), ("1.300", "1.300", "1.300")),
        ((1.3, float("nan"), 1.4), ("1.300", "unknown", "1.400")),
    ],
)
def test_a_band_sets_the_digits_of_its_value_and_zeros_stay(values, texts):
    assert band_text(*values) == texts


def test_depths_are_given_to_a_tenth_of_a_nanometre():
    assert [depth_text(z) for z in (1.176e-12, 333.04, float("nan"))] == ["0.0", "333.0", "unknown"]


def test_number_text():
    assert number_text(2.0, digits=3, trailing=True) == "2.00"
    assert number_text(204.1, digits=3, trailing=True) == "204"
    assert number_text(-0.0) == "0"
    assert number_text(12347.0) == "12350"
    assert number_text(1e9) == "1×10⁹"
    assert number_text(-0.00001234) == "−1.234×10⁻⁵"
    assert number_text(None) == number_text(float("inf")) == "unknown"


# Figures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_pictures_are_the_same_bytes_each_time(result, kind):
    again = copy.deepcopy(result)
    for draw in (plots.fit_figure, plots.profile_figure, plots.summary_figure):
        figure = draw(result)
        expected = plots.picture(figure, kind=kind)
        assert plots.picture(draw(again), kind=kind) == expected
        assert plots.picture(figure, kind=kind) == expected, "drawing changed the figure"


def test_figures_show_measured_fitted_modes_and_bands():
    result = make_result(modes=7)
    curve, residual = plots.fit_figure(result).axes
    labels = curve.get_legend_handles_labels()[1]
    assert labels[:2] == ["measured", "mode 1, 90 %"]
    assert "2 more, 3 %" in labels
    assert {"measured 0", "substrate"} <= set(labels)
    assert residual.get_legend_handles_labels()[1] == ["noise, ± 1 sd"]
    (legend,) = curve.get_figure().legends
    assert "noise, ± 1 sd" in [text.get_text() for text in legend.get_texts()]
    assert curve.get_yscale() == "log"
    assert residual.get_xlabel() == "Δθ (arcsec)"
    strain, disorder = plots.profile_figure(result).axes
    assert len(strain.get_lines()) == len(result.modes) + 1
    np.testing.assert_allclose(strain.get_xlim(), (0, 500))
    depth, percent = next(
        line for line in strain.get_lines() if line.get_label() == "mode 1, 90 %"
    ).get_data()
    np.testing.assert_allclose(depth, result.best.bands.depth / 10)
    np.testing.assert_allclose(percent, 100 * result.best.bands.strain)
    assert disorder.get_ylim()[1] > 1


def test_estimated_counts_draw_the_noise_that_counts_would():
    bands = {}
    for kind in ("counts", "normalised"):
        _, residual = plots.fit_figure(make_result(modes=1, kind=kind)).axes
        (band,) = residual.collections
        bands[kind] = band.get_datalim(residual.transData).height
    # Counts estimated from 120 points are good to some 20 %, the noise to 10 %.
    assert bands["normalised"] == pytest.approx(bands["counts"], rel=0.2)
    smooth = make_result(modes=1, kind="normalised")
    smooth = replace(smooth, scan=replace(smooth.scan, intensity=smooth.best.fitted))
    assert not plots.fit_figure(smooth).axes[1].collections


def test_a_simulated_scan_is_drawn_with_its_gaps():
    scan = make_result().scan
    (axes,) = plots.scan_figure(scan, title="GGG: simulated").axes
    line, zeros = axes.get_lines()
    assert np.isnan(line.get_ydata()[5])
    np.testing.assert_array_equal(zeros.get_xdata(), scan.angle[[5]])
    assert axes.get_xlabel() == "Δθ (arcsec)"
    assert [text.get_text() for text in axes.get_figure().legends[0].get_texts()] == [
        "GGG: simulated",
        "no counts",
    ]


@pytest.mark.parametrize("axis", ["omega-deg", "two-theta-deg"])
def test_figures_of_normalised_scans_and_broken_bands(axis):
    result = make_result(modes=1, axis=axis, kind="normalised")
    bands = result.best.bands
    broken = bands.strain_95.copy()
    broken[1, :3] = np.inf
    unknown = np.full_like(bands.debye_waller_68, np.nan)
    bands = replace(bands, strain_95=broken, debye_waller_68=unknown, debye_waller_95=unknown)
    fitted = result.best.fitted.copy()
    fitted[:2] = (0.0, np.nan)
    mode = replace(result.best, bands=bands, fitted=fitted)
    result = replace(result, modes=(mode,), substrate_angle=np.nan)
    for figure in (plots.fit_figure(result), plots.profile_figure(result), plots.summary_figure(result)):
        assert plots.picture(figure, kind="png").startswith(b"\x89PNG")


def test_figures_ignore_the_users_matplotlib_settings(result):
    import matplotlib

    expected = plots.picture(plots.profile_figure(result), kind="png")
    with matplotlib.rc_context({"text.usetex": True, "figure.facecolor": "black", "font.size": 30}):
        assert plots.picture(plots.profile_figure(result), kind="png") == expected


def test_percent_text_never_rounds_to_none_or_all():
    shares = (0.0, 1e-5, 0.127, 0.9999, 1.0)
    assert [plots.percent_text(share) for share in shares] == ["0 %", "< 1 %", "13 %", "> 99 %", "100 %"]


# On disc ----------------------------------------------------------------------------------------------------


def test_writes_every_file_and_makes_parents(tmp_path, result, page):
    folder = tmp_path / "new" / "out"
    write_result(result, folder, command=COMMAND)
    assert {path.name for path in folder.iterdir()} == set(FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    assert json.loads((folder / "result.json").read_text("utf-8")) == result_document(result, command=COMMAND)
    assert (folder / "report.html").read_text("utf-8") == page
    assert (folder / "fit.csv").read_text("utf-8") == fit_csv(result)
    assert (folder / "profile.svg").read_bytes() == plots.picture(plots.profile_figure(result), kind="svg")


def test_existing_result_stays_without_force_and_is_replaced_with_it(tmp_path, result, quick):
    folder = tmp_path / "out"
    write_result(result, folder)
    before = (folder / "result.json").read_bytes()
    for refuse in (check_target, lambda target: write_result(make_result(name="b"), target)):
        with pytest.raises(FileExistsError, match=r"out: exists; .*--force"):
            refuse(folder)
    assert (folder / "result.json").read_bytes() == before
    check_target(folder, force=True)
    write_result(make_result(name="b"), folder, force=True)
    assert json.loads((folder / "result.json").read_text("utf-8"))["scan"]["name"] == "b"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_empty_folder_needs_force_too(tmp_path, result, quick):
    with pytest.raises(FileExistsError, match="--force"):
        check_target(tmp_path)
    (tmp_path / "empty").mkdir()
    write_result(result, tmp_path / "empty", force=True)
    assert (tmp_path / "empty" / "report.html").exists()


@pytest.mark.parametrize("force", [False, True])
def test_never_replaces_a_folder_that_is_no_result(tmp_path, result, quick, force):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis: holds thesis\.tex and no result\.json"):
        write_result(result, folder, force=force)
    assert (folder / "thesis.tex").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis"]


def test_never_deletes_what_lies_beside_a_former_result(tmp_path, result, quick):
    folder = tmp_path / "out"
    write_result(result, folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes\.txt besides a former result"):
        write_result(result, folder, force=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="file: is a file"):
        check_target(tmp_path / "file", force=True)
    with pytest.raises(NotADirectoryError, match="is a file, not a folder"):
        check_target(tmp_path / "file" / "out")


def test_check_target_leaves_nothing_and_says_what_the_system_says(tmp_path, monkeypatch):
    check_target(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []

    def refuse(*_args, **_kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(
        OSError, match=r"b: no result can be written here \(Read-only file system\); choose another place"
    ):
        check_target(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")]
)
@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("moment", [0, 3, 7, "rename"])
def test_failure_leaves_everything_as_it_was(tmp_path, result, quick, monkeypatch, error, former, moment):
    folder = tmp_path / "new" / "out"
    if former:
        write_result(result, folder)
        before = (folder / "result.json").read_bytes()
    calls = []
    write, rename = Path.write_bytes, Path.rename

    def failing_write(path, data):
        calls.append(path)
        if len(calls) == moment + 1:
            raise error
        return write(path, data)

    def failing_rename(path, target):
        if not path.name.endswith("-old") and path != folder:
            raise error
        return rename(path, target)

    if moment == "rename":
        monkeypatch.setattr(Path, "rename", failing_rename)
    else:
        monkeypatch.setattr(Path, "write_bytes", failing_write)
    expected = r"out: the result could not be written \(No space left" if isinstance(error, OSError) else None
    with pytest.raises(type(error), match=expected):
        write_result(make_result(name="b"), folder, force=True)
    if former:
        assert (folder / "result.json").read_bytes() == before
        assert {path.name for path in folder.iterdir()} == set(FILES)
        assert [path.name for path in folder.parent.iterdir()] == ["out"]
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_link_is_followed_and_stays(tmp_path, result, quick):
    write_result(result, tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    write_result(make_result(name="b"), tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real" / "result.json").read_text("utf-8"))["scan"]["name"] == "b"


def test_a_name_that_is_no_utf8_is_written(tmp_path, quick):
    write_result(make_result(name="caf\udce9"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "result.json").read_text("utf-8"))["scan"]["name"] == "caf?"
