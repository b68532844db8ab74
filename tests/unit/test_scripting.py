"""`strainscope.invert` hands over what its arguments say, and its result labels, plots and shows itself."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from tests.unit.test_report import make_result

import strainscope
from strainscope import inversion, plots
from strainscope.inversion.result import Reflection, ScanFit
from strainscope.report import width_in
from strainscope.scripting import Result, way

MM = 25.4


@pytest.fixture(scope="module")
def result():
    return Result.of(make_result())


@pytest.fixture
def handed(monkeypatch):
    """What would be inverted, in place of an inversion."""
    calls = []

    def invert_scans(scans, sample, **others):
        calls.append({"scans": scans, "sample": sample} | others)
        return make_result()

    monkeypatch.setattr(way, "invert_scans", invert_scans)
    return calls


@pytest.fixture
def sample():
    return strainscope.load_sample("ggg444").with_options(intensity="counts")


@pytest.fixture
def scan(sample):
    given = {"Dmax1": 0.01, "D01": 0.004, "L1": 5000, "Rp1": 3000, "D02": 0.002, "L2": 2500, "Rp2": -500}
    values = sample.simulated_values(given, counts=1e5)
    return sample.simulate(values, counts=1e5, span=(-1500.0, 300.0), step=10.0)[0]


# invert -----------------------------------------------------------------------------------------------------


def test_a_scan_and_a_name_are_enough(handed, scan):
    found = strainscope.invert(scan, "ggg444", draws=100, starts=3, seed=5)
    assert isinstance(found, strainscope.Result)
    (call,) = handed
    assert call["scans"] == [scan]
    # The preset says normalised; a scan that is there already knows better.
    assert (call["sample"].scan.axis, call["sample"].scan.intensity) == ("delta-theta-arcsec", "counts")
    assert (call["settings"].draws, call["settings"].starts, call["seed"]) == (100, 3, 5)
    assert call["settings"].model_error == call["sample"].model_error == 0.07


def test_files_are_read_as_the_command_reads_them(handed, scan, tmp_path):
    path, own = tmp_path / "a.xy", tmp_path / "mine.yaml"
    path.write_text("".join(f"{x:.6g} {y:.0f}\n" for x, y in zip(scan.angle, scan.intensity, strict=True)))
    own.write_text("crystal: GGG\nreflection: [4, 4, 4]\nwavelength: 1.54056\n")
    strainscope.invert(path, own, axis="delta-theta-arcsec", intensity="counts", model_error=0.02)
    assert np.array_equal(handed[0]["scans"][0].intensity, scan.intensity)
    assert handed[0]["settings"].model_error == 0.02
    with pytest.raises(
        ValueError, match=r"the scan's axis is not said; give axis=, one of delta-theta-arcsec"
    ):
        strainscope.invert(path, own, intensity="counts")
    with pytest.raises(FileNotFoundError, match=r"b\.xy: there is no such scan file"):
        strainscope.invert(tmp_path / "b.xy", own, axis="delta-theta-arcsec", intensity="counts")


def test_bad_arguments_are_one_line(handed, scan, sample):
    for arguments, words in (
        ({"axis": "omega-deg"}, "axis = 'omega-deg', but the scan's is 'delta-theta-arcsec'"),
        ({"draws": 1}, "draws = 1; it must be a whole number, 16 to 200,000"),
        ({"model_error": 2.0}, "model_error"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            strainscope.invert(scan, sample, **arguments)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"1 reflection\(s\), 444, but 2 scan\(s\)"):
        strainscope.invert([scan, scan], sample)
    with pytest.raises(ValueError, match=r"2 reflection\(s\), 444, 888, but 1 scan"):
        strainscope.invert(scan, "ggg444-888")
    with pytest.raises(TypeError, match="sample is of the type NoneType; give a preset's name"):
        strainscope.invert(scan, None)
    with pytest.raises(TypeError, match="scan is of the type float64; give a file or a Scan"):
        strainscope.invert(list(scan.angle), sample)
    turned = replace(scan, angle=scan.angle + 5000)
    with pytest.raises(ValueError, match=scan.name):
        strainscope.invert(turned, sample)
    assert handed == []


def test_public_names_are_there_and_come_late():
    for name in strainscope.__all__:
        assert getattr(strainscope, name) is not None
    with pytest.raises(AttributeError, match="nosuch"):
        _ = strainscope.nosuch


# the result -------------------------------------------------------------------------------------------------


def test_the_result_keeps_every_field_and_its_kind(result):
    plain = make_result()
    assert isinstance(result, inversion.Result)
    assert result.seed == plain.seed
    assert len(result.modes) == len(plain.modes)
    assert isinstance(replace(result, seed=8), Result)
    assert repr(result).startswith(f"<Result of {plain.scan.name}: check; largest strain 1.200 % at 150.0 nm;")


def test_the_dataset_has_axes_units_and_what_the_result_has(result):
    found = result.to_xarray()
    best = result.best
    assert found.strain.dims == ("mode", "depth")
    assert np.array_equal(found.strain.sel(mode=1), best.bands.strain)
    assert np.array_equal(found.strain_95.sel(mode=1, limit="upper"), best.bands.strain_95[1])
    assert np.array_equal(
        found.debye_waller_68.sel(mode=2, limit="lower"), result.modes[1].bands.debye_waller_68[0]
    )
    assert np.array_equal(found.measured, result.scan.intensity)
    assert np.array_equal(found.fitted.sel(mode=1), best.fitted)
    assert np.array_equal(found.residual_log10[0], plots.residual_log10(result.scan, best), equal_nan=True)
    assert (found.depth.units, found.angle.units, found.strain.units) == ("Å", "arcsec", "1")
    length = found.parameter_L1
    assert length.units == "Å"
    assert length.sel(mode=1, estimate=["value", "sd"]).values.tolist() == [4230.3, 57.0]
    assert (length.attrs["lower"], length.attrs["upper"], length.attrs["held"]) == (100.0, 8000.0, 0)
    assert found.parameter_Dmin.attrs["held"] == 1
    assert np.isnan(found.parameter_Dmin.sel(mode=1, estimate="sd"))
    assert found.maximum_strain.sel(mode=1, estimate="value") == best.derived[0].value
    assert (found.attrs["verdict"], found.attrs["seed"]) == ("check", 7)
    assert all("units" in found[name].attrs for name in found.data_vars)


def test_the_dataset_of_several_reflections_keeps_them_apart():
    plain = make_result(modes=1)
    other = replace(
        plain.scan, angle=plain.scan.angle[:-5], intensity=plain.scan.intensity[:-5], name="other"
    )
    fits = [
        ScanFit(fitted=plain.best.fitted[:n], chi2=1.0, reduced_chi2=1.0, rms_log10=0.1) for n in (None, -5)
    ]
    joint = replace(
        plain,
        modes=(replace(plain.best, scans=tuple(fits)),),
        beside=(Reflection(label="888", scan=other, substrate_angle=0.0, likelihood="counts"),),
    )
    found = Result.of(joint).to_xarray()
    assert found.fitted_888.dims == ("mode", "angle_888")
    assert np.array_equal(found.measured_888, other.intensity)
    assert found.sizes["angle_888"] == found.sizes["angle"] - 5


def test_the_dataset_is_stored_and_read(result, tmp_path):
    found = result.to_xarray()
    # Labels of text have no settled form in Zarr yet.
    found.drop_vars(["limit", "estimate"]).to_zarr(tmp_path / "r.zarr", consolidated=False)
    read = xr.open_zarr(tmp_path / "r.zarr", consolidated=False)
    assert np.array_equal(read.strain, found.strain)
    assert read.attrs["verdict_reasons"].split("\n") == list(result.verdict.reasons)
    found.to_netcdf(tmp_path / "r.nc")
    assert np.array_equal(xr.load_dataset(tmp_path / "r.nc").strain, found.strain)


@pytest.mark.parametrize(
    ("kind", "width", "millimetres"),
    [("summary", None, 175), ("fit", None, 85), ("profile", "double", 175), ("profile", 120, 120)],
)
def test_figures_have_the_widths_of_journals(result, kind, width, millimetres):
    figure = result.plot(kind, width=width)
    assert figure.get_size_inches()[0] * MM == pytest.approx(millimetres)
    content, size = figure._repr_png_()
    assert content.startswith(b"\x89PNG")
    assert size["width"] == round(96 * millimetres / MM)


def test_bad_figures_are_one_line(result):
    with pytest.raises(ValueError, match=r"kind = 'strain'; it must be one of summary, fit, profile\."):
        result.plot("strain")
    for width in ("triple", 20, "nan", 1000):
        with pytest.raises(
            ValueError, match=r"use single \(85 mm\), double \(175 mm\), or 60 to 250 millimetres"
        ):
            width_in(width)
    assert width_in("100") == 100 / MM


def test_a_notebook_shows_verdict_figure_and_parameters(result):
    page = result._repr_html_()
    assert all(
        text in page for text in ("check", "Rp2 is not determined.", "Strain &lt; 2 % &amp; more.", "Dmax1")
    )
    assert page.count("data:image/png;base64,") == 1
    assert "<script" not in page
    assert "http" not in page.replace("data:image/png", "")
