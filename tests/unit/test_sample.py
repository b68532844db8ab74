import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from strainscope.crystal import ARCSEC, builtin_crystal, emission_lines
from strainscope.crystal import reflection as reflection_of
from strainscope.instrument import (
    Gaussian,
    Lorentzian,
    MeasuredResolution,
    MonochromatorCurve,
    NoResolution,
    PseudoVoigt,
    SplitPseudoVoigt,
    WindowedLorentzian,
)
from strainscope.profile import (
    AmorphousLayer,
    AsymmetricPseudoVoigt,
    CubicBSpline,
    DoubleGaussian,
    ExponentialDisorder,
    NoDisorder,
    Tabulated,
    TiedDisorder,
)
from strainscope.sample import Sample, load_sample, monochromator_table, preset_text, presets
from strainscope.scan import AXES, Scan

BARE = {"crystal": "GGG", "reflection": [4, 4, 4], "wavelength": 1.54056}
MONOCHROMATOR = {"monochromator": {"crystal": "GGG", "reflection": [4, 4, 4]}}


@pytest.fixture
def load(tmp_path):
    def write_and_load(text="", **keys):
        path = tmp_path / "mine.yaml"
        path.write_text(text or yaml.safe_dump(BARE | keys, allow_unicode=True), encoding="utf-8")
        return load_sample(str(path))

    return write_and_load


def peak_scan(axis="delta-theta-arcsec", *, centre=0.0, low=-600.0, high=600.0, kind="counts"):
    angle = np.linspace(low, high, 301)
    fwhm = (high - low) / 20
    intensity = np.rint(2e4 / (1 + (2 * (angle - centre) / fwhm) ** 2) + 5)
    return Scan(angle=angle, intensity=intensity, axis=axis, intensity_kind=kind, name="mine")


# Presets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", presets())
def test_every_preset_loads_and_says_what_its_columns_are(name):
    sample = load_sample(name)
    assert sample.title
    assert sample.scan.axis
    assert sample.scan.intensity
    assert sample.prior().names == tuple(spec.name for spec in sample.experiment().parameters)


def test_the_presets_that_the_manual_names_are_there():
    assert {"ggg444", "yig-on-ggg444", "ysz400"} <= set(presets())


def test_garnet_film_is_mismatched_by_its_measured_perpendicular_parameter():
    film, substrate = load_sample("yig-on-ggg444").experiment().stack.layers
    assert film.mismatch == pytest.approx(12.376 / 12.382 - 1, rel=1e-12)
    assert film.thickness == 31500
    assert np.isinf(substrate.thickness)
    # Iron absorbs less than gadolinium at Cu Kα1.
    assert abs(film.chi_0.imag) < 0.7 * abs(substrate.chi_0.imag)


def test_a_file_wins_nothing_over_a_preset_but_a_path_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ggg444").write_text("no sample")
    assert load_sample("ggg444").reflection == (4, 4, 4)
    (tmp_path / "mine.yaml").write_text(preset_text("si004"))
    assert load_sample("mine.yaml").reflection == (0, 0, 4)


# What a file means ------------------------------------------------------------------------------------------


def test_bare_file_takes_the_documented_defaults(load):
    sample = load()
    experiment = sample.experiment()
    own = reflection_of(builtin_crystal("GGG"), [4, 4, 4], wavelength=1.54056)
    assert experiment.stack.bragg_angle == own.bragg_angle
    assert experiment.stack.layers[-1].chi_h == own.chi_h
    assert isinstance(experiment.profile.strain, DoubleGaussian)
    assert isinstance(experiment.profile.disorder, TiedDisorder)
    assert isinstance(experiment.resolution, PseudoVoigt)
    assert experiment.spectrum is None
    assert experiment.polarization_weights == (0.5, 0.5)
    assert not experiment.diffuse
    assert sample.held() == {"background_slope": 0.0}
    assert (sample.bounds(), sample.start()) == ({}, {})


def test_lattice_wavelength_geometry_and_thermal_factor_reach_the_stack(load):
    cut = {"crystal": "Si", "surface": [0, 0, 1], "reflection": [1, 1, 3]}
    stack = load(lattice_A=5.44, wavelength="CuKa1", debye_waller=False, **cut).experiment().stack
    crystal = builtin_crystal("Si").with_lattice(a=5.44)
    own = reflection_of(crystal, [1, 1, 3], wavelength="CuKa1", surface=[0, 0, 1], debye_waller=False)
    assert (stack.asymmetry, stack.layers[0].chi_h) == (own.asymmetry, own.chi_h)
    assert stack.asymmetry > 0
    steep = load(incidence="steep", **cut).experiment().stack
    assert steep.asymmetry == -load(**cut).experiment().stack.asymmetry


