"""Simulated laboratory scans: exact physics, statistics as of real scans, and the network's grid."""

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import Sublayers, choose_sublayers, diffuse_scattering, stack_from_reflections
from strainscope.diffraction.engine import angle_tables
from strainscope.diffraction.stack import coefficients
from strainscope.experiment import DiffuseSpread, KernelTable, ScanModel, layer_peaks
from strainscope.instrument import Smearing
from strainscope.measurement import (
    BLOCK,
    CHANNELS,
    GridAngles,
    Instruments,
    LabSettings,
    LabSimulator,
    NetworkGrid,
    angle_of,
    grid_scan,
    joined,
    lattice_angle,
    lattice_of,
)
from strainscope.measurement.scans import draw_instruments
from strainscope.profile import DepthProfile, DoubleGaussian, TiedDisorder
from strainscope.sample import load_sample
from strainscope.scan import MIN_POINTS, Scan

SAMPLE = load_sample("ggg444")
STACK = SAMPLE.experiment().stack
LATTICE = lattice_of(STACK).settings
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
FILM = stack_from_reflections(
    reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1"), ((YIG, -4.85e-4, 3000.0),)
)
ASYMMETRIC = stack_from_reflections(
    reflection(builtin_crystal("GGG"), (8, 8, 0), wavelength="CuKa1", surface=(1, 1, 1))
)
GRID = NetworkGrid().at(STACK)


@pytest.fixture(scope="module")
def simulator():
    return LabSimulator(SAMPLE, seed=3)


@pytest.fixture(scope="module")
def components(simulator):
    return simulator.reflect(simulator.profiles(0)[:48])


def instruments(number=1, **changes):
    """Instruments that are all the same, but for what is given."""
    usual = {
        "fwhm_arcsec": 30.0,
        "lorentz_fraction": 0.1,
        "diffuse_amplitude": 0.1,
        "correlation_length": 200.0,
        "counts": 1e6,
        "background": 1e-5,
        "step_arcsec": 3.0,
        "low_arcsec": -3100.0,
        "high_arcsec": 120.0,
        "zero_error_arcsec": 1.5,
    }
    return Instruments(
        **{
            name: np.broadcast_to(np.asarray(v, float), (number,)).copy()
            for name, v in (usual | changes).items()
        }
    )


def copies(components, which, number):
    """One sample, so many times."""
    return replace(
        components,
        **{
            f.name: np.repeat(getattr(components, f.name)[[which]], number, axis=0)
            for f in fields(components)
        },
    )


# The physics --------------------------------------------------------------------------------------------------


def model_at(values, angle):
    """The model of a scan on angles that are fine even for it."""
    width, offset = values[-5], values[-3]
    return ScanModel(
        experiment=SAMPLE.experiment(),
        position=angle,
        fringe_depth=7500.0,
        narrowest_fwhm_arcsec=min(width, 12.0),
        widest_fwhm_arcsec=100.0,
        offset_range=(offset, offset),
    )


def test_points_are_what_the_scan_model_expects(simulator, components):
    number = 12
    rng = np.random.default_rng(0)
    drawn = draw_instruments(LabSettings(), (10.0, 80.0), np.full(number, -1500.0), rng=rng)
    # Cut scans would cut the model's angles too.
    drawn = replace(drawn, low_arcsec=np.full(number, -3150.0), high_arcsec=np.full(number, 300.0))
    part = components.part(slice(0, number))
    errors = []
    for i, (angle, expected, values) in enumerate(simulator.points(part, drawn)):
        own = simulator.targets.experiment_values(values[None], drawn.counts[i : i + 1])[0]
        model = model_at(values, angle)
        errors.append(np.log10(expected / model.expected(own)))
        # One arcsec would be far off.
        moved = own.copy()
        moved[SAMPLE.experiment().slices["scale"].start] += 1.0
        assert np.sqrt(np.mean(np.log10(expected / model.expected(moved)) ** 2)) > 2e-3
    rms = np.array([np.sqrt(np.mean(e**2)) for e in errors])
    assert rms.max() < 2e-3
    assert np.sqrt((rms**2).mean()) < 5e-4


def test_strongest_expected_point_has_the_counts_that_were_asked_for(simulator, components):
    drawn = instruments(48, counts=np.geomspace(1e3, 1e8, 48), step_arcsec=np.geomspace(1, 20, 48))
    for (angle, expected, _), counts, step in zip(
        simulator.points(components, drawn), drawn.counts, drawn.step_arcsec, strict=True
    ):
        assert expected.max() == pytest.approx(counts, rel=1e-12)
        # The scan is zeroed at its peak, but for the error of 1.5 arcsec and a skewed peak.
        assert abs(angle[expected.argmax()] - 1.5) < 15 + step


