"""From a profile to expected intensity: exact derivatives, and the numbers that a direct calculation gives."""

from dataclasses import replace

import numpy as np
import pytest

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import choose_sublayers, coefficients, rocking_curve, stack_from_reflections
from strainscope.diffraction.engine import reflectivities
from strainscope.diffraction.sublayers import gauss_depths
from strainscope.experiment import SCALE_PARAMETERS, Experiment, ScanModel
from strainscope.instrument import Gaussian, PseudoVoigt, SplitPseudoVoigt, monochromator_polarization, sample
from strainscope.profile import CubicBSpline, DepthProfile, DoubleGaussian, TiedDisorder

GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
BARE = stack_from_reflections(GGG)
FILM = stack_from_reflections(GGG, ((YIG, -4.85e-4, 31_500.0),))
TIED = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
SPLINES = DepthProfile(
    strain=CubicBSpline(number=5), disorder=CubicBSpline(number=4, quantity="debye_waller")
)
OWN = {
    TIED: (0.0105, 0.0019, 5300.0, 3400.0, 0.0045, 3700.0, -600.0, 0.45, 1.6),
    SPLINES: (4200.0, 0.004, 0.009, 0.012, 0.006, 0.002, 3900.0, 0.85, 0.6, 0.7, 0.95),
}
SCAN = np.arange(-1350.0, 300.0, 7.3)
SCALE = (3.4, 5.2, 1.3, 0.25)  # offset, log10 scale, log10 background, slope

CASES = {
    "bare": (BARE, TIED, PseudoVoigt(), (32.0, 0.08)),
    "film": (FILM, TIED, Gaussian(), (30.0,)),
    "splines": (BARE, SPLINES, SplitPseudoVoigt(), (34.0, 27.0, 0.1, 0.03)),
}
DIFFUSE = (0.35, 180.0)


def model_of(case, *, diffuse=True, **changes):
    """A scan model and the values of all its parameters."""
    stack, profile, resolution, widths = CASES[case]
    experiment = Experiment(
        stack=stack,
        profile=profile,
        resolution=resolution,
        polarization_weights=monochromator_polarization(GGG.bragg_angle, "dynamical"),
        diffuse=diffuse,
    )
    settings = {
        "experiment": experiment,
        "position": SCAN,
        "fringe_depth": 6000.0,
        "narrowest_fwhm_arcsec": 25.0,
        "widest_fwhm_arcsec": 40.0,
        "offset_range": (-10.0, 10.0),
    } | changes
    values = np.array([*OWN[profile], *(DIFFUSE if diffuse else ()), *widths, *SCALE])
    return ScanModel(**settings), values


def rms_log10(a, b):
    return np.sqrt(np.mean(np.log10(a / b) ** 2))


each_case = pytest.mark.parametrize("case", CASES)


# Derivatives ------------------------------------------------------------------------------------------------


def central_difference(model, values, i, step):
    up, down = values.copy(), values.copy()
    up[i] += step
    down[i] -= step
    return (model.expected(up) - model.expected(down)) / (2 * step)


def sizes(model):
    """A scale of change of each parameter: its prior's range."""
    return np.array([spec.upper - spec.lower for spec in model.experiment.parameters])


@each_case
def test_jacobian_is_the_central_difference_for_every_parameter(case, monkeypatch):
    model, values = model_of(case)
    names = [spec.name for spec in model.experiment.parameters]
    chosen = model.sublayers(values[None, model.experiment.slices["profile"]])

    # The cells are chosen anew for every profile, which a small step would see as noise: here they stay.
    def fixed(self, own):
        depth = gauss_depths(chosen.upper, chosen.thickness).reshape(1, -1)
        strain, factor = self.experiment.profile.evaluate(depth, own)
        shape = chosen.strain.shape
        return replace(chosen, strain=strain.reshape(shape), debye_waller=factor.reshape(shape))

    monkeypatch.setattr(ScanModel, "sublayers", fixed)
    expected, jacobian = model.expected_with_jacobian(values)
    np.testing.assert_allclose(expected, model.expected(values), rtol=1e-12)
    assert jacobian.shape == (SCAN.size, len(names))
    for i, (name, size) in enumerate(zip(names, sizes(model), strict=True)):
        # The best step differs: the curve's error is the step's square, the rounding its inverse.
        worst = min(
            np.max(
                abs(central_difference(model, values, i, step * size) - jacobian[:, i])
                / np.max(abs(jacobian[:, i]))
            )
            for step in (1e-4, 1e-5, 1e-6, 1e-7)
        )
        assert worst < 1e-7, f"{name}: {worst:.1e}"