def test_hexagonal_crystal_takes_four_indices(load):
    text = "crystal: SiC-6H\nreflection: [0, 0, 0, 12]\nwavelength: CuKa1\nlattice_A: {a: 3.08, c: 15.12}\n"
    assert load(text).substrate.d_spacing == pytest.approx(15.12 / 12, rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ("double-gaussian", DoubleGaussian()),
        (
            {"family": "double-gaussian", "sign": -1, "minimum_strain": "5e-5"},
            DoubleGaussian(sign=-1, minimum_strain=5e-5),
        ),
        (
            {"family": "b-spline", "number": 9, "depth_range_A": [200, 900], "weight_range": [-0.01, 0.02]},
            CubicBSpline(number=9, depth_range=(200, 900), weight_range=(-0.01, 0.02)),
        ),
        ({"family": "asymmetric-pseudo-voigt", "plateau": True}, AsymmetricPseudoVoigt(plateau=True)),
        (
            {"family": "tabulated", "depth_A": [0, 500], "value": [0.01, 0], "interpolation": "linear"},
            Tabulated(depth=(0, 500), value=(0.01, 0), interpolation="linear"),
        ),
    ],
)
def test_strain_families(load, settings, family):
    assert load(strain=settings).experiment().profile.strain == family


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ("none", NoDisorder()),
        ("tied", TiedDisorder()),
        (
            {"family": "b-spline", "number": 4, "weight_range": [0.2, 1]},
            CubicBSpline(number=4, quantity="debye_waller", weight_range=(0.2, 1)),
        ),
        ("exponential-double-gaussian", ExponentialDisorder(family=DoubleGaussian(), scale=100)),
        ({"family": "amorphous", "buried": False}, AmorphousLayer(buried=False)),
        (
            {"family": "tabulated", "depth_A": [0, 500], "value": [0.4, 1]},
            Tabulated(depth=(0, 500), value=(0.4, 1), quantity="debye_waller"),
        ),
    ],
)
def test_disorder_families(load, settings, family):
    assert load(disorder=settings).experiment().profile.disorder == family


@pytest.mark.parametrize(
    ("settings", "family"),
    [
        ("none", NoResolution()),
        ({"family": "gaussian", "fwhm_range_arcsec": [5, 50]}, Gaussian(fwhm_range=(5, 50))),
        ("lorentzian", Lorentzian()),
        ("pseudo-voigt", PseudoVoigt()),
        ("split-pseudo-voigt", SplitPseudoVoigt()),
        ("windowed-lorentzian", WindowedLorentzian()),
    ],
)
def test_resolution_families(load, settings, family):
    assert load(resolution=settings).experiment().resolution == family


def test_files_are_named_relative_to_the_sample(load, tmp_path):
    (tmp_path / "curve.txt").write_text("# arcsec, counts\n-20 0\n-10, 4\n0 ; 9\n10 4 # shoulder\n20 0\n")
    (tmp_path / "depth.txt").write_text("0 0.01\n800 0.0\n")
    experiment = load(
        resolution={"family": "measured", "path": "curve.txt"},
        strain={"family": "tabulated", "path": "depth.txt"},
    ).experiment()
    measured = MeasuredResolution(offset_arcsec=(-20, -10, 0, 10, 20), value=(0, 4, 9, 4, 0))
    assert experiment.resolution == measured
    assert experiment.profile.strain == Tabulated(depth=(0, 800), value=(0.01, 0))


def test_cif_of_ones_own(load, tmp_path):
    (tmp_path / "po.cif").write_text(
        "data_po\n_cell_length_a 5\n_cell_length_b 5\n_cell_length_c 5\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P m -3 m'\nloop_\n"
        "_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
        "_atom_site_fract_z\nPo Pb 0 0 0\n"
    )
    sample = load("cif: po.cif\nreflection: [2, 0, 0]\nwavelength: 1.5\n")
    assert sample.substrate.d_spacing == pytest.approx(2.5, rel=1e-12)


def test_monochromator_weighs_the_polarizations(load):
    own = load(**MONOCHROMATOR).experiment()
    c = abs(np.cos(2 * own.stack.bragg_angle))
    assert own.polarization_weights == pytest.approx((1 / (1 + c), c / (1 + c)))
    mosaic = {"monochromator": MONOCHROMATOR["monochromator"] | {"polarization": "mosaic"}}
    assert load(**mosaic).experiment().polarization_weights[1] == pytest.approx(c**2 / (1 + c**2))


def test_monochromator_curve_is_that_of_the_perfect_crystal(load):
    sample = load(resolution={"family": "monochromator-curve", "wings": False}, **MONOCHROMATOR)
    resolution = sample.experiment().resolution
    assert isinstance(resolution, MonochromatorCurve)
    offset, reflectivity = monochromator_table(sample.substrate)
    assert resolution.offset_arcsec == tuple(offset.tolist())
    # The plateau lies where refraction puts it and is as wide as the Darwin width, half maximum included.
    sigma, pi = reflectivity
    above = offset[sigma > 0.5 * sigma.max()]
    assert above.mean() == pytest.approx(sample.substrate.refraction_shift / ARCSEC, abs=1.0)
    assert np.ptp(above) == pytest.approx(sample.substrate.darwin_width() / ARCSEC, rel=0.3)
    # C without absorption, C squared with much of it; GGG is between.
    factor = abs(np.cos(2 * sample.substrate.bragg_angle))
    assert factor**2 < pi.sum() / sigma.sum() < factor


def test_spectrum_of_two_lines_lies_apart_as_bragg_says(load):
    sample = load(spectrum={"lines": "ka1-ka2", "setting": "none"})
    (first, _, _), (second, _, _) = emission_lines("CuKa")
    spectrum = sample.experiment().spectrum
    sine = 1.54056 * second / first / (2 * sample.substrate.d_spacing)
    apart = (np.arcsin(sine) - sample.substrate.bragg_angle) / ARCSEC
    assert spectrum.shifts_arcsec == pytest.approx((0.0, apart), abs=1e-9)
    assert spectrum.weights == pytest.approx((2 / 3, 1 / 3))