@pytest.mark.parametrize("correlation_length", [20.0, 300.0, 2000.0])
@pytest.mark.parametrize("stack", [STACK, FILM], ids=["bare", "film"])
def test_diffuse_scattering_is_that_of_the_physics(stack, correlation_length):
    profile = DepthProfile(strain=DoubleGaussian(), disorder=TiedDisorder())
    values = np.array([[0.0105, 0.0019, 5300.0, 3400.0, 0.0045, 3700.0, -600.0, 0.45, 1.6]])
    position = np.arange(-3000.0, 200.0, 10.0)
    tables = angle_tables(stack.incidence_angle + ARCSEC * position, stack, dtype=np.float64)
    spread = DiffuseSpread(
        stack, position, correlation_range=(20.0, 2000.0), strain_range=(0.0, 0.03), bragg_law="exact"
    )
    coarse = choose_sublayers(profile, values, tables.exact, stack, tolerance=3e-2)
    fine = choose_sublayers(profile, values, tables.exact, stack, tolerance=1e-8)
    one = Sublayers(**{f.name: getattr(fine, f.name)[0] for f in fields(Sublayers)})
    exact, _ = diffuse_scattering(tables, one, correlation_length)
    found = spread.intensity(spread.histogram(coarse), np.array([correlation_length]))[:, 0]
    # The coarse sublayers leave a little where a film's disorder ends abruptly.
    np.testing.assert_allclose(found, exact, rtol=2e-3, atol=6e-3 * exact.max())
    assert np.sqrt(np.mean((found - exact) ** 2)) < 1e-3 * exact.max()


def test_resolution_between_the_tabulated_widths_is_that_of_the_instrument(simulator):
    experiment, angles = SAMPLE.experiment(), simulator.optics.angles
    smearing = Smearing(
        start_arcsec=angles.start_arcsec,
        step_arcsec=angles.step_arcsec,
        number=angles.number,
        resolution=experiment.resolution,
    )
    table = KernelTable(smearing, (10.0, 80.0))
    rng = np.random.default_rng(1)
    curve = np.zeros((1, 2, table.length))
    curve[0, :, : angles.number] = 10.0 ** rng.uniform(-6, -3, (2, angles.number))
    curve[0, :, 1700:1704] = 0.8
    for width, share in ((10.0, 0.0), (17.37, 0.13), (80.0, 1.0)):
        found = table.smear(curve, np.array([[width, share]]))[0]
        exact = smearing.smear(curve[0, :, : angles.number], (width, share))
        np.testing.assert_allclose(found, exact, rtol=1e-5)


# Randomness ---------------------------------------------------------------------------------------------------


def assert_same(one, other):
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_scans_depend_on_seed_and_index_alone(simulator):
    again = LabSimulator(SAMPLE, seed=3)
    second, first = again.block(1), again.block(0)
    assert_same(simulator.scans(200, 300), joined([first, second]).part(200, 300))
    other = LabSimulator(SAMPLE, seed=4).block(0)
    assert not np.isin(other.values[:, 0], first.values[:, 0]).any()
    assert not np.isin(second.values[:, 0], first.values[:, 0]).any()


def test_what_is_reflected_can_be_measured_again(simulator):
    kept = simulator.reflect(simulator.profiles(0))
    first, second = simulator.block(0, components=kept), simulator.block(0, components=kept, repeat=1)
    assert_same(first, simulator.block(0))
    own = len(SAMPLE.experiment().profile.parameters)
    np.testing.assert_array_equal(first.values[:, :own], second.values[:, :own])
    assert not (first.values[:, own:] == second.values[:, own:]).any()
    assert len(first) == BLOCK


def test_noise_is_drawn_anew_for_each_repeat(simulator, monkeypatch):
    kept = simulator.reflect(simulator.profiles(0))
    monkeypatch.setattr(simulator, "instruments", lambda components, *, rng: instruments(BLOCK, counts=1e4))
    first, second = (simulator.block(0, components=kept, repeat=k).channels for k in range(2))
    same = (first == second)[:, 0][(first[:, 2] > 0) & (np.abs(GRID.centre) < 60)]
    assert same.mean() < 0.1
    # As two independent scatters differ: √2 of one.
    z = (first[:, 0] - second[:, 0])[:, np.abs(GRID.centre) < 10] / first[:, 1][:, np.abs(GRID.centre) < 10]
    assert 0.5 < z.std() < 3