def test_jacobian_is_that_of_the_curve_with_its_cells_chosen_anew():
    model, values = model_of("bare")
    model = replace(model, experiment=replace(model.experiment, tolerance=1e-5))
    expected, jacobian = model.expected_with_jacobian(values)
    for i, size in enumerate(sizes(model)):
        step = 1e-4 * size
        change = central_difference(model, values, i, step) - jacobian[:, i]
        # In shares of the intensity, against what the whole column does.
        assert np.linalg.norm(change / expected) < 0.01 * np.linalg.norm(jacobian[:, i] / expected)


@each_case
def test_the_response_to_a_profile_is_the_jacobian(case):
    """Strain and E between close depths, along a parameter: the exact derivatives, weighted over the points."""
    model, values = model_of(case)
    where = model.experiment.slices["profile"]
    own = values[None, where]
    depth = np.linspace(0, float(model.experiment.profile.strain.extent(own[:, :7], 1e-6).max()), 400)
    response = model.profile_response(values[None], depth)
    expected, jacobian = model.expected_with_jacobian(values)
    np.testing.assert_allclose(response.expected[0], expected, rtol=1e-3)
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((1, 5, SCAN.size)) / expected
    found = response.projected(weights)[0]
    strain, factor = model.experiment.profile.gradient(depth[None], own)
    along = found[:, :400] @ strain[0] + found[:, 400:800] @ factor[0]
    exact = weights[0] @ jacobian
    both = np.concatenate([along, found[:, 800:]], axis=1)
    error = np.linalg.norm(both - exact, axis=0) / np.linalg.norm(exact, axis=0)
    assert error.max() < 0.02


def test_derivatives_of_the_scale_are_those_of_the_formula():
    model, values = model_of("bare")
    where = {spec.name: i for i, spec in enumerate(model.experiment.parameters)}
    expected, jacobian = model.expected_with_jacobian(values)
    lever = np.linspace(-1, 1, SCAN.size)
    background = 10 ** SCALE[2] * (1 + SCALE[3] * lever)
    np.testing.assert_allclose(jacobian[:, where["log10_background"]], np.log(10) * background, rtol=1e-12)
    np.testing.assert_allclose(jacobian[:, where["background_slope"]], 10 ** SCALE[2] * lever, rtol=1e-9)
    np.testing.assert_allclose(
        jacobian[:, where["log10_scale"]], np.log(10) * (expected - background), rtol=1e-9
    )


# Values -----------------------------------------------------------------------------------------------------