def test_equal_crystals_in_the_non_dispersive_setting_see_no_lines(load):
    settings = {"lines": "natural", "setting": "non-dispersive"}
    close = load(spectrum=settings, **MONOCHROMATOR).experiment().spectrum
    assert close.fwhm_arcsec == pytest.approx((0.0,), abs=1e-9)
    wide = load(spectrum=settings | {"setting": "dispersive"}, **MONOCHROMATOR).experiment().spectrum
    alone = load(spectrum=settings | {"setting": "none"}).experiment().spectrum
    assert wide.fwhm_arcsec[0] == pytest.approx(2 * alone.fwhm_arcsec[0], rel=1e-6)


def test_fit_section_becomes_bounds_held_and_start(load):
    sample = load(
        background="linear",
        fit={
            "Dmax1": {"bounds": [0.001, 0.02], "start": 0.012},
            "K": {"value": 0.3, "held": True},
            "background_slope": {"bounds": [-0.5, 0.5]},
        },
    )
    assert sample.bounds() == {"Dmax1": (0.001, 0.02), "background_slope": (-0.5, 0.5)}
    assert sample.held() == {"K": 0.3}
    assert sample.start() == {"Dmax1": 0.012}
    spec = sample.prior().parameters[0]
    assert (spec.lower, spec.upper) == (0.001, 0.02)


def test_disorder_with_a_spline_of_its_own_has_its_own_names(load):
    sample = load(strain="b-spline", disorder="b-spline", fit={"disorder_depth": {"bounds": [400, 900]}})
    assert {"depth", "weight_6", "disorder_depth", "disorder_weight_6"} <= set(sample.prior().names)


def test_settings_are_plain_and_load_again(load):
    for name in presets():
        settings = load_sample(name).settings()
        assert load(yaml.safe_dump(settings)).settings() == settings
    assert load().settings()["bragg_law"] == "exact"


def test_command_line_replaces_axis_and_intensity():
    sample = load_sample("ggg444")
    changed = sample.with_options(axis="omega-deg", intensity="counts", model_error=0.01)
    assert (changed.scan.axis, changed.scan.intensity, changed.model_error) == ("omega-deg", "counts", 0.01)
    assert changed.settings() == sample.settings() | {
        "scan": {"axis": "omega-deg", "intensity": "counts"},
        "model_error": 0.01,
    }
    assert sample.with_options() is sample
    assert sample.with_options(axis="omega-deg").scan.intensity == "normalised"