def test_batch_is_as_documented(simulator):
    batch = simulator.block(2)
    targets = simulator.targets
    assert batch.channels.shape == (BLOCK, len(CHANNELS), 701)
    assert batch.channels.dtype == batch.told.dtype == np.float32
    assert batch.names == targets.names == tuple(targets.units) == tuple(targets.bounds)
    assert batch.names[:9] == ("Dmax1", "D01", "L1", "Rp1", "D02", "L2", "Rp2", "K", "n")
    assert batch.names[9:12] == ("log10_diffuse_amplitude", "correlation_length", "fwhm_arcsec")
    assert batch.names[12:] == ("lorentz_fraction", "offset_arcsec", "log10_scale", "log10_background")
    assert batch.told.shape == (BLOCK, len(simulator.told_names))
    for name, column in zip(batch.names, batch.values.T, strict=True):
        low, high = targets.bounds[name]
        assert low <= column.min() < column.max() <= high, name
    assert np.abs(batch.told).max() < 2
    np.testing.assert_allclose(batch.told[:, :4], np.tile(LATTICE, (BLOCK, 1)), rtol=1e-6)
    np.testing.assert_array_equal(batch.disorder, batch.values[:, batch.names.index("K")])
    own = batch.values[:, :7]
    np.testing.assert_allclose(batch.maximum_strain, DoubleGaussian().maximum(own)[0], rtol=1e-12)
    value, error, measured = np.moveaxis(batch.channels, 1, 0)
    assert set(np.unique(measured)) == {0.0, 1.0}
    assert (value[measured == 0] == 0).all()
    assert (error[measured == 0] == 0).all()
    assert ((error[measured == 1] > 0) & (error[measured == 1] <= 1)).all()
    # The peak's own point is read straight between its neighbours: not above it, and never far below.
    assert value.max() <= 1e-6
    assert value.max(axis=1).min() > -0.5


def test_profiles_are_uniform_in_the_priors_unit_coordinates(simulator):
    values = np.concatenate([simulator.profiles(k) for k in range(8)])
    prior = SAMPLE.prior()
    every = prior.from_unit(np.full((len(values), len(prior.names)), 0.5))
    every[:, : values.shape[1]] = values
    unit = prior.to_unit(every)[:, : values.shape[1]]
    expected = np.linspace(0, 1, len(values))
    for column in unit.T:
        # Kolmogorov's 1e-6 quantile.
        assert np.abs(np.sort(column) - expected).max() < 2.7 / np.sqrt(len(values))


def test_instruments_are_drawn_as_the_settings_say():
    settings = LabSettings()
    strained = np.full(20_000, -1000.0)
    drawn = draw_instruments(settings, (10.0, 80.0), strained, rng=np.random.default_rng(5))
    for name, (low, high) in {
        "counts": settings.counts,
        "step_arcsec": settings.step_arcsec,
        "background": settings.background,
        "correlation_length": settings.correlation_length_A,
    }.items():
        share = np.log(getattr(drawn, name) / low) / np.log(high / low)
        assert abs(share.mean() - 0.5) < 5 / np.sqrt(12 * len(share))
        assert 0 <= share.min() < 0.01 < 0.99 < share.max() <= 1
    assert np.mean(drawn.diffuse_amplitude >= 0.01) == pytest.approx(0.5, abs=0.02)
    whole = (drawn.low_arcsec <= -1090) & (drawn.low_arcsec >= -1850)
    # Those that reach beyond the strain, and cut ones that happen to end there.
    assert whole.mean() == pytest.approx(0.7 + 0.3 * 760 / 3027, abs=0.02)
    assert drawn.low_arcsec.max() <= -150
    assert (drawn.low_arcsec <= -MIN_POINTS * drawn.step_arcsec).all()
    assert (np.abs(drawn.zero_error_arcsec) <= drawn.step_arcsec).all()
    assert drawn.lorentz_fraction.mean() == pytest.approx(1 / 7, abs=0.01)


# The grid -----------------------------------------------------------------------------------------------------


