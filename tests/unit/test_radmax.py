from pathlib import Path

import numpy as np
import pytest

from strainscope.sample import load_sample, radmax_sample

DEPTH = 2000.0
PROJECT = f"""[Crystal]
crystal_name = ZrO2
[Data files]
input_dw = C:\\Users\\someone\\RaDMaX\\dw.txt
input_strain = <WRITE PATH HERE>\\strain.txt
xrd_data = /home/someone/curve.txt
[Experiment]
wavelength = 1.5406
resolution = 0.013
shape = 0.1
background = 1e-05
[Material]
h = 4.0
k = 0.0
l = 0.0
crystal_symmetry = 0.0
a = 5.1454
b = 5.1454
c = 5.1454
[Strain and DW]
model = 0.0
strain_basis_func = 6.0
dw_basis_func = 6.0
damaged_depth = {DEPTH}
number_slices = 60.0
[Bspline Bounds]
strain_min = -1.0
strain_max = 1.0
"""
STRAIN = [0.14, 0.52, 0.6, 0.55, 0.57, -0.82]
FACTORS = [1.0, 0.66, 0.83, 0.72, 0.87, 1.0]
PEAK = [1.97, 0.146, 0.024, 0.123, 0.08, 0.9, 0.03]
FACTOR_PEAK = [0.5, 0.2, 0.1, 0.15, 0.1, 0.3, 0.85]


@pytest.fixture
def make(tmp_path):
    def run(project=PROJECT, strain=STRAIN, factors=FACTORS, **options):
        (tmp_path / "project.ini").write_text(project)
        (tmp_path / "strain.txt").write_text("".join(f"{x:.8f}\n" for x in strain))
        (tmp_path / "dw.txt").write_text("".join(f"{x:.8f}\n" for x in factors))
        (tmp_path / "sample.yaml").write_text(radmax_sample(tmp_path / "project.ini", **options))
        return load_sample(str(tmp_path / "sample.yaml"))

    return run


def basis(z):
    """Cubic B-spline on 0 to 4, piece by piece."""
    pieces = [
        z**3 / 6,
        2 / 3 + z * (-2 + z * (2 - z / 2)),
        -22 / 3 + z * (10 + z * (-4 + z / 2)),
        32 / 3 + z * (-8 + z * (2 - z / 6)),
    ]
    return 0.0 if not 0 < z < 4 else pieces[min(3, int(z))]


def spline(height, weights):
    cells = len(weights) - 3
    return sum(weight * basis(height * cells / DEPTH - i + 3) for i, weight in enumerate(weights))


def peak(height, numbers, limit):
    top, place, deep, surface, eta_deep, eta_surface, plateau = numbers
    above = height > place * DEPTH
    width, eta, level = (surface, eta_surface, plateau) if above else (deep, eta_deep, limit)
    x = (height - place * DEPTH) / (0.5 * width * DEPTH)
    return (top - level) * (eta / (1 + x**2) + (1 - eta) * np.exp(-np.log(2) * x**2)) + level


def profiles(sample, depths):
    """Strain and E of a sample at its starts."""
    values = sample.simulated_values({})
    pair = sample.experiment().profile
    both = np.array([[values[spec.name] for spec in pair.parameters]])
    strain, factor = pair.evaluate(depths[None, :], both)
    return strain[0], factor[0]


DEPTHS = np.linspace(1.0, DEPTH - 1, 57)
HEIGHTS = DEPTH - DEPTHS


def test_smooth_splines_are_the_same_curves(make):
    sample = make()
    strain, factor = profiles(sample, DEPTHS)
    np.testing.assert_allclose(strain, [spline(h, [0, 0, 0, *STRAIN]) / 100 for h in HEIGHTS], atol=1e-9)
    np.testing.assert_allclose(factor, [spline(h, [1, 1, 1, *FACTORS]) for h in HEIGHTS], atol=1e-9)


def test_settings_are_the_projects(make):
    sample = make()
    assert (sample.crystal, sample.reflection, sample.wavelength) == ("ZrO2", (4, 0, 0), 1.5406)
    assert sample.substrate.d_spacing == pytest.approx(5.1454 / 4)
    assert sample.strain.weight_range == (-0.01, 0.01)
    assert sample.fit["fwhm_arcsec"].start == pytest.approx(46.8)
    assert sample.scan.axis == "two-theta-deg"


def test_a_pseudo_voigt_is_the_same_curve_and_its_disorder_a_table(make):
    sample = make(PROJECT.replace("model = 0.0", "model = 2.0"), PEAK, FACTOR_PEAK)
    assert sample.strain.family == "asymmetric-pseudo-voigt"
    strain, factor = profiles(sample, DEPTHS)
    np.testing.assert_allclose(strain, [peak(h, PEAK, 0.0) / 100 for h in HEIGHTS], atol=1e-8)
    np.testing.assert_allclose(factor, [peak(h, FACTOR_PEAK, 1.0) for h in HEIGHTS], atol=5e-3)