# What is wrong with a file ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"debye_waler": True}, r"unknown key 'debye_waler'; there are .*\. Did you mean debye_waller\?"),
        (
            {"films": [{"crystal": "YIG", "thicknes_A": 1, "mismatch": 0}]},
            r"films\[0\]: unknown key .*thickness_A\?",
        ),
        (
            {"strain": {"family": "b-spline", "nmber": 4}},
            r"strain: unknown key 'nmber'.*Did you mean number\?",
        ),
        ({"strain": "bspline"}, r"strain\.family = 'bspline'; .*Did you mean b-spline\?"),
        ({"strain": {"number": 4}}, r"strain\.family is missing"),
        ({"strain": 4}, r"strain = 4; it must be a mapping"),
        (
            {"scan": {"axis": "two-theta"}},
            r"scan\.axis = 'two-theta'; it must be .*Did you mean two-theta-deg\?",
        ),
        ({"crystal": "GGX"}, r": crystal = 'GGX' is not built in; .*Did you mean GGG\?"),
        ({"cif": "x.cif"}, r"crystal and cif are both given"),
        ({"reflection": 444}, r"reflection = 444; give three whole numbers .* \[4, 4, 4\], or four\."),
        ({"reflection": [4, 4]}, r"reflection = \[4, 4\]; give three whole numbers in brackets"),
        ({"reflection": [2, 0, 0]}, r"GGG 2 0 0 is forbidden"),
        ({"reflection": [1, 1, -2, 4]}, r"GGG has no hexagonal axes"),
        ({"wavelength": "CuKb9"}, r": wavelength = 'CuKb9': no emission line"),
        ({"wavelength": 154}, r"wavelength = 154 Å; it must be between"),
        ({"wavelength": True}, r": wavelength = True; give Å or"),
        ({"surface": [1, 0, 0]}, r"planes lie 54\.736° off the surface"),
        ({"lattice_A": -12}, r"lattice_A\.a = -12 Å; it must be greater than or equal to 1 Å\."),
        ({"elastic_GPa": {"C11": 285.7}}, r"elastic_GPa: elastic constants C11; \S+ needs C11, C12, C44"),
        ({"tolerance": 1}, r"tolerance = 1; it must be less than or equal to 0\.01\."),
        ({"title": [1]}, r"title = \[1\]; it must be text"),
        (
            {"films": [{"crystal": "YIG", "thickness_A": 9}]},
            r"films\[0\]: mismatch or perpendicular_lattice_A is missing",
        ),
        (
            {"films": [{"crystal": "YIG", "thickness_A": 9, "perpendicular_lattice_A": 5}]},
            r"films\[0\]: perpendicular_lattice_A = 5 Å is -60 % off",
        ),
        ({"spectrum": {"lines": "natural"}}, r"spectrum: lines: natural needs setting"),
        (
            {"spectrum": {"lines": "natural", "setting": "dispersive"}},
            r"setting: dispersive needs monochromator",
        ),
        (
            {"spectrum": {"lines": "natural", "setting": "none", "anode": "Mo"}},
            r"anode = Mo, whose Kα1 is 0\.709",
        ),
        ({"resolution": "monochromator-curve"}, r"monochromator-curve needs monochromator"),
        (
            {"disorder": {"family": "b-spline", "weight_range": [0, 2]}},
            r"disorder\.weight_range = \[0, 2\]; a Debye",
        ),
        ({"strain": {"family": "tabulated", "depth_A": [0]}}, r"strain: depth_A and value belong together"),
        ({"strain": {"family": "tabulated"}}, r"strain: path or depth_A is missing"),
        ({"fit": {"Dmax": {"start": 1}}}, r"fit: unknown parameter 'Dmax'; .*Did you mean Dmax1\?"),
        (
            {"fit": {"Dmax1": {"bounds": [0.02, 0.01]}}},
            r"fit\.Dmax1\.bounds = \[0\.02, 0\.01\]; the first must be <",
        ),
        ({"fit": {"Dmax1": {"bounds": [-0.1, 0.01]}}}, r"fit\.Dmax1\.bounds: Dmax1 = -0.1; it must be >="),
        (
            {"fit": {"Dmax1": {"bounds": [0.05, 3]}}},
            r"Dmax1 = 3; strain is Δd/d, not percent, .*±0\.2; for 3 % write 0\.03",
        ),
        ({"fit": {"Dmax1": {"bounds": [5e-4, 300]}}}, r"Dmax1 = 300; strain is Δd/d.*in ±0\.2\.$"),
        (
            {"strain": {"family": "b-spline", "weight_range": [-3, 3]}},
            r"strain\.weight_range = \[-3, 3\]; strain is",
        ),
        (
            {"strain": {"family": "b-spline"}, "fit": {"weight_2": {"bounds": [0, 1.5]}}},
            r"for 1\.5 % write 0\.015",
        ),
        ({"strain": {"family": "double-gaussian", "largest_surface_strain": 3}}, r"_strain = 3; strain is"),
        (
            {"strain": {"family": "tabulated", "depth_A": [0, 9], "value": [1.3, 0]}},
            r"strain: value = 1\.3; strain is",
        ),
        ({"tolerance": "abc"}, r"tolerance = 'abc'; it must be a number\."),
        ({"diffuse": "maybe"}, r"diffuse = 'maybe'; it must be true or false\."),
        (
            {"resolution": {"family": "gaussian", "fwhm_range_arcsec": [5, "x"]}},
            r"fwhm_range_arcsec\[1\] = 'x'; it must be a number\.",
        ),
        ({"wavelength": 5}, r"it must be < 2d = .* Å\. Choose lower indices or a shorter wavelength"),
        ({"crystal": "SiC"}, r"Did you mean SiC-3C, SiC-4H or SiC-6H\?"),
        ({"fit": {"Dmax1": {"bounds": [0.002, float("nan")]}}}, r"fit\.Dmax1\.bounds\[1\] = nan"),
        ({"fit": {"K": {"bounds": [0, 2]}}}, r"fit\.K\.bounds: K = 2; it must lie in 0 to 1"),
        ({"fit": {"K": {"value": 2, "held": True}}}, r"fit\.K\.value: K = 2; it must lie in 0 to 1"),
        ({"fit": {"K": {"value": 0.2}}}, r"fit\.K: value = 0\.2 needs held: true"),
        ({"fit": {"K": {"held": True}}}, r"fit\.K: held: true needs value"),
        ({"fit": {"K": {"bounds": [0, 0.5], "start": 0.7}}}, r"fit\.K: start = 0\.7 lies outside its bounds"),
        (
            {"fit": {"Dmax1": {"start": 0.5}}},
            r"fit\.Dmax1\.start = 0\.5; it must lie in its bounds, 0\.002 to 0\.03",
        ),
        ({"fit": {"fwhm_arcsec": {"bounds": [-1, 3]}}}, r"fwhm_arcsec = -1 arcsec; it must be > 0"),
        ({"fit": {"background_slope": {"start": 0.1}}}, r"fit\.background_slope needs background: linear"),
        ({"fit": {"log10_scale": {"bounds": [-99, 3]}}}, r"log10_scale = -99; it must lie in -30 to 30"),
        (
            {"disorder": "b-spline", "fit": {"weight_1": {"bounds": [0, 1.2]}}},
            r"weight_1 = 1\.2; it must lie in 0 to 1",
        ),
        (
            {"fit": {"D01": {"bounds": [0.02, 0.03]}, "Dmax1": {"bounds": [0.002, 0.01]}}},
            r"fit: D01 - Dmax1 <= 0 cannot hold with D01 in 0\.02 to 0\.03, Dmax1 in 0\.002 to 0\.01;",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_key(load, tmp_path, keys, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(**keys)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert "\n" not in text
    assert text.endswith((".", "?"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crystal: GGG\ncrystal: Si\n", r"line 2: crystal is given twice \(first in line 1\)"),
        ("fit:\n  K: {start: 1, start: 2}\n", r"line 2: start is given twice"),
        ("a: [", r"line 1, column 5: this is not YAML: a bracket is not closed"),
        (
            "a: b: c\n",
            r"line 1, column 5: this is not YAML: a colon too many; put text with a colon in quotes",
        ),
        ("a: 1\n\tb: 2\n", r"line 2, column 1: this is not YAML: a tab; indent with spaces"),
        ("a: 'b\n", r"this is not YAML: a quotation mark is not closed"),
        ("- 1\n", r"holds \[1\]; it must hold keys"),
        ("# nothing\n", r"holds nothing; it must hold keys"),
        ("a: !!python/object/apply:os.getcwd []\n", r"this is not YAML: tags \(!\) are not allowed"),
        ("[" * 5000, r"nested too deeply"),
        ("a: 2024-99-99\n", r"month must be in"),
        ("{}\n", r"reflection is missing \(and 1 more\)"),
        ("a: &a [*a]\n", r"unknown key 'a'"),
        ("1: 2\n", r"unknown key 1"),
    ],
)
def test_what_is_no_sample_file_is_refused(load, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(text)
    assert "\n" not in str(caught.value)


def test_names_that_are_nothing_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'ggg44' is neither a file nor .*Did you mean ggg444\?"):
        load_sample("ggg44")
    with pytest.raises(FileNotFoundError, match=r"no\.yaml: there is no such sample file"):
        load_sample(str(tmp_path / "no.yaml"))
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_sample(str(tmp_path))
    with pytest.raises(ValueError, match="preset = 'x'"):
        preset_text("x")


def test_missing_files_are_named(load):
    with pytest.raises(FileNotFoundError, match=r"mine\.yaml: cif: .*x\.cif: there is no such CIF file"):
        load("cif: x.cif\nreflection: [4, 4, 4]\nwavelength: 1.5\n")
    with pytest.raises(FileNotFoundError, match=r"resolution: path: .*no such table file"):
        load(resolution={"family": "measured", "path": "no.txt"})


def test_a_cif_that_cannot_be_read_is_reported_under_its_own_key(load, tmp_path):
    (tmp_path / "x.cif").write_text("no CIF")
    with pytest.raises(ValueError, match=r"mine\.yaml: cif: CIF of x: not readable"):
        load("cif: x.cif\nreflection: [4, 4, 4]\nwavelength: 1.5\n")
    film = {"cif": "x.cif", "thickness_A": 100, "mismatch": 0.001}
    with pytest.raises(ValueError, match=r"mine\.yaml: films\[0\]: cif: CIF of x"):
        load(films=[film])


@pytest.mark.parametrize("table", ["1 2 3\n", "1\n", "a b\n", "# nothing\n"])
def test_tables_need_two_columns(load, tmp_path, table):
    (tmp_path / "t.txt").write_text(table)
    with pytest.raises(ValueError, match=r"strain: .*t\.txt: (line 1: .*two numbers|there are no numbers)"):
        load(strain={"family": "tabulated", "path": "t.txt"})


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(key=st.sampled_from(sorted(Sample.model_fields)), value=PLAIN)
def test_any_value_of_any_key_loads_or_is_refused_in_one_line(tmp_path_factory, key, value):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(BARE | {key: value}), encoding="utf-8")
    message = "loads"
    try:
        load_sample(str(path))
    except (ValueError, OSError) as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 1000


# Scans against the sample -----------------------------------------------------------------------------------


def test_a_scan_of_the_sample_passes():
    load_sample("ggg444").check_scan(peak_scan())
    load_sample("ysz400").check_scan(peak_scan("two-theta-deg", centre=73.57, low=72.8, high=73.8))


@pytest.mark.parametrize(
    ("preset", "scan", "message"),
    [
        (
            "ysz400",
            peak_scan("omega-deg", centre=73.57, low=72.8, high=73.8),
            r"from 72\.8 to 73\.8, strongest at 73\.5667; on --axis omega-deg the peak would be near 36\.786 deg\. "
            r"They look like two-theta-deg: give --axis two-theta-deg",
        ),
        (
            "ysz400",
            peak_scan("two-theta-deg", centre=36.79, low=36.3, high=37.3),
            r"on --axis two-theta-deg the peak would be near 73\.57\d deg\. They look like omega-deg: give",
        ),
        (
            "ysz400",
            peak_scan("omega-deg", centre=20.5, low=20, high=21),
            r"the Bragg angle is 36\.79°, at 36\.786 deg on --axis omega-deg, .*: is it this reflection and wavel",
        ),
        ("ggg444", peak_scan(centre=2000, low=1500, high=2500), r"0, the substrate's peak, must lie in it"),
        # A Darwin width is 6.6 arcsec.
        (
            "ggg444",
            peak_scan("omega-deg", centre=25.529, low=25.5265, high=25.5318),
            r"spans 19\.1 arcsec of incidence; it must span at least 3 Darwin widths, 19\.7 arcsec",
        ),
    ],
)
def test_a_scan_of_something_else_is_refused(preset, scan, message):
    sample = load_sample(preset)
    with pytest.raises(ValueError, match=message):
        sample.check_scan(scan)


ASYMMETRIC = {"crystal": "Si", "reflection": [2, 2, 4], "surface": [0, 0, 1], "wavelength": "CuKa1"}


@pytest.fixture(params=[BARE, ASYMMETRIC], ids=["symmetric", "asymmetric"])
def on_each_axis(request, tmp_path):
    """One curve in a file for each axis, and the sample."""
    settings = {"resolution": "gaussian", "scan": {"intensity": "counts"}}
    sample = Sample.model_validate(request.param | settings)
    files = {}
    for axis in AXES:
        own = sample.with_options(axis=axis)
        values = own.simulated_values({"Dmax1": 0.008, "D01": 0.002, "D02": 0.002}, counts=1e4)
        scan, _ = own.simulate(values, counts=1e4)
        files[axis] = tmp_path / f"{axis}.xy"
        np.savetxt(files[axis], np.column_stack([scan.angle, scan.intensity]), fmt="%.6f %d")
    return sample, files


def test_angles_on_another_axis_than_the_one_named_are_refused_with_theirs(on_each_axis):
    sample, files = on_each_axis
    for own, path in files.items():
        for axis in AXES:
            named = sample.with_options(axis=axis)
            if axis == own:
                assert named.read_scan(path).angle.size > 100
                continue
            with pytest.raises(ValueError, match=rf"They look like {own}: give --axis {own} \(") as refused:
                named.read_scan(path)
            assert str(refused.value).startswith(f"{path}: the angles run from ")


@pytest.mark.parametrize(
    ("axis", "factor", "remedy"),
    [
        ("delta-theta-arcsec", 1 / 3600, "relative to the peak in another unit: convert them to arcsec"),
        ("omega-deg", 3600, "omega-deg in arcsec: divide them by 3600 and give --axis omega-deg"),
        ("two-theta-deg", 3600, "two-theta-deg in arcsec: divide them by 3600 and give --axis two-theta-deg"),
    ],
)
def test_angles_in_another_unit_are_refused_with_how_to_convert_them(on_each_axis, axis, factor, remedy):
    sample, files = on_each_axis
    angle, counts = np.loadtxt(files[axis]).T
    np.savetxt(files[axis], np.column_stack([factor * angle, counts]), fmt="%.8f %d")
    for named in AXES:
        with pytest.raises(ValueError, match=remedy):
            sample.with_options(axis=named).read_scan(files[axis])


@pytest.mark.parametrize("shift", [-3.0, -0.05, 0.05, 3.0])
def test_an_axis_with_a_wrong_zero_is_not_taken_for_another(on_each_axis, shift):
    sample, files = on_each_axis
    for axis in AXES[1:]:
        angle, counts = np.loadtxt(files[axis]).T
        np.savetxt(files[axis], np.column_stack([angle + shift, counts]), fmt="%.6f %d")
        own = sample.with_options(axis=axis)
        if abs(shift) < 0.1:
            own.read_scan(files[axis])
        else:
            with pytest.raises(ValueError, match="is it this reflection and wavelength"):
                own.read_scan(files[axis])


def test_wide_scans_in_degrees_are_not_taken_for_arcsec_or_for_half_the_angle():
    sample = load_sample("ggg444")
    for axis, centre in (("omega-deg", 25.53), ("two-theta-deg", 51.06)):
        wide = peak_scan(axis, centre=centre, low=20.0, high=80.0)
        for named in {*AXES} - {axis}:
            with pytest.raises(ValueError, match=f"They look like {axis}:"):
                sample.check_scan(replace(wide, axis=named))
        sample.check_scan(wide)


def test_noise_and_slopes_are_no_peaks():
    sample, scan = load_sample("ggg444"), peak_scan()
    for mean in (5.0, 400.0):
        noise = np.random.default_rng(2).poisson(mean, 301).astype(float)
        with pytest.raises(ValueError, match="^no peak in the scan"):
            sample.check_scan(replace(scan, intensity=noise))
    slope = np.rint(np.geomspace(5, 1e5, 301))
    with pytest.raises(ValueError, match=r"the scan is strongest at its end, 59\d arcsec"):
        sample.check_scan(replace(scan, intensity=slope))


@pytest.mark.parametrize("mean", [0.05, 1.0, 3.0])
def test_counts_of_which_there_are_hardly_any_are_refused_as_too_few(mean):
    scan = peak_scan()
    noise = np.random.default_rng(2).poisson(mean, 301).astype(float)
    with pytest.raises(ValueError, match=rf"^too few counts to say anything: {noise.max():g} at the strongest"):
        load_sample("ggg444").check_scan(replace(scan, intensity=noise))


@pytest.mark.parametrize("kind", ["counts", "normalised"])
def test_few_bright_points_are_no_curve(kind):
    sample, scan = load_sample("ggg444"), peak_scan(kind=kind)
    for number in (1, 2, 9):
        few = np.where(np.arange(301) - 150 < number, 1000.0, 0.0) * (np.arange(301) >= 150)
        verb = "is" if number == 1 else "are"
        with pytest.raises(ValueError, match=f"^only {number} of its 301 points {verb} above 0; a curve needs"):
            sample.check_scan(replace(scan, intensity=few))
    if kind == "normalised":
        with pytest.raises(ValueError, match=r"largest intensity is 2\.0005e-21; it must be at least 1e-20"):
            sample.check_scan(replace(scan, intensity=1e-25 * scan.intensity))
    lone = np.where(np.arange(301) == 150, 1000.0, 1.0)
    with pytest.raises(ValueError, match=r"one point alone is bright, 1000 at 0\.0 arcsec, beside others of at most 1"):
        sample.check_scan(replace(scan, intensity=lone))
    with pytest.raises(ValueError, match="^(no peak in the scan: its largest intensity is 7|too few counts)"):
        sample.check_scan(replace(scan, intensity=np.full(301, 7.0)))


# Simulation -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ggg():
    keys = BARE | {"scan": {"axis": "delta-theta-arcsec"}, "resolution": "gaussian"}
    return Sample.model_validate(keys)


GIVEN = {"Dmax1": 0.008, "D01": 0.002, "L1": 5000.0, "Rp1": 3000.0, "D02": 0.003, "fwhm_arcsec": 30.0}


def test_values_are_those_given_and_the_rest_obeys_the_constraints(ggg):
    values = ggg.simulated_values(GIVEN)
    assert GIVEN.items() <= values.items()
    assert values["L2"] <= values["L1"]
    assert values["log10_scale"] == 0.0
    with pytest.raises(ValueError, match=r"unknown parameter 'Dmx1'.*Did you mean Dmax1\?"):
        ggg.simulated_values({"Dmx1": 0.1})
    with pytest.raises(ValueError, match="K = 2; it must lie in 0 to 1"):
        ggg.simulated_values({"K": 2.0})


def test_simulated_scan_reaches_beyond_the_strained_region(ggg):
    values = ggg.simulated_values(GIVEN)
    scan, used = ggg.simulate(values)
    assert used == values
    edge = -0.008 / ggg.substrate.strain_per_arcsec
    assert scan.angle[0] < edge - 60
    assert scan.angle[-1] > 60
    # On the other side of the strain there is the substrate's tail and the background.
    strained = scan.intensity[(scan.angle > edge) & (scan.angle < -200)].mean()
    assert strained > 10 * scan.intensity[-1]
    assert scan.angle[scan.intensity.argmax()] == pytest.approx(10, abs=4)


def test_counts_have_the_peak_and_the_background_asked_for(ggg):
    values = ggg.simulated_values(GIVEN | {"log10_background": 1.0})
    wide = {"span": (-1000.0, 6000.0), "step": 8.0}
    scan, used = ggg.simulate(values, counts=1e6, seed=3, **wide)
    assert scan.intensity.max() == pytest.approx(1e6, rel=5e-3)
    assert scan.intensity[-100:].mean() == pytest.approx(10, abs=2)
    assert used["log10_background"] == 1.0
    # The noise is Poisson's about the curve of the values that are returned.
    clean, _ = ggg.simulate(used, **wide)
    deviates = (scan.intensity - clean.intensity) / np.sqrt(clean.intensity)
    assert deviates.std() == pytest.approx(1.0, abs=0.15)
    again, _ = ggg.simulate(values, counts=1e6, seed=3, **wide)
    np.testing.assert_array_equal(again.intensity, scan.intensity)
    other, _ = ggg.simulate(values, counts=1e6, seed=4, **wide)
    assert not np.array_equal(other.intensity, scan.intensity)


def test_range_and_step_are_kept(ggg):
    scan, _ = ggg.simulate(ggg.simulated_values(GIVEN), span=(-900.0, 300.0), step=8.0)
    np.testing.assert_allclose(scan.angle, np.arange(-900.0, 301.0, 8.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"span": (5.0, 1.0)}, "the first must be < the last"),
        ({"span": (float("nan"), 1.0)}, "range nan to 1 arcsec; the first must be <"),
        ({"step": -1.0}, "^step = -1 arcsec; it must be > 0 arcsec"),
        ({"step": 0.0}, "^step = 0 arcsec; it must be > 0 arcsec"),
        ({"step": float("nan")}, "^step = nan arcsec; it must be > 0 arcsec"),
        ({"step": 1e-9}, "they must be fewer than 100000. Give a larger step"),
        ({"counts": float("nan")}, "counts = nan"),
        ({"counts": 1e-9}, "must be above the background"),
        ({"counts": 1e15}, "at most 1e"),
    ],
)
def test_impossible_simulations_are_refused(ggg, options, message):
    with pytest.raises(ValueError, match=message):
        ggg.simulate(ggg.simulated_values(GIVEN), **options)


