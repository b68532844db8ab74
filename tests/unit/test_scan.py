import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strainscope.scan import MIN_POINTS, Scan, estimate_counts_per_unit


def scan(**changes):
    fields = {
        "angle": np.linspace(-600.0, 200.0, 201),
        "intensity": np.arange(201.0),
        "axis": "delta-theta-arcsec",
        "intensity_kind": "counts",
        "name": "test",
    }
    return Scan(**{**fields, **changes})


def expected_counts(points=400, background=1.0, peak=1e5):
    """A steep peak five decades above the background, and a fringed strained region; step 4 arcsec."""
    angle = 4.0 * (np.arange(points) - 0.75 * points)
    fringes = np.exp(-0.5 * ((angle + 450) / 150) ** 2) * (1 + 0.8 * np.cos(angle / 9))
    tails = 0.03 / (1 + (angle / 25) ** 2)
    return angle, peak * (np.exp(-0.5 * (angle / 16) ** 2) + tails + 0.02 * fringes) + background


def measured(rng, *, scale=1.0, change=lambda counts: counts, **model):
    angle, expected = expected_counts(**model)
    intensity = change(rng.poisson(expected) / scale)
    return scan(angle=angle, intensity=intensity, intensity_kind="normalised")


def test_sorts_by_angle_and_keeps_repeated_angles_in_file_order():
    angle = np.concatenate([np.arange(100.0, 40.0, -1.0), np.arange(30.0, 51.0)])
    intensity = np.arange(angle.size, dtype=float)
    result = scan(angle=angle, intensity=intensity, sigma=intensity + 1)
    order = sorted(range(angle.size), key=lambda k: angle[k])
    assert result.angle.tolist() == [angle[k] for k in order]
    assert result.intensity.tolist() == [intensity[k] for k in order]
    np.testing.assert_array_equal(result.sigma, result.intensity + 1)
    assert result.step == 1.0