def test_grid_of_ggg_has_the_points_of_the_datasets():
    assert len(GRID.centre) == 701
    assert GRID.centre[0] == pytest.approx(-3177, abs=1)
    assert GRID.centre[-1] == pytest.approx(93, abs=1)
    assert np.diff(GRID.centre).mean() == pytest.approx(4.67, abs=0.01)
    np.testing.assert_allclose(np.diff(lattice_angle(GRID.centre, STACK)), -4.759e-5, rtol=1e-8)


# Refraction drifts over the scan where incidence is at a small angle.
@pytest.mark.parametrize(
    ("stack", "drift"), [(STACK, 1e-5), (ASYMMETRIC, 1e-3)], ids=["symmetric", "asymmetric"]
)
def test_strain_shows_at_its_own_e(stack, drift):
    e = np.linspace(-0.003, 0.03, 34)
    angle = angle_of(e, stack)
    np.testing.assert_allclose(lattice_angle(angle, stack), e, atol=1e-13)
    # Where the detuning of a layer with ε/(1 + ε) = e vanishes, less where the substrate's does.
    theta = stack.incidence_angle + ARCSEC * (angle + layer_peaks(stack)[0][-1])
    exact = coefficients(theta, stack)
    shown = (-exact.detuning.real / exact.strain_response.real)[0]
    np.testing.assert_allclose(shown, e, rtol=drift, atol=3e-6)