@pytest.mark.parametrize(("counts", "level"), [(None, -5.0), (1e3, 0.0), (1e5, 0.0), (1e7, 2.0)])
def test_a_background_that_is_not_set_is_a_share_of_the_peak_and_at_least_a_count(ggg, counts, level):
    values = ggg.simulated_values(GIVEN, counts=counts)
    assert values["log10_background"] == pytest.approx(level)
    assert ggg.simulated_values(GIVEN | {"log10_background": 1.5}, counts=counts)["log10_background"] == 1.5


def test_notes_say_what_was_not_set_and_what_was_taken(ggg):
    values = ggg.simulated_values(GIVEN)
    usual, middling = ggg.simulation_notes(values, given=GIVEN)
    assert usual == (
        "not set, taken as usual: lorentz_fraction = 0.2, offset_arcsec = 0 arcsec, log10_scale = 0, "
        "log10_background = -5."
    ).replace("lorentz_fraction = 0.2, ", "")
    assert middling == (
        f"not set, taken as the middle of their priors: L2 = {values['L2']:.4g} Å, Rp2 = -3005 Å, K = 0.5, n = 4.15."
    )
    # Of counts the scale is what they make it.
    assert "log10_scale" not in ggg.simulation_notes(values, given=GIVEN, counts=1e4)[0]
    assert ggg.simulation_notes(values, given=values) == ()


