"""Resolution, spectrum, polarization and smearing: integrals, known convolutions, derivatives, limits."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from strainscope.crystal import ARCSEC, builtin_crystal, emission_lines, reflection
from strainscope.instrument import (
    Gaussian,
    Lorentzian,
    MeasuredResolution,
    MonochromatorCurve,
    NoResolution,
    PseudoVoigt,
    Smearing,
    Spectrum,
    SplitPseudoVoigt,
    monochromator_polarization,
    poisson_deviance,
    sample,
    sample_gradient,
    sample_transposed,
    sigma_of_counts,
    spectrum_on_axis,
)


def darwin_curve(offset, width, absorption=0.05):
    """Reflectivity of a thick perfect crystal; absorption makes the side of larger angles weaker."""
    eta = 2 * offset / width + 1j * absorption * (1 + 0.9 * 2 * offset / width / (1 + abs(offset) / width))
    root = np.sqrt(eta - 1) * np.sqrt(eta + 1)
    return np.minimum(abs(eta - root) ** 2, abs(eta + root) ** 2)


NODES = np.linspace(-200, 200, 4001)
MONOCHROMATOR = MonochromatorCurve(
    offset_arcsec=NODES, reflectivity=[darwin_curve(NODES, 6.6), darwin_curve(NODES, 3.9)]
)
MEASURED = MeasuredResolution(
    offset_arcsec=np.linspace(-90, 110, 101), value=np.exp(-((np.linspace(-90, 110, 101) / 20) ** 2))
)
FAMILIES = {
    "gaussian": (Gaussian(), [12.0]),
    "lorentzian": (Lorentzian(), [9.0]),
    "pseudo_voigt": (PseudoVoigt(), [30.0, 0.3]),
    "split": (SplitPseudoVoigt(), [20.0, 31.0, 0.1, 0.6]),
    "monochromator": (MONOCHROMATOR, [5.0]),
    "measured": (MEASURED, [1.2]),
}
EVERY = pytest.mark.parametrize(("family", "values"), FAMILIES.values(), ids=FAMILIES)
ANALYTIC = pytest.mark.parametrize(
    ("family", "values"), [FAMILIES[name] for name in ("gaussian", "lorentzian", "pseudo_voigt", "split")]
)
LAGS = np.arange(-3000.0, 3001.0)


def smearing(resolution, *, start=-300.0, step=1.0, number=601, **other):
    return Smearing(start_arcsec=start, step_arcsec=step, number=number, resolution=resolution, **other)


def both(curve):
    """The same reflectivity for sigma and pi."""
    return np.stack((curve, curve), axis=-2)


def gaussian(x, fwhm):
    return 2 / fwhm * math.sqrt(math.log(2) / math.pi) * np.exp(-math.log(2) * (2 * x / fwhm) ** 2)


def lorentzian(x, fwhm):
    return fwhm / (2 * math.pi) / (x**2 + fwhm**2 / 4)


# Resolution functions


@ANALYTIC
def test_the_integral_is_one(family, values):
    def density(x):
        return family.kernel(np.array([x]), values)[0, 0]

    total = sum(quad(density, *ends, epsabs=1e-10)[0] for ends in ((-math.inf, 0), (0, math.inf)))
    assert total == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize(("family", "values"), [FAMILIES["monochromator"], FAMILIES["measured"]])
@pytest.mark.parametrize("step", [0.3, 1.0, 5.0, 37.0])
def test_a_table_keeps_its_integral_on_any_grid(family, values, step):
    lags = step * np.arange(-4000, 4001)
    total = step * family.kernel(lags, values).sum()
    # What lies beyond the lags is the tail of the inverse square.
    beyond = sum(abs(lags[i]) * family.kernel(lags, values)[:, i].sum() for i in (0, -1))
    assert total + beyond == pytest.approx(1, abs=1e-6)


def test_widths_are_full_widths_at_half_maximum():
    for family, values in (FAMILIES["gaussian"], FAMILIES["lorentzian"], FAMILIES["pseudo_voigt"]):
        half = family.width(values) / 2
        low, top, high = family.kernel(np.array([-half, 0, half]), values)[0]
        np.testing.assert_allclose([low, high], top / 2, rtol=1e-14)
    low, top, high = SplitPseudoVoigt().kernel(np.array([-10.0, 0, 15.5]), FAMILIES["split"][1])[0]
    np.testing.assert_allclose([low, high], top / 2, rtol=1e-14)
    assert MEASURED.width([1.0]) == pytest.approx(2 * 20 * math.sqrt(math.log(2)), rel=2e-3)


def test_a_split_pseudo_voigt_is_continuous_and_with_equal_sides_a_pseudo_voigt():
    family, values = FAMILIES["split"]
    below, above = family.kernel(np.array([-1e-9, 1e-9]), values)[0]
    assert below == pytest.approx(above, rel=1e-12)
    np.testing.assert_allclose(
        SplitPseudoVoigt().kernel(LAGS, [30, 30, 0.3, 0.3]), PseudoVoigt().kernel(LAGS, [30, 0.3]), rtol=1e-13
    )
    # A swap of the sides is a mirror.
    np.testing.assert_allclose(
        family.kernel(LAGS, [31, 20, 0.6, 0.1])[0, ::-1], family.kernel(LAGS, values)[0], rtol=1e-13
    )


@EVERY
def test_gradients_are_the_derivatives(family, values):
    lags = np.arange(-400.0, 401.0)
    values = np.array(values)
    gradient = family.kernel_gradient(lags, values)
    assert gradient.shape == (family.kernel(lags, values).shape[0], values.size, lags.size)
    for i, value in enumerate(values):
        h = 2e-3 * value
        steps = np.zeros((4, values.size))
        steps[:, i] = h * np.array([-2, -1, 1, 2])
        kernels = [family.kernel(lags, values + step) for step in steps]
        slope = (kernels[0] - 8 * kernels[1] + 8 * kernels[2] - kernels[3]) / (12 * h)
        # A stretched table has kinks that pass from cell to cell; elsewhere differences are right to 1e-8.
        tolerance = 1e-3 if family is MEASURED else 1e-8
        np.testing.assert_allclose(gradient[:, i], slope, rtol=0, atol=tolerance * abs(slope).max())


def test_the_stretch_gradient_integrates_to_the_change():
    values = np.linspace(1.0, 1.1, 401)
    lags = np.arange(-150.0, 151.0)
    slopes = np.array([MEASURED.kernel_gradient(lags, [s])[0, 0] for s in values])
    change = MEASURED.kernel(lags, [1.1])[0] - MEASURED.kernel(lags, [1.0])[0]
    np.testing.assert_allclose(np.trapezoid(slopes, values, axis=0), change, atol=1e-7)


def test_stretching_a_table_is_reading_it_elsewhere():
    stretched = MEASURED.kernel(2.0 * np.arange(-60, 61), [2.0])
    np.testing.assert_allclose(stretched, MEASURED.kernel(np.arange(-60.0, 61), [1.0]) / 2, rtol=1e-12)


def test_a_table_is_read_in_the_middle_of_the_cells_not_blurred_over_them():
    coarse = MEASURED.kernel(5.0 * np.arange(-20, 21), [1.0])[0]
    expected = gaussian(5.0 * np.arange(-20, 21), 40 * math.sqrt(math.log(2)))
    np.testing.assert_allclose(coarse, expected, atol=2e-3 * expected.max())


def test_a_monochromator_reflects_both_polarizations_by_their_areas():
    kernels = MONOCHROMATOR.kernel(LAGS, [8.0])
    ratio = kernels[1].sum() / kernels[0].sum()
    table = np.array(MONOCHROMATOR.reflectivity)
    tails = 200 * (table[:, 0] + table[:, -1])
    area = np.trapezoid(table, NODES) + tails
    assert ratio == pytest.approx(area[1] / area[0], rel=1e-4)
    # A perfect crystal reflects in proportion to its width.
    assert ratio == pytest.approx(3.9 / 6.6, rel=0.05)


def test_a_monochromators_tails_fall_as_the_inverse_square_beyond_the_table():
    where = np.array([400, 800, 1600, 2990])
    for side in (-1, 1):
        scaled = MONOCHROMATOR.kernel(LAGS, [5.0])[:, LAGS.size // 2 + side * where] * where**2
        np.testing.assert_allclose(scaled, scaled[:, [0, 0, 0, 0]], rtol=2e-4)
    assert (MONOCHROMATOR.kernel(LAGS, [5.0]) > 0).all()


def test_a_table_that_ends_at_zero_ends_there():
    family = MeasuredResolution(offset_arcsec=[-30, -10, 10, 30], value=[0, 1, 1, 0])
    kernel = family.kernel(LAGS, [1.0])[0]
    np.testing.assert_allclose(kernel[abs(LAGS) > 32], 0, atol=1e-18)
    np.testing.assert_allclose(kernel[abs(LAGS) < 8], 1 / 40, rtol=1e-12)


def test_without_width_a_monochromator_is_its_own_mirrored_curve():
    x = np.linspace(-40, 60, 1001)
    bump = np.exp(-(((x - 5) / 8) ** 2)) + 0.3 * np.exp(-(((x - 25) / 6) ** 2))
    family = MonochromatorCurve(offset_arcsec=x, reflectivity=[bump, 0 * x])
    kernel = family.kernel(np.arange(-80.0, 81.0), [0.0])[0]
    assert kernel[80 - 20] > 10 * kernel[80 + 20]
    assert MonochromatorCurve(offset_arcsec=-x[::-1], reflectivity=[bump[::-1], 0 * x]).kernel(
        np.arange(-80.0, 81.0), [0.0]
    )[0] == pytest.approx(kernel[::-1], abs=1e-12)


# Smearing


@EVERY
@pytest.mark.parametrize(
    "lines", [None, Spectrum(shifts_arcsec=(3, 40), weights=(0.6, 0.4), fwhm_arcsec=(1, 7))]
)
def test_the_matrix_is_smearing_and_sampling(family, values, lines):
    weights = None if family.holds_polarization else (0.7, 0.3)
    tool = smearing(family, step=1.5, number=401, spectrum=lines, polarization_weights=weights)
    rng = np.random.default_rng(1)
    curves = rng.random((3, 2, 401))
    positions = np.sort(rng.uniform(-300, 300, 57))
    direct = sample(tool.smear(curves, values), -300, 1.5, positions)
    by_matrix = np.einsum("pmn,cpn->cm", tool.matrix(values, positions), curves)
    np.testing.assert_allclose(by_matrix, direct, rtol=1e-10, atol=1e-12)


@EVERY
def test_weights_go_back_through_sampling_and_smearing(family, values):
    """Σ w I is Σ w' R for every R: the transposed steps are those steps, read the other way."""
    weights = None if family.holds_polarization else (0.7, 0.3)
    tool = smearing(family, step=1.5, number=401, polarization_weights=weights)
    rng = np.random.default_rng(1)
    curve = rng.random((2, 401))
    positions = np.sort(rng.uniform(-300, 300, 57))
    wanted = rng.standard_normal((3, 57))
    on_grid = sample_transposed(wanted, -300, 1.5, 401, positions)
    back = tool.smear_transposed(on_grid, values)
    seen = sample(tool.smear(curve, values), -300, 1.5, positions)
    np.testing.assert_allclose((back * curve).sum(axis=(1, 2)), wanted @ seen, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("fwhm", [40.0, 60.0])
def test_a_monochromator_s_curve_is_seen_whole_on_a_coarse_axis(fwhm):
    """Its plateau is narrower than two steps; behind a Gaussian that is smooth on the axis nothing of it is lost."""
    coarse, fine = 4.7 * np.arange(-60.0, 61), 4.7 / 16 * np.arange(-960.0, 961)
    np.testing.assert_allclose(
        MONOCHROMATOR.kernel(coarse, [fwhm]),
        MONOCHROMATOR.kernel(fine, [fwhm])[:, ::16],
        atol=4e-5 * MONOCHROMATOR.kernel(fine, [fwhm]).max(),
    )


def test_gaussian_widths_add_in_quadrature():
    tool = smearing(Gaussian())
    curve = both(gaussian(tool.angles_arcsec, 30.0))
    expected = gaussian(tool.angles_arcsec, 50.0)
    np.testing.assert_allclose(tool.smear(curve, [40.0]), expected, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("fwhm", [0.2, 0.5, 1.0, 2.0, 3.0])
def test_a_resolution_narrower_than_the_step_still_adds_its_width(fwhm):
    tool = smearing(Gaussian())
    curve = both(gaussian(tool.angles_arcsec, 12.0))
    expected = gaussian(tool.angles_arcsec, math.hypot(12.0, fwhm))
    np.testing.assert_allclose(tool.smear(curve, [fwhm]), expected, atol=4e-6 * expected.max())
    # Left out, it would be missed.
    if fwhm >= 0.5:
        assert abs(curve[0] - expected).max() > 20 * 4e-6 * expected.max()


def test_lorentzian_widths_add_out_to_the_ends_of_the_scan():
    line = Spectrum(shifts_arcsec=(0,), weights=(1,), fwhm_arcsec=(14,))
    tool = smearing(Lorentzian(), start=-2000, number=4001, spectrum=line)
    peak = np.zeros((2, 4001))
    peak[:, 2000] = 1
    np.testing.assert_allclose(tool.smear(peak, [9.0]), lorentzian(tool.angles_arcsec, 23.0), rtol=1e-4)


@pytest.mark.parametrize(("place", "shift"), [(0, 0), (2000, 0), (0, -300), (2000, 300)])
def test_lines_carry_tails_from_one_end_to_the_other(place, shift):
    line = Spectrum(shifts_arcsec=(shift,), weights=(1,), fwhm_arcsec=(14,))
    tool = smearing(Lorentzian(), start=0, number=2001, spectrum=line)
    peak = np.zeros((2, 2001))
    peak[:, place] = 1
    expected = lorentzian(tool.angles_arcsec - place - shift, 23.0)
    np.testing.assert_allclose(tool.smear(peak, [9.0]), expected, rtol=1e-3)


@pytest.mark.parametrize("place", [0, 2000])
def test_a_lorentzian_tail_reaches_the_other_end_and_does_not_come_round(place):
    tool = smearing(Lorentzian(), start=0, number=2001)
    peak = np.zeros((2, 2001))
    peak[:, place] = 1
    expected = lorentzian(tool.angles_arcsec - place, 9.0)
    np.testing.assert_allclose(tool.smear(peak, [9.0]), expected, rtol=1e-9)


@ANALYTIC
def test_smearing_is_the_integral(family, values):
    tool = smearing(family, polarization_weights=(0.8, 0.2))
    x = tool.angles_arcsec
    curve = np.stack((np.exp(-((x / 15) ** 2)), 2 * np.exp(-(((x - 30) / 11) ** 2))))
    found = tool.smear(curve, values)
    fine = np.linspace(-120, 120, 24001)
    mixed = 0.8 * np.exp(-((fine / 15) ** 2)) + 0.4 * np.exp(-(((fine - 30) / 11) ** 2))
    for i in (10, 260, 300, 305, 350, 590):
        direct = np.trapezoid(family.kernel(x[i] - fine, values)[0] * mixed, fine)
        assert found[i] == pytest.approx(direct, rel=2e-5)


def test_a_monochromator_correlates():
    tool = smearing(MONOCHROMATOR, step=0.25, number=2401)
    mono = np.array(MONOCHROMATOR.reflectivity).sum(axis=0)
    area = np.trapezoid(mono, NODES) + 200 * mono[[0, -1]].sum()
    rise, fall = np.flatnonzero(np.diff(np.sign(mono - mono.max() / 2)))[[0, -1]]
    ends = [NODES[i] + 0.1 * (mono.max() / 2 - mono[i]) / (mono[i + 1] - mono[i]) for i in (rise, fall)]
    theta = NODES - sum(ends) / 2  # the zero lies in the middle of the half-maximum points
    smeared = tool.smear(both(darwin_curve(tool.angles_arcsec - 20, 12)), [0.0])
    for delta in (-20, 11, 14, 20, 26, 30, 60):
        # I(Δ) = Σ ∫ R_mono(θ) R_sample(θ + Δ) dθ
        correlation = np.trapezoid(mono * darwin_curve(theta + delta - 20, 12), theta) / area
        assert smeared[1200 + 4 * delta] == pytest.approx(correlation, rel=3e-3)
        if delta in (14, 26):
            convolution = np.trapezoid(mono * darwin_curve(-theta + delta - 20, 12), theta) / area
            assert abs(smeared[1200 + 4 * delta] / convolution - 1) > 2e-2


def test_a_crystal_against_its_twin_gives_a_symmetric_curve():
    """The autocorrelation of any curve is even, however skew the curve."""
    x = np.arange(-300.0, 301.0)
    skew = np.exp(-((x / 9) ** 2)) + 0.4 * np.exp(-(((x - 25) / 6) ** 2))
    twin = MonochromatorCurve(offset_arcsec=x, reflectivity=[skew, 0 * x])
    result = smearing(twin).smear(np.stack((skew, 0 * x)), [0.0])
    top = int(np.argmax(result))
    place = np.linspace(-1, 1, 2001)
    centre = place[np.argmax(sample(result, -top, 1.0, place))]
    around = np.linspace(0, 80, 41)
    left, right = sample(result, -top, 1.0, centre - around), sample(result, -top, 1.0, centre + around)
    np.testing.assert_allclose(left, right, atol=1e-3 * result.max())
    mirrored = smearing(twin).smear(np.stack((skew[::-1], 0 * x)), [0.0])
    assert abs(mirrored - mirrored[::-1]).max() > 0.1 * mirrored.max()


@pytest.mark.parametrize(("step", "tolerance"), [(1.0, 3e-3), (0.25, 2e-4)])
def test_a_finer_grid_changes_little(step, tolerance):
    """Of both: the sampling of the kernel, and that of the reflectivity with its sharp plateau."""
    curves = []
    for h in (step, step / 4):
        tool = smearing(MONOCHROMATOR, start=-600, step=h, number=round(1200 / h) + 1)
        curve = np.stack([darwin_curve(tool.angles_arcsec, width) for width in (12, 7)])
        curves.append(sample(tool.smear(curve, [5.0]), -600, h, np.arange(-500.0, 501)))
    assert abs(np.log10(curves[0] / curves[1])).max() < tolerance


@EVERY
def test_smearing_gradients_are_the_derivatives(family, values):
    tool = smearing(family)
    curve = both(gaussian(tool.angles_arcsec - 7, 20.0))
    gradient = tool.smear_gradient(curve, values)
    assert gradient.shape == (len(values), 601)
    for i, value in enumerate(values):
        h = 1e-4 * value
        step = h * (np.arange(len(values)) == i)
        slope = (tool.smear(curve, values + step) - tool.smear(curve, values - step)) / (2 * h)
        np.testing.assert_allclose(gradient[i], slope, rtol=0, atol=1e-6 * abs(slope).max())


def test_no_resolution_changes_nothing():
    tool = smearing(NoResolution(), polarization_weights=(0.75, 0.25))
    curve = np.random.default_rng(0).random((4, 2, 601))
    np.testing.assert_array_equal(tool.smear(curve, []), 0.75 * curve[:, 0] + 0.25 * curve[:, 1])
    assert tool.smear_gradient(curve, []).shape == (4, 0, 601)
    points = tool.matrix([], [-300, 0.5, 300]) @ np.ones(601)
    np.testing.assert_allclose(points.sum(axis=0), 1, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(0.3, 80), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_smearing_is_linear(first, second, fwhm, share, seed):
    tool = smearing(PseudoVoigt(), number=97)
    a, b = np.random.default_rng(seed).random((2, 2, 97))
    together = tool.smear(first * a + second * b, [fwhm, share])
    apart = first * tool.smear(a, [fwhm, share]) + second * tool.smear(b, [fwhm, share])
    np.testing.assert_allclose(together, apart, atol=1e-12)


def test_float32_stays_float32():
    tool = smearing(MONOCHROMATOR)
    curve = np.stack([darwin_curve(tool.angles_arcsec, w) for w in (12, 7)])
    single, double = tool.smear(curve.astype(np.float32), [9.0]), tool.smear(curve, [9.0])
    assert single.dtype == np.float32
    assert tool.smear_gradient(curve.astype(np.float32), [9.0]).dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=0, atol=3e-7 * double.max())


def test_batches_are_their_curves_and_the_memory_of_transforms_does_not_mix():
    tool = smearing(PseudoVoigt())
    curves = np.random.default_rng(5).random((2, 3, 2, 601))
    settings = [[10.0 + i, 0.1] for i in range(12)]
    first = [tool.smear(curves, values) for values in settings]
    copy = pickle.loads(pickle.dumps(tool))
    assert copy == tool
    assert hash(copy) == hash(tool)
    for values, smeared in zip(settings, first, strict=True):
        np.testing.assert_array_equal(smearing(PseudoVoigt()).smear(curves[1, 2], values), smeared[1, 2])
        np.testing.assert_array_equal(copy.smear(curves, values), smeared)


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="holds its own"):
        smearing(MONOCHROMATOR, polarization_weights=(0.5, 0.5))
    with pytest.raises(ValueError, match="that add to 1"):
        smearing(Gaussian(), polarization_weights=(0.5, 0.6))
    with pytest.raises(ValueError, match="the second > 0 arcsec"):
        smearing(Gaussian(), step=0)
    with pytest.raises(ValueError, match="at least 6 points"):
        smearing(Gaussian(), number=5)
    with pytest.raises(ValueError, match=r"must end in \(2, 601\)"):
        smearing(Gaussian()).smear(np.zeros((2, 600)), [3.0])
    with pytest.raises(ValueError, match="Choose a finer grid"):
        smearing(Gaussian()).smear(np.zeros((2, 601)), [0.01])
    with pytest.raises(ValueError, match="fwhm_arcsec = -1 arcsec; it must be > 0 arcsec"):
        smearing(Gaussian()).smear(np.zeros((2, 601)), [-1.0])
    with pytest.raises(ValueError, match="lorentz_high = 1.2; it must lie in 0 to 1"):
        SplitPseudoVoigt().check([3, 4, 0.5, 1.2])
    with pytest.raises(ValueError, match=r"offset_arcsec\[2\] = 1 arcsec"):
        MeasuredResolution(offset_arcsec=[0, 1, 1], value=[0, 1, 0])
    with pytest.raises(ValueError, match="last value is above half"):
        MeasuredResolution(offset_arcsec=[0, 1, 2], value=[0, 1, 1])
    with pytest.raises(ValueError, match="they must match"):
        MonochromatorCurve(offset_arcsec=[0, 1, 2], reflectivity=[[0, 1, 0], [0, 1]])
    with pytest.raises(ValueError, match="it must be >= 0 everywhere"):
        MeasuredResolution(offset_arcsec=[0, 1, 2], value=[-1, 1, 0])
    with pytest.raises(ValueError, match="positions.1. = 301 arcsec"):
        smearing(Gaussian()).matrix([9.0], [0, 301])


# Interpolation


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 35), min_size=1, max_size=20))
def test_interpolation_is_exact_for_degree_five(positions):
    positions = np.array(positions)
    grid = np.linspace(-5, 35, 21)
    polynomial = np.polynomial.Polynomial([1, -2, 0.5, 0.1, -0.01, 0.002], domain=(-5, 35))
    np.testing.assert_allclose(
        sample(polynomial(grid), -5, 2.0, positions), polynomial(positions), atol=1e-12
    )
    slopes = sample_gradient(np.stack((polynomial(grid), grid)), -5, 2.0, positions)
    np.testing.assert_allclose(slopes[0], polynomial.deriv()(positions), atol=1e-12)
    np.testing.assert_allclose(slopes[1], 1, rtol=1e-12)