def test_a_pseudo_voigt_fades_from_the_damaged_depth_on(make):
    project = PROJECT.replace("model = 0.0", "model = 2.0").replace(str(DEPTH), "1234.56789")
    sample = make(project, [1.97, 0.0, *PEAK[2:]], FACTOR_PEAK)
    assert sample.strain.build().spec("centre").upper == pytest.approx(1234.56789)
    assert sample.fit["centre"].start == pytest.approx(1234.56789)


def test_a_maximum_below_the_damaged_depth_becomes_a_table(make):
    project = PROJECT.replace("model = 0.0", "model = 2.0")
    assert make(project, [1.97, -0.1, *PEAK[2:]], FACTOR_PEAK).strain.family == "tabulated"


@pytest.mark.parametrize("model", ["1.0", "2.0"])
def test_what_has_no_counterpart_becomes_a_table(make, model):
    numbers = STRAIN if model == "1.0" else [*PEAK[:5], 1.1, 0.03]
    sample = make(
        PROJECT.replace("model = 0.0", f"model = {model}"), numbers, FACTORS if model == "1.0" else PEAK
    )
    assert sample.strain.family == sample.disorder.family == "tabulated"
    strain, _ = profiles(sample, DEPTHS)
    expected = [spline(h, numbers) if model == "1.0" else peak(h, numbers, 0.0) for h in HEIGHTS]
    np.testing.assert_allclose(strain, np.array(expected) / 100, atol=2e-4)


def test_older_projects_have_no_model_and_other_names_of_bounds(make):
    older = (
        PROJECT.replace("model = 0.0\n", "")
        .replace("strain_min", "min_strain")
        .replace("strain_max", "max_strain")
    )
    assert make(older).strain.weight_range == (-0.01, 0.01)


def test_files_may_be_named(make, tmp_path):
    (tmp_path / "other.txt").write_text("0.2\n0.3\n")
    assert make().strain.number == 6
    text = radmax_sample(tmp_path / "project.ini", strain=tmp_path / "other.txt")
    assert "number: 2" in text


@pytest.mark.parametrize(
    ("project", "message"),
    [
        ("hello\n", "this is no project of RaDMaX"),
        ("[a]\nb = 1\n", "crystal_name is missing"),
        (
            PROJECT.replace("ZrO2", "Unobtainium"),
            "crystal_name = 'Unobtainium' is not built in; give its CIF",
        ),
        (PROJECT.replace("model = 0.0", "model = 7"), "model = 7; it must be 0"),
        (
            PROJECT.replace("damaged_depth = 2000.0", "damaged_depth = -1"),
            "damaged_depth = -1; it must be a number of",
        ),
        (PROJECT.replace("damaged_depth = 2000.0\n", ""), "damaged_depth is missing"),
        (PROJECT.replace("resolution = 0.013", "resolution = x"), "resolution = 'x'; it must be a number"),
        (PROJECT.replace("h = 4.0", "h = 1.0"), "reflection"),
        (PROJECT.replace("model = 0.0", "<<<<<<< HEAD"), "this is no project of RaDMaX"),
    ],
)
def test_what_is_wrong_with_a_project_is_one_line(make, tmp_path, project, message):
    with pytest.raises(ValueError, match=message) as caught:
        make(project)
    assert str(caught.value).startswith(f"{tmp_path / 'project.ini'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "strain", "factors", "message"),
    [
        ("0.0", STRAIN, [1.2, 1.0], r"dw.txt: weight 1 of E is 1.2; here it must lie in 0 to 1"),
        ("2.0", STRAIN, PEAK, "strain.txt: 6 coefficients; a pseudo-Voigt of RaDMaX has 7"),
        ("1.0", STRAIN[:3], PEAK, "strain.txt: 3 coefficients; B-splines that end abruptly have at least 4"),
        ("0.0", [1e300, float("inf")], FACTORS, "strain.txt: '1000.*' is no number"),
        ("0.0", [], FACTORS, "strain.txt: .*empty"),
    ],
)
def test_what_is_wrong_with_coefficients_is_one_line(make, model, strain, factors, message):
    with pytest.raises(ValueError, match=message):
        make(PROJECT.replace("model = 0.0", f"model = {model}"), strain, factors)


def test_coefficients_lie_beside_the_project_wherever_it_came_from(make, tmp_path):
    make(PROJECT.replace("strain.txt", "..\\..\\etc\\strain.txt"))
    (tmp_path / "strain.txt").unlink()
    with pytest.raises(FileNotFoundError, match=f"{tmp_path / 'strain.txt'}: there is no such"):
        radmax_sample(Path(tmp_path / "project.ini"))