def test_notes_name_values_that_an_inversion_would_not_search(ggg):
    given = ggg.simulated_values(GIVEN) | {"D02": 0.001}
    (note,) = ggg.simulation_notes(ggg.simulated_values(given), given=given)
    assert note.startswith("D02 = 0.001 lies outside what invert would search, 0.002 to 0.03;")
    assert "widen fit.D02.bounds" in note
    keys = BARE | {"scan": {"axis": "omega-deg"}, "fit": {"K": {"value": 0.3, "held": True}}}
    holding = Sample.model_validate(keys)
    assert "K = 0.4, but invert would hold it at 0.3." in holding.simulation_notes(
        holding.simulated_values({"K": 0.4}), given={"K": 0.4}
    )


@pytest.mark.parametrize("axis", ["omega-deg", "two-theta-deg"])
def test_every_axis_holds_the_same_curve(ggg, axis):
    values = ggg.simulated_values(GIVEN)
    scan, _ = ggg.simulate(values, span=(-900.0, 300.0), step=4.0)
    bragg = np.degrees(ggg.substrate.bragg_angle)
    factor, zero = (1, bragg) if axis == "omega-deg" else (2, 2 * bragg)
    span = tuple(zero + factor * end / 3600 for end in (-900.0, 300.0))
    other, _ = ggg.with_options(axis=axis).simulate(values, span=span, step=factor * 4.0 / 3600)
    np.testing.assert_allclose(other.intensity, scan.intensity[: other.intensity.size], rtol=1e-4)