def test_interpolation_gives_the_nodes_themselves_and_their_type():
    values = np.random.default_rng(2).random((3, 11)).astype(np.float32)
    read = sample(values, 0.3, 0.1, 0.3 + 0.1 * np.arange(11))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, values, rtol=1e-6)
    exact = sample(values.astype(float), 0, 1, np.arange(11))
    np.testing.assert_allclose(exact, values, rtol=1e-13)


@pytest.mark.parametrize("position", [-0.01, 10.01, math.nan])
def test_interpolation_stays_inside_the_grid(position):
    with pytest.raises(ValueError, match="it must lie within the grid, 0 to 10 arcsec"):
        sample(np.zeros(11), 0.0, 1.0, [position])


# Spectrum and polarization


def test_kalpha_gives_two_peaks_two_to_one():
    lines = emission_lines("CuKa")
    garnet = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength=lines[0][0])
    spectrum = spectrum_on_axis(lines, reference_wavelength=lines[0][0], bragg_angle=garnet.bragg_angle)
    second = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength=lines[1][0])
    apart = (second.bragg_angle - garnet.bragg_angle) / ARCSEC
    assert spectrum.shifts_arcsec == pytest.approx((0, apart))
    # To first order, with tan θ.
    linear = math.tan(garnet.bragg_angle) * (lines[1][0] / lines[0][0] - 1) / ARCSEC
    assert spectrum.shifts_arcsec[1] == pytest.approx(linear, rel=5e-3)
    assert spectrum.fwhm_arcsec[0] == pytest.approx(
        math.tan(garnet.bragg_angle) * lines[0][2] / lines[0][0] / ARCSEC
    )
    sharp = Spectrum(shifts_arcsec=(0, apart), weights=(2 / 3, 1 / 3), fwhm_arcsec=(0, 0))
    tool = smearing(Gaussian(), start=-500, number=2001, spectrum=sharp)
    peak = np.zeros((2, 2001))
    peak[:, 500] = 1
    smeared = tool.smear(peak, [20.0])
    x = tool.angles_arcsec
    expected = 2 / 3 * gaussian(x, 20) + 1 / 3 * gaussian(x - apart, 20)
    np.testing.assert_allclose(smeared, expected, atol=1e-6 * expected.max())
    assert smeared[x > 120].sum() == pytest.approx(1 / 3, rel=1e-6)