def peak(x, fwhm, lorentz):
    """The pseudo-Voigt density, written out anew."""
    sigma = fwhm / np.sqrt(8 * np.log(2))
    gauss = np.exp(-0.5 * (x / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    half = fwhm / 2
    return (1 - lorentz) * gauss + lorentz * half / (np.pi * (x**2 + half**2))


def diffuse_by_hand(theta, experiment, own, amplitude, length):
    """Kato's diffuse intensity by the midpoint rule on thin slices of the top layer, (2, angle)."""
    stack = experiment.stack
    angles = coefficients(theta, stack)
    depth = np.arange(1.0, 9000.0, 2.0)
    strain, factor = experiment.profile.evaluate(depth, own)
    total = np.zeros_like(theta)
    for e, f in zip(strain, factor, strict=True):
        if f < 1:
            q = (angles.detuning[0] + angles.strain_response[0] * e / (1 + e)).real
            total += 2.0 * (1 - f**2) * np.exp(-((length * q) ** 2) / np.pi)
    total *= 2 * abs(angles.coupling[0]) ** 2 * length * amplitude
    return stack.polarization_factors[:, None] ** 2 * total


def brute_force(model, values):
    """Expected intensity from a dense angle grid and direct quadrature of the convolution."""
    experiment, where = model.experiment, model.experiment.slices
    offset, log_scale, log_background, slope = values[where["scale"]]
    step, reach = 0.1, 800.0
    u = np.arange(model.position.min() - reach, model.position.max() + reach, step)
    theta = experiment.stack.incidence_angle + ARCSEC * u
    own = values[where["profile"]]
    cells = choose_sublayers(
        experiment.profile, own[None], coefficients(theta, experiment.stack), experiment.stack, tolerance=1e-6
    )
    r = rocking_curve(theta, experiment.stack, cells)[0]
    if experiment.diffuse:
        # It is smooth on the scale of an arcsec.
        coarse = diffuse_by_hand(theta[::20], experiment, own, *values[where["diffuse"]])
        r = r + np.array([np.interp(u, u[::20], row) for row in coarse])
    mixed = np.array(experiment.polarization_weights) @ r
    fwhm, lorentz = (*values[where["resolution"]], 0.0)[:2]
    kernel = peak((model.position - offset)[:, None] - u, fwhm, lorentz)
    lever = np.linspace(-1, 1, model.position.size)
    background = 10**log_background * (1 + slope * lever)
    return 10**log_scale * step * kernel @ mixed + background


@pytest.mark.parametrize(("case", "diffuse"), [("bare", False), ("bare", True), ("film", False)])
def test_expected_is_what_brute_force_gives(case, diffuse):
    model, values = model_of(case, diffuse=diffuse)
    exact, expected = brute_force(model, values), model.expected(values)
    assert rms_log10(expected, exact) < 5e-4
    # Away from the sharp peaks of perfect layers, of which another test asks more.
    away = SCAN < -250
    np.testing.assert_allclose(expected[away], exact[away], rtol=1e-3)


@pytest.mark.parametrize("case", ["bare", "film"])
def test_where_the_grid_falls_on_the_narrow_peak_does_not_matter(case):
    # The plateau of total reflection is a few arcsec wide with sharp edges; a different margin shifts the
    # grid's points on it by a part of a step.
    model, values = model_of(case, diffuse=False)
    exact = brute_force(model, values)
    worst = [
        abs(replace(model, widest_fwhm_arcsec=widest).expected(values) / exact - 1).max()
        for widest in (40.0, 40.2, 40.4, 40.6, 40.8, 41.0)
    ]
    assert max(worst) < 6e-3


def test_the_film_and_the_diffuse_scattering_are_seen():
    # The tests above would pass without either, were it negligible here.
    plain, values = model_of("bare", diffuse=False)
    curve = plain.expected(values)
    diffuse, values = model_of("bare")
    assert rms_log10(diffuse.expected(values), curve) > 0.05
    film, values = model_of("film", diffuse=False)
    assert rms_log10(film.expected(values), curve) > 0.05


@each_case
def test_a_finer_grid_changes_nothing(case):
    model, values = model_of(case)
    finer = replace(model, narrowest_fwhm_arcsec=1.0, fringe_depth=20_000.0)
    assert finer.grid.step_arcsec < 0.6 * model.grid.step_arcsec
    assert rms_log10(model.expected(values), finer.expected(values)) < 5e-4


@each_case
def test_points_do_not_depend_on_their_neighbours(case):
    # Half of the points on the same span: the same intensities.
    model, values = model_of(case)
    some = np.unique(np.concatenate([np.arange(0, SCAN.size, 3), [SCAN.size - 1]]))
    few = replace(model, position=SCAN[some])
    np.testing.assert_allclose(few.expected(values), model.expected(values)[some], rtol=1e-9)


@each_case
def test_filled_curves_are_those_of_every_angle(case):
    model, values = model_of(case)
    grid = model.grid
    own = values[None, model.experiment.slices["profile"]]
    cells = model.sublayers(own)
    filled = grid.fill @ reflectivities(model.tables, cells)[0].T
    # Angles 32 times closer, times the functions that interpolate between the grid's points.
    parts = 32
    fine = grid.start_arcsec + grid.step_arcsec / parts * np.arange((grid.number - 1) * parts + 1)
    every = reflectivities(model._tables(fine, np.float64), cells)[0]
    weights = sample(np.eye(13), -6, 1, np.arange(1 - 3 * parts, 3 * parts) / parts)[6] / parts
    dense = np.array([np.convolve(row, weights[::-1], mode="valid")[1::parts] for row in every]).T
    np.testing.assert_allclose(filled[3:-3], dense, atol=3e-3 * every.max())
    widths = values[model.experiment.slices["resolution"]]
    padded = filled.copy()
    padded[3:-3] = dense
    a, b = (
        sample(model.smearing.smear(x.T, widths), grid.start_arcsec, grid.step_arcsec, SCAN)
        for x in (filled, padded)
    )
    assert rms_log10(a, b) < 2e-4


@each_case
def test_what_lies_between_the_grid_s_points_is_seen(case):
    """The substrate's plateau is narrower than a step or two; a finer grid must not tell more of it."""
    model, values = model_of(case)
    finer = replace(model, narrowest_fwhm_arcsec=model.narrowest_fwhm_arcsec / 4)
    found, exact = model.expected(values), finer.expected(values)
    # Counts of 10⁸ in all would tell no difference.
    share = exact / exact.sum()
    assert 1e8 * (share * (found / exact - 1) ** 2).sum() < 1.0


def test_fill_is_exact_for_polynomials():
    grid = model_of("bare")[0].grid
    dense = grid.start_arcsec + grid.step_arcsec * np.arange(grid.number)
    middle, half = dense.mean(), np.ptp(dense) / 2
    for power in range(4):
        filled = grid.fill @ ((grid.node_arcsec - middle) / half) ** power
        np.testing.assert_allclose(filled[3:-3], (((dense - middle) / half) ** power)[3:-3], atol=1e-7)


def test_the_simulated_angles_span_the_grid_and_are_fewer():
    grid = model_of("bare")[0].grid
    assert grid.node_arcsec[0] == pytest.approx(grid.start_arcsec)
    assert grid.node_arcsec[-1] == pytest.approx(grid.start_arcsec + grid.step_arcsec * (grid.number - 1))
    assert (np.diff(grid.node_arcsec) > 0).all()
    # By far fewer than if all were as close as at the peak.
    spacing = np.diff(grid.node_arcsec)
    assert len(grid.node_arcsec) < 0.1 * np.ptp(grid.node_arcsec) / spacing.min()


# The parts of a model ---------------------------------------------------------------------------------------


def test_offset_moves_the_curve_along_the_axis():
    model, values = model_of("bare")
    values[-4:] = 0.0, 4.0, -9.0, 0.0
    # With offsets from -17 to 3 arcsec the shifted scan has the same grid.
    shifted = replace(model, position=SCAN - 7.0, offset_range=(-17.0, 3.0))
    moved = values.copy()
    moved[-4] = 7.0
    np.testing.assert_allclose(model.expected(moved), shifted.expected(values), rtol=1e-9)


def test_scale_and_background_add_up():
    model, values = model_of("bare", diffuse=False)
    values[-4:] = 0.0, 0.0, -30.0, 0.0
    unit = model.expected(values)
    values[-3:] = 2.0, 1.0, -0.5
    lever = np.linspace(-1, 1, SCAN.size)
    np.testing.assert_allclose(model.expected(values), 100 * unit + 10 * (1 - 0.5 * lever), rtol=1e-12)


def test_without_damage_the_curve_is_the_perfect_crystals():
    model, values = model_of("splines", diffuse=False)
    values[1:6] = 0.0
    values[7:11] = 1.0
    values[-4:] = 0.0, 0.0, -30.0, 0.0
    position, height = model.perfect_peak(values[model.experiment.slices["resolution"]])
    fine = replace(model, position=position + np.arange(-40, 40.1, 0.5))
    curve = fine.expected(values)
    assert curve.max() == pytest.approx(height, rel=0.02)
    above = fine.position[curve >= 0.5 * curve.max()]
    assert 0.5 * (above[0] + above[-1]) == pytest.approx(position, abs=2 * model.grid.step_arcsec)


def test_slices_name_every_parameter_once():
    for diffuse in (True, False):
        experiment = model_of("bare", diffuse=diffuse)[0].experiment
        names = [spec.name for spec in experiment.parameters]
        parts = [names[experiment.slices[part]] for part in ("profile", "diffuse", "resolution", "scale")]
        assert sum(parts, []) == names
        assert parts[0] == [spec.name for spec in TIED.parameters]
        assert parts[1] == (["diffuse_amplitude", "correlation_length"] if diffuse else [])
        assert parts[2] == ["fwhm_arcsec", "lorentz_fraction"]
        assert parts[3] == [spec.name for spec in SCALE_PARAMETERS]


def test_an_unknown_bragg_law_is_refused():
    with pytest.raises(ValueError, match=r"bragg_law = 'exakt'; known are exact, linear\."):
        replace(model_of("bare")[0].experiment, bragg_law="exakt")


def test_angles_beyond_the_horizon_are_refused():
    model, values = model_of("bare", position=np.arange(-100_000.0, 0.0, 500.0))
    with pytest.raises(ValueError, match=r"angles of incidence from -.* must lie in \(0, 90\)°.*axis"):
        model.expected(values)


# Edges ------------------------------------------------------------------------------------------------------


def test_a_scan_near_the_exit_horizon_is_simulated():
    """The margin of the simulated angles must not reach angles at which no beam leaves the surface."""
    shallow = reflection(
        builtin_crystal("Si"), (1, 1, 3), wavelength=1.44, surface=(0, 0, 1), incidence="steep"
    )
    stack = stack_from_reflections(shallow)
    exit_angle = stack.bragg_angle + stack.asymmetry
    assert 0 < np.degrees(exit_angle) < 1.5
    experiment = Experiment(stack=stack, profile=DepthProfile(strain=DoubleGaussian()), resolution=Gaussian())
    horizon = (stack.incidence_limits[0] - stack.incidence_angle) / ARCSEC
    model = ScanModel(
        experiment=experiment,
        position=np.linspace(horizon + 60.0, 300.0, 200),
        fringe_depth=5000.0,
        narrowest_fwhm_arcsec=20.0,
        widest_fwhm_arcsec=60.0,
        offset_range=(-20.0, 20.0),
    )
    values = np.array([0.01, 0.002, 3000.0, 1000.0, 0.002, 2000.0, -500.0, 25.0, 0.0, 0.0, -6.0, 0.0])
    expected, jacobian = model.expected_with_jacobian(values)
    assert np.isfinite(expected).all()
    assert np.isfinite(jacobian).all()
    with pytest.raises(ValueError, match="for both beams to be above the surface"):
        _ = replace(model, position=np.linspace(horizon - 60.0, 300.0, 200)).tables