def test_one_point_a_bin_is_read_as_it_is():
    counts = np.random.default_rng(0).poisson(50.0, 701).astype(float)
    channels, peak = GRID.to_grid(GRID.centre, counts)
    assert peak == counts.max()
    np.testing.assert_allclose(channels[0], np.log10((counts + 0.5) / (peak + 0.5)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(channels[1], 1 / (np.log(10) * np.sqrt(counts + 0.5)), rtol=1e-5)
    assert (channels[2] == 1).all()


def test_finer_points_are_averaged_and_coarser_ones_interpolated():
    fine = np.sort(np.concatenate([GRID.centre - 1, GRID.centre + 1]))
    channels, peak = GRID.to_grid(fine, np.tile([4.0, 8.0], 701))
    assert peak == 6.0
    np.testing.assert_allclose(channels[0], np.log10(12.5 / 2 / 6.5), rtol=1e-5)
    np.testing.assert_allclose(channels[1], 1 / (np.log(10) * np.sqrt(12.5)), rtol=1e-5)
    coarse = np.tile([9.0, 99.0], 176)[:351]
    channels, peak = GRID.to_grid(GRID.centre[::2], coarse)
    value = np.log10((coarse + 0.5) / 99.5)
    error = 1 / (np.log(10) * np.sqrt(coarse + 0.5))
    np.testing.assert_allclose(channels[0, 1::2], 0.5 * (value[1:] + value[:-1]), atol=2e-5)
    np.testing.assert_allclose(channels[1, 1::2], 0.5 * np.hypot(error[1:], error[:-1]), rtol=1e-4)
    assert (channels[2] == 1).all()


def test_what_was_not_measured_is_masked():
    kept = np.r_[100:300, 340:650]
    channels, _ = GRID.to_grid(GRID.centre[kept], np.full(kept.size, 7.0))
    np.testing.assert_array_equal(np.flatnonzero(channels[2]), kept)
    assert not channels[:, :100].any()
    assert not channels[:, 300:340].any()


def test_no_counts_are_uncertain_but_finite():
    counts = np.where(np.arange(701) > 600, 40.0, 0.0)
    channels, _ = GRID.to_grid(GRID.centre, counts)
    assert np.isfinite(channels).all()
    assert channels[0, 0] == pytest.approx(np.log10(0.5 / 40.5), rel=1e-5)
    assert channels[1, 0] == pytest.approx(0.614, abs=1e-3)


def gridded(angle, counts):
    """A full scan by way of `Scan`, with its zero where the angles have it."""
    theta = np.degrees(STACK.incidence_angle + ARCSEC * angle)
    scan = Scan(angle=theta, intensity=counts, axis="omega-deg", intensity_kind="counts", name="simulated")
    return grid_scan(scan, GRID, STACK, zero_arcsec=0.0)


@pytest.mark.parametrize("step", [1.3, 4.1, 4.69, 13.0])
def test_full_scans_and_batches_agree_exactly_without_noise(simulator, components, step):
    drawn = instruments(6, counts=1e15, background=1e-3, step_arcsec=step)
    part = components.part(slice(0, 6))
    batch = simulator.measure(part, drawn, rng=np.random.default_rng(0))
    for i, (angle, expected, values) in enumerate(simulator.points(part, drawn)):
        found = gridded(angle, np.round(expected))
        np.testing.assert_array_equal(found.channels[2], batch.channels[i, 2])
        np.testing.assert_allclose(found.channels[0], batch.channels[i, 0], atol=2e-3)
        assert np.sqrt(np.mean((found.channels[0] - batch.channels[i, 0]) ** 2)) < 2e-4
        np.testing.assert_allclose(found.told, batch.told[i, 4:], atol=1e-5)
        # Targets refer to the peak on the grid, the mean of its bin; a point may be higher.
        shift = np.log10(batch.peak_counts[i] / 1e15)
        np.testing.assert_allclose(batch.values[i, :-2], values[:-2], rtol=1e-12)
        np.testing.assert_allclose(batch.values[i, -2:] + shift, values[-2:], atol=1e-4)


@pytest.mark.parametrize("step", [1.3, 4.1, 13.0])
def test_full_scans_and_batches_scatter_alike(simulator, components, step):
    number = 400
    drawn = instruments(number, counts=3e4, background=2e-4, step_arcsec=step, low_arcsec=-2000.0)
    many = copies(components, 5, number)
    batch = simulator.measure(many, drawn, rng=np.random.default_rng(1)).channels
    one = simulator.points(many.part(slice(0, 1)), drawn.part(slice(0, 1)))[0]
    rng = np.random.default_rng(2)
    full = np.array([gridded(one[0], rng.poisson(one[1]).astype(float)).channels for _ in range(number)])
    measured = batch[0, 2] > 0
    np.testing.assert_array_equal(full[:, 2], batch[:, 2])
    a, b = batch[..., measured], full[..., measured]
    sem = np.sqrt((a[:, 0].var(axis=0) + b[:, 0].var(axis=0)) / number)
    z = (a[:, 0].mean(axis=0) - b[:, 0].mean(axis=0)) / sem
    assert np.sqrt(np.mean(z**2)) < 1.25
    assert np.abs(z).max() < 5.5
    ratio = a[:, 0].std(axis=0) / b[:, 0].std(axis=0)
    assert abs(np.mean(ratio) - 1) < 0.02
    # Neighbours share points where the scan is coarse, and then only.
    for lag in (1, 2):
        one_lag, other_lag = (
            np.mean([np.corrcoef(x[:, 0, j], x[:, 0, j + lag])[0, 1] for j in range(0, a.shape[2] - lag, 5)])
            for x in (a, b)
        )
        assert one_lag == pytest.approx(other_lag, abs=0.03)
    np.testing.assert_allclose(a[:, 1].mean(axis=0), b[:, 1].mean(axis=0), rtol=0.03)


@pytest.mark.parametrize("step", [1.3, 4.1, 13.0])
def test_standard_error_is_the_scatter(simulator, components, step):
    number = 500
    drawn = instruments(number, counts=1e7, background=1e-5, step_arcsec=step)
    batch = simulator.measure(copies(components, 7, number), drawn, rng=np.random.default_rng(3)).channels
    # At the peak itself, what all is divided by counts too.
    away = (batch[0, 2] > 0) & (np.abs(GRID.centre) > 60)
    ratio = batch[:, 0, away].std(axis=0) / np.sqrt((batch[:, 1, away] ** 2).mean(axis=0))
    assert away.sum() > 600
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)
    assert np.abs(ratio - 1).max() < 0.2


def test_normalised_scan_is_read_by_its_counts(simulator, components):
    drawn = instruments(1, counts=1e5, background=1e-3, step_arcsec=4.0, zero_error_arcsec=0.0)
    angle, expected, _ = simulator.points(components.part(slice(3, 4)), drawn)[0]
    counts = np.random.default_rng(0).poisson(expected).astype(float)
    raw = gridded(angle, counts)
    scan = Scan(
        angle=angle, intensity=counts / 7e4, axis="delta-theta-arcsec", intensity_kind="normalised", name="n"
    )
    told = grid_scan(scan, GRID, STACK, counts_per_unit=7e4, zero_arcsec=0.0)
    np.testing.assert_allclose(told.channels, raw.channels, atol=1e-6)
    assert told.peak_counts == pytest.approx(raw.peak_counts)
    found = grid_scan(scan, GRID, STACK)
    assert found.counts_per_unit == pytest.approx(7e4, rel=0.2)
    # The scan's axis counts from its peak.
    assert abs(found.zero_arcsec) < 6
    noiseless = replace(scan, intensity=expected / expected.max())
    assert grid_scan(noiseless, GRID, STACK).peak_counts == pytest.approx(1e9, rel=0.05)


def changed(**keys):
    """The sample with other keys."""
    return type(SAMPLE).model_validate(
        SAMPLE.model_dump(exclude_unset=True) | keys, context={"folder": Path()}
    )


# What is wrong is said ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": (1e3, 1e4)}, "unknown key 'count'"),
        ({"counts": (1e4, 1e3)}, "the first must be < the second"),
        ({"counts": (0.0, 1e3)}, "both ends must be > 0"),
        ({"counts": (2.0, 1e3)}, "counts from 2; they must be >= 10"),
        ({"background": (1e-3, 2.0)}, "both ends must be < 1"),
        ({"low_reach_arcsec": (20.0, 900.0)}, "low_reach_arcsec from 20 arcsec; it must be > 40 arcsec"),
        ({"high_reach_arcsec": (30.0, 90.0)}, "high_reach_arcsec from 30 arcsec; it must be > 40 arcsec"),
        ({"diffuse_amplitude": (1e-3, 1.0)}, "negligible_amplitude up to 0.01; it must be <= the least"),
    ],
)
def test_settings_that_make_no_scan_are_refused(changes, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        LabSettings(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": LabSettings(correlation_length_A=(20.0, 5000.0))}, "prior has 20 to 2000"),
        ({"grid": NetworkGrid(number=682)}, "the network's grid ends"),
        (
            {"grid": NetworkGrid(step_e=2.4e-5, number=1400)},
            "step_arcsec up to 20 arcsec; on the network's grid",
        ),
        ({"sample": changed(diffuse=False)}, "the sample has diffuse: false"),
        ({"sample": changed(resolution={"family": "gaussian"})}, "resolution has no lorentz_fraction"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    arguments = {"sample": SAMPLE} | changes
    with pytest.raises(ValueError, match=re.escape(message)):
        LabSimulator(arguments.pop("sample"), arguments.pop("settings", None), **arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": -1.0}, "counts[0] = -1; it must be > 0."),
        ({"background": 1.0}, "background[0] = 1; it must be 0 to 1"),
        ({"low_arcsec": 5.0}, "low_arcsec[0] = 5; it must be more than a step below 0 arcsec."),
        ({"lorentz_fraction": 1.2}, "lorentz_fraction[0] = 1.2; it must be 0 to 1."),
    ],
)
def test_instruments_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        instruments(**changes)


def test_instruments_that_are_not_tabulated_are_refused(simulator, components):
    part, rng = components.part(slice(0, 1)), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"fwhm_arcsec\[0\] = 5 arcsec; it must lie in 10 to 80 arcsec"):
        simulator.measure(part, instruments(fwhm_arcsec=5.0), rng=rng)
    with pytest.raises(ValueError, match="1 samples and 2 instruments"):
        simulator.measure(part, instruments(2), rng=rng)
    with pytest.raises(ValueError, match="differ in shape"):
        replace(instruments(), counts=np.ones(3))
    with pytest.raises(ValueError, match="0 <= first < last"):
        simulator.scans(5, 5)
    with pytest.raises(ValueError, match="block = -1"):
        simulator.block(-1)


@pytest.mark.parametrize(
    ("angle", "counts", "message"),
    [
        (np.arange(30.0), np.ones(29), "angle_arcsec has shape (30,), counts (29,)"),
        (
            np.arange(30.0, 0.0, -1.0),
            np.ones(30),
            "angle_arcsec[1] = 29 arcsec; it must be >= the one before, 30 arcsec",
        ),
        (np.arange(30.0), np.full(30, -1.0), "counts[0] = -1; they must be finite and >= 0"),
        (np.arange(30.0) * 1000, np.ones(30), "the scan has points in 1 of the grid's 701 bins"),
    ],
)
def test_arrays_that_are_no_scan_are_refused(angle, counts, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        GRID.to_grid(angle, counts)


def test_grids_of_no_use_are_refused():
    with pytest.raises(ValueError, match="step_e = 0"):
        NetworkGrid(step_e=0.0)
    with pytest.raises(ValueError, match="must hold the substrate's peak"):
        NetworkGrid(number=300)
    with pytest.raises(ValueError, match="no angle of incidence has it"):
        NetworkGrid(step_e=0.01).at(STACK)
    assert isinstance(GRID, GridAngles)