def test_a_matching_monochromator_takes_the_dispersion_away_or_doubles_it():
    lines = emission_lines("CuKa")
    angle = {"reference_wavelength": lines[0][0], "bragg_angle": 0.5, "monochromator_bragg_angle": 0.5}
    none, twice = spectrum_on_axis(lines, **angle), spectrum_on_axis(lines, **angle, dispersive=True)
    alone = spectrum_on_axis(lines, reference_wavelength=lines[0][0], bragg_angle=0.5)
    assert none.shifts_arcsec == none.fwhm_arcsec == (0, 0)
    assert twice.shifts_arcsec == pytest.approx([2 * x for x in alone.shifts_arcsec])
    assert twice.fwhm_arcsec == pytest.approx([2 * x for x in alone.fwhm_arcsec])
    plain, spread = smearing(Gaussian()), smearing(Gaussian(), spectrum=none)
    curve = both(gaussian(plain.angles_arcsec, 15))
    np.testing.assert_allclose(spread.smear(curve, [9.0]), plain.smear(curve, [9.0]), atol=1e-15)


@pytest.mark.parametrize("fwhm", [0.0, 0.01, 0.3, 1.0, 6.0])
@pytest.mark.parametrize("shift", [0.0, 0.37, -20.5])
def test_a_line_keeps_its_area_and_place_whatever_its_width(fwhm, shift):
    lags = np.arange(-500.0, 501.0)
    line = Spectrum(shifts_arcsec=(shift,), weights=(1,), fwhm_arcsec=(fwhm,))
    spread = line.broaden(gaussian(lags, 15)[None], 1.0)[0]
    beyond = fwhm / math.pi / 500
    assert spread.sum() + beyond == pytest.approx(1, abs=1e-4 * fwhm + 1e-12)
    fine = shift + np.linspace(-400, 400, 400001)
    for lag in (-30, 0, 11, 100):
        at = gaussian(lag - shift, 15)
        if fwhm:
            mass = np.diff(np.arctan(2 * (fine - shift) / fwhm)) / math.pi
            at = gaussian(lag - 0.5 * (fine[1:] + fine[:-1]), 15) @ mass
        assert spread[500 + lag] == pytest.approx(at, abs=1e-3 * beyond + 2e-6)


