"""Scans simulated in torch are the processor's: part by part for given numbers, and as distributions."""

import itertools
import logging
from copy import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from strainscope import training
from strainscope.diffraction import Sublayers, choose_sublayers, chosen_device
from strainscope.diffraction.engine import reflectivities
from strainscope.estimator.plan import checked_training
from strainscope.evaluation import rows_of
from strainscope.measurement import BLOCK, LabMixture, LabSettings, LabSimulator
from strainscope.measurement.on_device import DeviceSimulator, UnitCoordinates
from strainscope.measurement.on_device.grid import TensorGrid
from strainscope.measurement.on_device.instruments import TensorInstruments
from strainscope.measurement.on_device.optics import TensorComponents
from strainscope.measurement.on_device.profiles import TensorProfile
from strainscope.measurement.on_device.sublayers import TensorChooser
from strainscope.measurement.scans import add_up
from strainscope.prior import Prior
from strainscope.sample import load_sample
from strainscope.sample.sample import validated
from strainscope.training import lab_data
from strainscope.training.device_data import DeviceLabStream
from strainscope.training.lab_data import LabSource, LabStream
from strainscope.training.posterior_task import PosteriorTask
from strainscope.training.run import Run
from strainscope.training.settings import full_plan

GPU = torch.cuda.is_available() and chosen_device("auto") == "cuda"
DEVICES = [torch.device("cpu"), *([torch.device("cuda")] if GPU else [])]
each_device = pytest.mark.parametrize("device", DEVICES, ids=str)


@pytest.fixture(scope="module")
def simulator():
    return LabSimulator(load_sample("ggg444"), seed=5)


@pytest.fixture(scope="module", params=DEVICES, ids=str)
def on_device(request, simulator):
    return DeviceSimulator(simulator, request.param)


@pytest.fixture(scope="module")
def conditions(simulator):
    return simulator.conditions(0)


@pytest.fixture(scope="module")
def mixture():
    return LabMixture([load_sample("ggg444"), load_sample("ggg888")], LabSettings(), seed=5)


def lab_plan(**changes):
    network = {"width": 32, "inner": 32, "blocks": 1, "context": 16, "hidden": 16, "transforms": 1, "bins": 4}
    data = {"lab": {"sample": "ggg444"}, "network": network, "samples": 4 * BLOCK, "batch": BLOCK, "warm_up": 0}
    return checked_training(data | {"validation": 128, "validate_every": 512} | changes, source="plan")


def there(values, device):
    return torch.tensor(np.asarray(values), dtype=torch.float64, device=device)


def components_of(known, device):
    return TensorComponents(
        profile=there(known.profile, device),
        reflectivity=torch.as_tensor(known.reflectivity, device=device),
        disorder=there(known.disorder, device),
        largest=there(known.maximum_strain, device),
    )


def instruments_of(instruments, device):
    names = [field.name for field in fields(TensorInstruments)]
    return TensorInstruments(**{name: there(getattr(instruments, name), device) for name in names})


class TestCoordinates:
    @each_device
    def test_are_the_prior_s(self, simulator, device):
        prior = simulator.optics.prior
        flat = Prior(parameters=prior.parameters[:9], constraints=prior.constraints, held={})
        unit = np.random.default_rng(0).random((500, 9))
        values = flat.from_unit(unit)
        own = UnitCoordinates(flat)
        np.testing.assert_allclose(own.values(there(unit, device)).cpu(), values, rtol=1e-13)
        np.testing.assert_allclose(own.unit(there(values, device)).cpu(), unit, rtol=1e-9, atol=1e-12)

    def test_a_held_parameter_is_refused(self, simulator):
        prior = simulator.optics.prior
        with pytest.raises(ValueError, match="K is held at 0.5; a network learns it"):
            UnitCoordinates(replace(prior, parameters=prior.parameters[:9], held={"K": 0.5}))