# The reference ----------------------------------------------------------------------------------------------

REFERENCE = Path(__file__).parents[2] / "docs/sample-files.md"


def test_reference_names_every_key_and_every_family():
    text = REFERENCE.read_text(encoding="utf-8")
    pending, seen = [Sample], []
    while pending:
        model = pending.pop()
        seen.append(model)
        annotations = repr({k: f.annotation for k, f in model.model_fields.items()})
        found = set(re.findall(r"(strainscope\.sample\.\w+)\.(\w+)", annotations))
        parts = [getattr(import_module(module), name) for module, name in found]
        pending += [part for part in parts if part not in seen]
    # Sample, its ten parts, and the families.
    assert len(seen) > 15
    for model in seen:
        for key, field in model.model_fields.items():
            assert f"`{key}" in text or f"`{key}:" in text or key in ("a", "b", "c", "family"), key
            for value in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
                assert f"`{value}`" in text or isinstance(value, int), value


def test_reference_examples_load(load):
    blocks = re.findall(r"```yaml\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    first, films, asymmetric, hexagonal = blocks
    assert load(first).held() == {"K": 0.3, "background_slope": 0.0}
    assert len(load(first + films).films) == 1
    substrate = load(asymmetric).substrate
    assert np.degrees(substrate.asymmetry) == pytest.approx(35.3, abs=0.05)
    assert np.degrees(substrate.incidence_angle) == pytest.approx(8.7, abs=0.05)
    assert load(hexagonal).substrate.asymmetry == 0
    for text in (asymmetric, hexagonal):
        sample = load(text)
        scan, _ = sample.simulate(sample.simulated_values({}, counts=1e5), counts=1e5)
        sample.check_scan(scan)


def test_reference_states_the_default_bounds():
    text = REFERENCE.read_text(encoding="utf-8")
    table = re.findall(
        r"^\| `([^|]+?)`([^|]*) \| `(\w+)`[^|]* \| (\S+) \| (\S+) to (\S+) \| (.+) \|$", text, re.MULTILINE
    )
    stated = {(name + more, key): (unit, float(a), float(b)) for name, more, key, unit, a, b, _ in table}
    nodes, offsets = (0, 1), (-1, 0, 1)
    families = {
        "double-gaussian": DoubleGaussian(),
        "b-spline (strain)": CubicBSpline(number=1),
        "asymmetric-pseudo-voigt": AsymmetricPseudoVoigt(plateau=True),
        "tabulated": Tabulated(depth=nodes, value=nodes),
        "tied": TiedDisorder(),
        "amorphous": AmorphousLayer(),
        "pseudo-voigt and the other peaks": PseudoVoigt(),
        "split-pseudo-voigt": SplitPseudoVoigt(),
        "windowed-lorentzian": WindowedLorentzian(),
        "measured": MeasuredResolution(offset_arcsec=offsets, value=(0, 1, 0)),
    }
    expected = {
        (name, spec.name): (spec.unit, spec.lower, spec.upper)
        for name, family in families.items()
        for spec in family.parameters
    }
    for spec in CubicBSpline(number=1, quantity="debye_waller").parameters:
        expected["b-spline (E)", f"disorder_{spec.name}"] = (spec.unit, spec.lower, spec.upper)
    width = MonochromatorCurve(offset_arcsec=offsets, reflectivity=((0, 1, 0), (0, 1, 0))).parameters[0]
    expected["monochromator-curve", width.name] = (width.unit, width.lower, width.upper)
    assert stated == expected


def test_reference_states_the_defaults(load):
    text = REFERENCE.read_text(encoding="utf-8")
    for key, value in load().settings().items():
        if key in BARE or not isinstance(value, float | bool | str) or value == "":
            continue
        stated = re.search(rf"^\| `{key}` \|.*\| `?(.*?)`? \|$", text, re.MULTILINE)[1]
        assert (float(stated) if isinstance(value, float) else stated) == (
            value if isinstance(value, float) else str(value).lower()
        ), key


def test_a_relative_scan_that_ends_before_the_peak_is_refused():
    # Cut before the substrate's peak, the strained layer's own peak is the strongest point.
    angle = np.arange(-1200.0, -200.0, 4.0)
    scan = Scan(
        angle=angle,
        intensity=np.rint(5000 * np.exp(-(((angle + 740) / 60) ** 2)) + 20),
        axis="delta-theta-arcsec",
        intensity_kind="counts",
        name="cut",
    )
    with pytest.raises(ValueError, match="substrate's peak, must lie in it"):
        load_sample("ggg444").check_scan(scan)


def test_the_free_strain_comes_from_elastic_constants_given_or_built_in(load):
    ratio = load_sample("ggg444").experiment().expansion_ratio
    assert ratio == pytest.approx(1.765, abs=0.001)
    own = load(elastic_GPa={"C11": 200.0, "C12": 100.0, "C44": 50.0}).experiment().expansion_ratio
    # An isotropic crystal of Poisson's ratio 1/3.
    assert own == pytest.approx(2.0)
    # Under another name, too.
    assert load(crystal="Gd3Ga5O12").experiment().expansion_ratio == pytest.approx(1.765, abs=0.001)
    # Of the film, which is what is damaged.
    film = load_sample("yig-on-ggg444").experiment().expansion_ratio
    assert film == pytest.approx(3 * (268 + 2 * 110.6) / (268 + 2 * 110.6 + 4 * 76.6))
    assert load_sample("ysz400").experiment().expansion_ratio is None