def test_spectra_refuse_nonsense():
    with pytest.raises(ValueError, match="add to 1"):
        Spectrum(shifts_arcsec=(0,), weights=(0.5,), fwhm_arcsec=(0,))
    with pytest.raises(ValueError, match="one of each a line"):
        Spectrum(shifts_arcsec=(0, 1), weights=(1,), fwhm_arcsec=(0,))
    with pytest.raises(ValueError, match="widths must be >= 0"):
        Spectrum(shifts_arcsec=(0,), weights=(1,), fwhm_arcsec=(-1,))
    with pytest.raises(ValueError, match="must be finite|every number"):
        Spectrum(shifts_arcsec=(math.nan,), weights=(1,), fwhm_arcsec=(0,))
    with pytest.raises(ValueError, match="none of weight"):
        spectrum_on_axis([], reference_wavelength=1.5, bragg_angle=0.5)
    with pytest.raises(ValueError, match="has no reflection"):
        spectrum_on_axis([(4.0, 1.0, 0.0)], reference_wavelength=1.5, bragg_angle=0.5)


def test_polarization_behind_a_monochromator():
    assert monochromator_polarization(0.3, None) == (0.5, 0.5)
    assert monochromator_polarization(math.pi / 4) == pytest.approx((1, 0))
    assert monochromator_polarization(math.pi / 6) == pytest.approx((2 / 3, 1 / 3))
    assert monochromator_polarization(math.pi / 6, "mosaic") == pytest.approx((4 / 5, 1 / 5))
    with pytest.raises(ValueError, match="'dynamical', 'mosaic' or None"):
        monochromator_polarization(0.3, "perfect")


# Counts


def test_deviance_is_zero_at_the_counts_and_chi_squared_nearby():
    n = np.array([0, 1, 40, 1_000_000])
    np.testing.assert_array_equal(poisson_deviance(n, n), 0)
    np.testing.assert_allclose(poisson_deviance(n[3], n[3] + 500.0), 500**2 / n[3], rtol=1e-3)
    np.testing.assert_allclose(poisson_deviance(0, 3.5), 7.0)
    np.testing.assert_allclose(poisson_deviance(10, 5.0), 2 * (10 * math.log(2) - 5))
    assert poisson_deviance(1, 0) == math.inf
    np.testing.assert_array_equal(sigma_of_counts([0, 1, 100]), [1, 1, 10])
    with pytest.raises(ValueError, match="expected = -2 counts"):
        poisson_deviance(1, [3, -2])
    with pytest.raises(ValueError, match="counts = -1"):
        poisson_deviance(-1, 3)