class TestProfiles:
    @each_device
    def test_are_the_families(self, simulator, conditions, device):
        values = conditions[0].profile
        families = simulator.optics.experiment.profile
        largest = families.normalisation(values)
        own, given, most = TensorProfile(families, device), there(values, device), there(largest, device)
        np.testing.assert_allclose(own.largest(given).cpu(), largest, rtol=1e-12)
        depth = np.broadcast_to(np.linspace(0, 9000, 300), (len(values), 300))
        expected = families.evaluate_within(depth, values, largest)
        found = own.evaluate(there(depth, device), given, most)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.cpu(), other, rtol=1e-12, atol=1e-15)
        reach = families.extent(values, strain_tolerance=1e-6, factor_tolerance=1e-3)
        found = own.extent(given, most, strain=1e-6, factor=1e-3)
        np.testing.assert_allclose(found.cpu(), reach, rtol=1e-12)

    @each_device
    @pytest.mark.parametrize(
        ("name", "tolerance", "most"),
        [("ggg444", 3e-2, 1e-2), ("ggg444", 1e-4, 2e-4), ("yig-on-ggg444", 3e-2, 1e-2)],
    )
    def test_sublayers_are_as_good_as_the_processor_s(self, name, tolerance, most, device):
        """Also where a film ends below the profile."""
        simulator = LabSimulator(load_sample(name), seed=5)
        values, optics = simulator.profiles(0), simulator.optics
        families, stack, exact = optics.experiment.profile, simulator.stack, optics.tables.exact
        choose = TensorChooser(
            TensorProfile(families, device), exact, stack.interfaces, tolerance=tolerance, device=device
        )
        found = choose(there(values, device))
        mine = Sublayers(
            upper=np.zeros(found.thickness.shape),
            **{
                column: getattr(found, column).cpu().numpy()
                for column in ("thickness", "strain", "debye_waller", "layer")
            },
        )
        others = choose_sublayers(families, values, exact, stack, tolerance=tolerance)
        fine = choose_sublayers(families, values, exact, stack, tolerance=1e-6)
        truth, *both = (np.log10(reflectivities(optics.tables, cells)) for cells in (fine, mine, others))
        seen = truth > -7
        error, usual = (np.sqrt(((own - truth) ** 2).mean(axis=(1, 2), where=seen)) for own in both)
        assert np.median(error) < 1.3 * np.median(usual)
        assert error.max() < most
        number, expected = ((own.thickness > 0).sum(axis=1) for own in (mine, others))
        assert abs(number.mean() / expected.mean() - 1) < 0.03
        np.testing.assert_allclose(mine.thickness.sum(axis=1), others.thickness.sum(axis=1), rtol=1e-12)


class TestOptics:
    @each_device
    @pytest.mark.parametrize("name", ["ggg444", "yig-on-ggg444", "ggg888"])
    def test_reflects_and_scatters_as_the_processor(self, name, device):
        """A film, too, and another power of E; the sublayers are not the same."""
        simulator = LabSimulator(load_sample(name), seed=3)
        profile = simulator.profiles(0)
        known = simulator.reflect(profile)
        found = DeviceSimulator(simulator, device).optics.reflect(there(profile, device))
        mine, others = (
            np.log10(np.maximum(own, 1e-7)) for own in (found.reflectivity.cpu().numpy(), known.reflectivity)
        )
        assert np.sqrt(((mine - others) ** 2).mean()) < 1e-3
        # Cumulated over strain: where a bin's border cuts a cell depends on the cells.
        total = known.disorder.sum(axis=2, keepdims=True)
        disorder = found.disorder.cpu().numpy()
        apart = abs(np.cumsum(disorder, axis=2) - np.cumsum(known.disorder, axis=2)) / np.maximum(total, 1)
        assert np.median(apart.max(axis=(1, 2))) < 1e-3
        np.testing.assert_allclose(disorder.sum(axis=2, keepdims=True), total, rtol=1e-3, atol=1e-2)