def test_neither_shares_nor_lends_its_arrays():
    angle = np.linspace(0.0, 400.0, 201)
    result = scan(angle=angle)
    angle[0] = -1.0
    assert result.angle[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        result.intensity[0] = 5.0


def with_value(value, index=3):
    column = np.arange(1.0, 202.0)
    column[index] = value
    return column


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axis": "theta"}, "axis = 'theta'; it must be one of delta-theta-arcsec"),
        ({"intensity_kind": "cps"}, "intensity_kind = 'cps'; it must be one of counts"),
        ({"angle": with_value(np.nan)}, r"angle\[3\] = nan"),
        ({"intensity": with_value(np.inf)}, r"intensity\[3\] = inf"),
        ({"sigma": with_value(-np.inf)}, r"sigma\[3\] = -inf"),
        ({"intensity": np.ones(200)}, "differ in length: angle 201, intensity 200"),
        ({"intensity": np.ones((201, 1))}, "intensity has 2 dimensions"),
        (
            {"angle": np.arange(MIN_POINTS - 1.0) * 9, "intensity": np.ones(MIN_POINTS - 1)},
            f"{MIN_POINTS - 1} points; a scan needs at least {MIN_POINTS}",
        ),
        ({"angle": np.zeros(1), "intensity": np.ones(1)}, "^1 point; a scan needs at least"),
        ({"intensity": with_value(-2.0)}, "intensity = -2 at -588 arcsec; .* >= 0"),
        ({"intensity": np.zeros(201)}, "every intensity is 0"),
        ({"intensity": with_value(1e16)}, r"intensity = 1e\+16 at -588 arcsec"),
        ({"intensity": np.full(201, 1e-7)}, "intensity = 1e-07 at -600 arcsec is no whole number of counts"),
        ({"sigma": with_value(0.0)}, "sigma = 0 at -588 arcsec"),
        ({"intensity": with_value(4.5)}, "intensity = 4.5 at -588 arcsec .* --intensity normalised"),
        ({"angle": np.linspace(-1, 1, 201)}, "spans 2 arcsec; .* more than 30 arcsec. .*--axis omega-deg"),
        ({"angle": np.linspace(0, 36000, 201)}, "spans 36000 arcsec; .* less than 36000 arcsec"),
        (
            {"angle": np.linspace(-1, 1, 201), "axis": "omega-deg"},
            "from -1 to 1 deg; .* between 0 and 90 deg",
        ),
        ({"angle": np.linspace(89, 90, 201), "axis": "omega-deg"}, "from 89 to 90 deg"),
        ({"angle": np.linspace(0, 9, 201), "axis": "two-theta-deg"}, "from 0 to 9 deg; .* 180 deg"),
        ({"angle": np.linspace(72, 72.004, 201), "axis": "two-theta-deg"}, "more than 0.005 deg"),
    ],
)
def test_refuses_what_is_no_scan_and_says_why_in_one_line(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        scan(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("axis", "step", "angle", "text"),
    [
        ("delta-theta-arcsec", 4.98, 124.565, "124.6 arcsec"),
        ("delta-theta-arcsec", 25.0, -0.00646, "0 arcsec"),
        ("two-theta-deg", 0.002, 73.57034, "73.5703 deg"),
    ],
)
def test_an_angle_is_shown_to_a_tenth_of_the_step(axis, step, angle, text):
    first = 0 if axis == "delta-theta-arcsec" else 73.0
    assert scan(angle=first + step * np.arange(201), axis=axis).shown(angle) == text


def test_smallest_scan_is_accepted():
    assert scan(angle=np.arange(MIN_POINTS) * 2.0, intensity=np.ones(MIN_POINTS)).angle.size == MIN_POINTS


def test_a_fraction_of_a_count_is_accepted_as_normalised():
    assert scan(intensity=with_value(4.5), intensity_kind="normalised").intensity[3] == 4.5


def test_the_three_axes_of_one_measurement_give_the_same_glancing_angles():
    bragg_angle, asymmetry = np.deg2rad(25.6), np.deg2rad(3.0)
    degrees = np.linspace(-0.2, 0.1, 201)
    scans = [
        scan(angle=degrees * 3600),
        scan(angle=25.6 - 3.0 + degrees, axis="omega-deg"),
        scan(angle=2 * (25.6 + degrees), axis="two-theta-deg"),
    ]
    for each in scans:
        theta = each.theta(bragg_angle=bragg_angle, asymmetry=asymmetry)
        np.testing.assert_allclose(theta, np.deg2rad(22.6 + degrees), rtol=1e-13)
        angle = each.angle_from_theta(theta, bragg_angle=bragg_angle, asymmetry=asymmetry)
        np.testing.assert_allclose(angle, each.angle, rtol=1e-12, atol=1e-9)


def test_impossible_geometry_is_refused():
    with pytest.raises(ValueError, match=r"bragg_angle = 25.6 rad; .*π/2"):
        scan().theta(bragg_angle=25.6)
    with pytest.raises(ValueError, match="asymmetry = 0.5 rad"):
        scan().theta(bragg_angle=0.4, asymmetry=0.5)
    with pytest.raises(ValueError, match="glancing angles from -"):
        scan().theta(bragg_angle=1e-4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("points", "background", "peak"), [(400, 1, 1e5), (300, 5, 1e6), (1000, 100, 1e5), (600, 3e3, 1e8)]
)
def test_counts_per_unit_from_scatter_alone(points, background, peak, seed):
    rng = np.random.default_rng(seed)
    # The last digits vary, so that only the scatter tells.
    factors = [
        estimate_counts_per_unit(
            measured(
                rng,
                scale=7310.0,
                change=lambda y: y * (1 + 1e-5 * rng.standard_normal(y.size)),
                points=points,
                background=background,
                peak=peak,
            )
        )
        for _ in range(7)
    ]
    assert np.median(factors) == pytest.approx(7310.0, rel=0.3)


@pytest.mark.parametrize("digits", [4, 6, 17])
def test_counts_per_unit_are_exact_where_single_counts_show(digits):
    rng = np.random.default_rng(3)

    def printed(intensity):
        return np.array([float(f"{value:.{digits}g}") for value in intensity])

    assert estimate_counts_per_unit(measured(rng, scale=53063.0, change=printed)) == pytest.approx(
        53063.0, rel=1e-3
    )


def test_rounding_to_a_fixed_number_of_decimals_is_not_taken_for_counts():
    rng = np.random.default_rng(4)
    result = measured(rng, scale=400.0, change=lambda y: np.round(y * 1.0123, 2), background=300.0)
    assert estimate_counts_per_unit(result) == pytest.approx(400 / 1.0123, rel=0.4)


def test_coarse_converter_steps_are_not_taken_for_counts():
    rng = np.random.default_rng(5)
    angle, expected = expected_counts(background=3000.0)
    noisy = expected * (1 + 0.1 * rng.standard_normal(expected.size))
    result = scan(angle=angle, intensity=np.abs(np.round(noisy / 3.7) * 3.7), intensity_kind="normalised")
    assert estimate_counts_per_unit(result) < 0.1


@pytest.mark.parametrize(
    "weights",
    [np.full(3, 1 / 3), np.full(5, 0.2), np.array([0.25, 0.5, 0.25]), np.array([-3, 12, 17, 12, -3]) / 35],
)
def test_counts_per_unit_see_through_smoothing(weights):
    rng = np.random.default_rng(6)

    def smoothed(intensity):
        return np.abs(np.pad(np.convolve(intensity, weights, "valid"), weights.size // 2, mode="edge"))

    factors = [
        estimate_counts_per_unit(measured(rng, scale=250.0, change=smoothed, points=1000, background=100.0))
        for _ in range(7)
    ]
    assert np.median(factors) == pytest.approx(250.0, rel=0.4)


def test_counts_per_unit_follow_the_unit():
    rng = np.random.default_rng(7)
    one = measured(rng, change=lambda y: y * (1 + 1e-5 * rng.standard_normal(y.size)))
    for unit in (1e-100, 1e12):
        other = scan(angle=one.angle, intensity=one.intensity / 1e7 * unit, intensity_kind="normalised")
        assert estimate_counts_per_unit(other) * unit / 1e7 == pytest.approx(estimate_counts_per_unit(one))


@pytest.mark.parametrize("points", [20, 400])
def test_a_curve_without_noise_has_no_counts_per_unit(points):
    with pytest.raises(ValueError, match="scatter too little"):
        estimate_counts_per_unit(scan(angle=4.0 * np.arange(points), intensity=np.full(points, 7.0)))
    smooth = 1e-3 + np.cos(np.arange(points) / 100) ** 2
    with pytest.raises(ValueError, match="scatter too little"):
        estimate_counts_per_unit(
            scan(angle=4.0 * np.arange(points), intensity=smooth, intensity_kind="normalised")
        )


@settings(deadline=None, max_examples=150)
@given(values=st.lists(st.one_of(st.floats(0, 1e15), st.integers(0, 9).map(float)), min_size=20, max_size=60))
def test_counts_per_unit_are_positive_or_refused(values):
    intensity = np.array([1.0, *values])
    result = scan(angle=4.0 * np.arange(intensity.size), intensity=intensity, intensity_kind="normalised")
    assert refused(result) or 0 < estimate_counts_per_unit(result) < np.inf


def refused(result):
    try:
        estimate_counts_per_unit(result)
    except ValueError as error:
        return "scatter too little" in str(error)
    return False