class TestMeasurement:
    def test_expected_counts_are_the_processor_s(self, simulator, conditions, on_device):
        known, instruments = conditions
        angles = simulator.optics.angles
        smeared, offset = simulator._seen(known, instruments)
        start, step = angles.start_arcsec, angles.step_arcsec
        sums = add_up(smeared, start, step, instruments, offset, simulator.network.edge)
        background = instruments.counts * instruments.background
        scale = (instruments.counts - background) / sums.strongest
        device = on_device.device
        found, shift, factor = on_device.expected(
            components_of(known, device), instruments_of(instruments, device)
        )
        np.testing.assert_array_equal(found.number.cpu(), sums.number)
        np.testing.assert_allclose(found.angle.cpu(), sums.angle, rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(shift.cpu(), offset, atol=1e-4)
        # The processor looks up the interpolation's weights at the nearest of 4096 places.
        np.testing.assert_allclose(factor.cpu(), scale, rtol=1e-4)
        expected = scale[:, None] * sums.total + background[:, None] * sums.number
        np.testing.assert_allclose(found.total.cpu(), expected, rtol=2e-4)

    @each_device
    def test_channels_are_the_processor_s(self, simulator, conditions, device):
        """Also where steps leave bins empty, and gaps."""
        _, instruments = conditions
        rng = np.random.default_rng(3)
        number = rng.poisson(np.linspace(0.02, 2, len(instruments))[:, None], (len(instruments), 701))
        number[:, :5] = 0
        number[:, 300:320] *= rng.integers(0, 2, (len(number), 1))
        number[:, 650] = 1
        edge = simulator.network.edge
        angle = number * (edge[:-1] + rng.random(number.shape) * np.diff(edge))
        total = rng.poisson(number * 10 ** rng.uniform(-1, 4, number.shape))
        expected, peak = simulator.network.channels(*(a.astype(float) for a in (total, number, angle)))
        grid = TensorGrid(simulator.network, device)
        found, highest = grid.channels(*(there(own, device) for own in (total, number, angle)))
        np.testing.assert_array_equal(highest.cpu(), peak)
        np.testing.assert_allclose(found.cpu(), expected, rtol=1e-6, atol=1e-7)

    def test_scans_are_distributed_as_the_processor_s(self, simulator, on_device):
        generator = torch.Generator(on_device.device).manual_seed(3)
        rows, values = (own.cpu().numpy() for own in on_device.scans(1024, generator))
        blocks = [simulator.block(k) for k in range(1, 5)]
        expected = np.concatenate([rows_of(own) for own in blocks])
        assert rows.dtype == np.float32
        assert rows.shape == expected.shape
        truths = np.concatenate([own.values for own in blocks])
        for k, name in enumerate(simulator.targets.names):
            assert ks_2samp(values[:, k], truths[:, k], method="asymp").pvalue > 1e-3, name
        for k in (*range(100, 2103, 400), *range(2103, 2111)):
            assert ks_2samp(rows[:, k], expected[:, k], method="asymp").pvalue > 1e-3, k

    def test_the_same_seed_gives_the_same_scans(self, on_device):
        first, again, other = (
            on_device.scans(16, torch.Generator(on_device.device).manual_seed(seed))[0] for seed in (1, 1, 2)
        )
        assert torch.equal(first, again) or on_device.device.type == "cuda"
        torch.testing.assert_close(first, again)
        assert not torch.equal(first, other)

    def test_rows_and_targets_are_of_the_same_scan(self, simulator, conditions, on_device):
        """Measured by both, but for the noise."""
        known, instruments = conditions
        device = on_device.device
        generator = torch.Generator(device).manual_seed(1)
        rows, values = (
            own.cpu().numpy()
            for own in on_device.measure(
                components_of(known, device), instruments_of(instruments, device), generator
            )
        )
        expected = simulator.measure(known, instruments, rng=np.random.default_rng(1))
        np.testing.assert_allclose(values[:, :13], expected.values[:, :13], rtol=1e-12)
        np.testing.assert_allclose(values[:, 13:], expected.values[:, 13:], atol=0.1)
        np.testing.assert_allclose(rows[:, 2103:], expected.told, atol=0.05)
        apart = abs(rows[:, :701] - expected.channels[:, 0]) / np.maximum(expected.channels[:, 1], 1e-4)
        assert np.median(apart) < 1.5

    def test_a_layer_that_shrank(self):
        """Its largest strain is a magnitude."""
        document = load_sample("ggg444").settings()
        document["strain"] = {"family": "double-gaussian", "sign": -1}
        shrunk = LabSimulator(validated(document, source="a sample", folder=None), seed=3)
        generator = torch.Generator(DEVICES[-1]).manual_seed(3)
        rows, _ = DeviceSimulator(shrunk, DEVICES[-1]).scans(512, generator)
        expected = np.concatenate([rows_of(shrunk.block(k)) for k in (1, 2)])
        first_measured = rows[:, 2109].cpu().numpy()
        assert ks_2samp(first_measured, expected[:, 2109], method="asymp").pvalue > 1e-3
        assert len(np.unique(first_measured)) > 100

    def test_a_scan_that_is_no_number_stays_one(self, conditions, on_device):
        """CUDA's draws would end the process."""
        known, instruments = conditions
        components = components_of(known, on_device.device)
        components.reflectivity[3] = torch.nan
        generator = torch.Generator(on_device.device).manual_seed(1)
        rows, _ = on_device.measure(components, instruments_of(instruments, on_device.device), generator)
        finite = torch.isfinite(rows).all(dim=1)
        assert not finite[3]
        assert finite.sum() == len(rows) - 1


class TestWhatIsNotThere:
    def test_another_family(self):
        document = load_sample("ggg444").settings() | {"strain": "asymmetric-pseudo-voigt", "fit": {}}
        other = LabSimulator(validated(document, source="a sample", folder=None))
        with pytest.raises(ValueError, match="AsymmetricPseudoVoigt and TiedDisorder; only double-gaussian"):
            DeviceSimulator(other, DEVICES[0])

    def test_another_distribution_of_wings(self):
        settings = LabSettings(lorentz_shape=(2.0, 6.0))
        with pytest.raises(ValueError, match=r"lorentz_shape\[0\] = 2"):
            DeviceSimulator(LabSimulator(load_sample("ggg444"), settings), DEVICES[0])

    def test_more_counts_than_cuda_draws(self):
        settings = LabSettings(counts=(1e3, 2e9))
        with pytest.raises(ValueError, match="counts may fall into a bin .* draws at most 4e"):
            DeviceSimulator(LabSimulator(load_sample("ggg444"), settings), DEVICES[0])


class TestStream:
    def stream(self, mixture, **changes):
        return DeviceLabStream(mixture, DEVICES[-1], **({"batch": 32, "seed": 1, "epoch": 64} | changes))

    @staticmethod
    def taken(stream, number):
        return [values for _, values in itertools.islice(iter(stream), number)]

    def test_goes_on_where_it_was(self, mixture):
        whole = self.stream(mixture)
        batches = self.taken(whole, 2)
        state = whole.state()
        third = self.taken(whole, 1)[0]
        resumed = self.stream(mixture)
        resumed.restore(state)
        torch.testing.assert_close(self.taken(resumed, 1)[0], third)
        for one, other in itertools.combinations([*batches, third], 2):
            assert not torch.isin(one[:, 0], other[:, 0]).any()

    def test_processes_have_scans_of_their_own(self, mixture):
        first, second = (self.taken(self.stream(mixture, rank=rank), 1)[0] for rank in (0, 1))
        assert not torch.isin(first[:, 0], second[:, 0]).any()

    def test_samples_take_turns_in_the_units_of_the_first(self, mixture):
        """Those of one sample come first: lengths and angles of the other are as many lattice planes and the same e."""
        values = self.taken(self.stream(mixture), 1)[0].cpu().numpy()
        assert len(values) == 32
        own = mixture.simulators[1].targets.bounds
        for k, sample in ((slice(0, 16), 0), (slice(16, 32), 1)):
            back = mixture.in_own(values[k], sample)
            low, high = np.array(list(mixture.simulators[sample].targets.bounds.values())).T
            assert ((back >= low) & (back <= high)).all()
        width = list(own).index("fwhm_arcsec")
        # Few would lie beyond the first sample's bounds if they were not brought to its units.
        assert mixture.ratios[1][width] < 0.5

    def test_scans_beyond_the_prior_are_left_out_with_their_rows(self, mixture):
        narrow = copy(mixture)
        low, high = mixture.bounds["L1"]
        narrow.bounds = dict(mixture.bounds) | {"L1": (low, 0.5 * (low + high))}
        everything, some = (next(iter(self.stream(own))) for own in (mixture, narrow))
        column = mixture.names.index("L1")
        kept = everything[1][:, column] <= narrow.bounds["L1"][1]
        assert 0 < kept.sum() < len(kept)
        torch.testing.assert_close(some[0], everything[0][kept])
        torch.testing.assert_close(some[1], everything[1][kept])

    def test_a_batch_is_as_large_as_asked_for(self, mixture):
        """But for scans beyond the estimator's prior."""
        for batch in (31, 32):
            assert batch - 2 <= len(self.taken(self.stream(mixture, batch=batch), 1)[0]) <= batch


class TestSource:
    """What `LabSource` does where a GPU trains."""

    @staticmethod
    def batches(**options):
        own = full_plan(lab_plan())
        return LabSource(own, own.lab).batches(np.isfinite, device=torch.device("cuda"), **options)

    def test_the_gpu_simulates(self, monkeypatch):
        asked = []
        monkeypatch.setattr(lab_data, "device_stream", lambda *given, **named: asked.append((given, named)))
        self.batches(rank=1, size=2)
        (_, device), named = asked[0]
        assert device.type == "cuda"
        assert named == {"batch": BLOCK // 2, "seed": 0, "epoch": 2 * 524_288, "rank": 1}

    @pytest.mark.skipif(GPU, reason="for machines without a GPU")
    def test_without_numba_cuda_or_a_card_the_processors_do(self, caplog):
        with caplog.at_level(logging.WARNING):
            assert isinstance(self.batches(), LabStream)
        (record,) = caplog.records
        assert record.getMessage().startswith("the processors simulate the scans, not the GPU: n")
        assert "install" in record.getMessage()


@pytest.mark.parametrize("scale", ["probit", "logit"])
def test_targets_of_tensors_are_those_of_arrays(scale):
    plan = full_plan(lab_plan(coordinates=scale))
    source = LabSource(plan, plan.lab)
    task = PosteriorTask(plan, source)
    values = source.scans.simulators[0].block(0).values
    torch.testing.assert_close(task.target(torch.from_numpy(values)), task.target(values))


def test_it_trains_on_tensors(tmp_path, monkeypatch):
    """From the draws to the optimiser's step."""
    stepped, whole = [], Run.step

    def batches(self, admits, *, device, rank=0, size=1):
        return DeviceLabStream(self.scans, device, batch=BLOCK, seed=1, epoch=4096, rank=rank)

    def step(self, curves, values):
        stepped.append((type(curves), type(values)))
        whole(self, curves, values)

    monkeypatch.setattr(LabSource, "batches", batches)
    monkeypatch.setattr(Run, "step", step)
    monkeypatch.setattr("strainscope.training.lab_data._STANDARDISED_BY", 300)
    plan = lab_plan()
    told = []
    training.train(plan, tmp_path / "run", tell=told.append)
    assert set(stepped) == {(torch.Tensor, torch.Tensor)}
    assert told[-1].seen >= 4 * BLOCK - 2
    assert np.isfinite(told[-1].validation["validation_loss"])
