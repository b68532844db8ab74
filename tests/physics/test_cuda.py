"""The engine on a GPU: the processor's curves and derivatives, however a batch is cut.

Where there is no GPU, one test runs the others in numba's CUDA simulator, in a process of its own: there each thread of
a kernel is one of Python, so that cases are small.
"""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from strainscope.crystal import ARCSEC, builtin_crystal, reflection
from strainscope.diffraction import (
    Layer,
    Sublayers,
    chosen_device,
    jacobian,
    no_sublayers,
    rocking_curve,
    stack_from_reflections,
    uniform_sublayers,
)
from strainscope.diffraction.device import simulated
from strainscope.diffraction.engine import angle_tables, reflectivities, reflectivity_jacobian
from strainscope.measurement.on_device.optics import reflect_on_gpu

GPU = chosen_device("auto") == "cuda"
GGG = reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1")
YIG = reflection(builtin_crystal("YIG"), (4, 4, 4), wavelength="CuKa1")
GAAS = reflection(builtin_crystal("GaAs"), (1, 1, 5), wavelength=1.2, surface=(0, 0, 1))
BARE = stack_from_reflections(GGG)
STACKS = {
    "bare": BARE,
    "polar_and_asymmetric": stack_from_reflections(GAAS),
    "film": stack_from_reflections(GGG, ((YIG, -4.85e-4, 400.0),)),
    "films_left_perfect": stack_from_reflections(GGG, ((YIG, -4.85e-4, 450.0), (GGG, 1e-3, 300.0))),
}
LAWS = ("exact", "linear")
# What the fast engine leaves out, as the tests of its limits allow it.
ROUNDING = 2e-5
TYPES = {"float64": (np.float64, 1e-12), "float32": (np.float32, 1e-5)}
OUT_OF_MEMORY = "[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"
each_stack = pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
each_law = pytest.mark.parametrize("bragg_law", LAWS)
each_type = pytest.mark.parametrize(("dtype", "rounding"), TYPES.values(), ids=TYPES)


def scan(stack, number=20):
    return stack.incidence_angle + np.linspace(-1500, 100, number) * ARCSEC


def batch(stack, n_curve=2, edges=(0, 40, 90, 150, 220, 300, 340, 400, 430), seed=1):
    """Cells of strain and disorder that vary in each; of every second curve the deepest two are padding."""
    rng = np.random.default_rng(seed)
    edges = np.array(edges, dtype=np.float64)
    shape = (n_curve, len(edges) - 1)
    thickness = np.tile(np.diff(edges), (n_curve, 1))
    thickness[1::2, -2:] = 0
    layer = np.searchsorted(stack.interfaces, 0.5 * (edges[1:] + edges[:-1]))
    return Sublayers(
        thickness=thickness,
        strain=rng.uniform(0, 0.01, (*shape, 2)),
        debye_waller=rng.uniform(0.3, 1, (*shape, 2)),
        layer=np.tile(layer, (n_curve, 1)),
        upper=np.tile(edges[:-1], (n_curve, 1)),
    )


def both_tables(stack, *, number=20, **options):
    """Of the processor, and of the GPU."""
    options = {"dtype": np.float64} | options
    return (angle_tables(scan(stack, number), stack, device=name, **options) for name in ("cpu", "cuda"))


def part(cells, rows):
    return Sublayers(**{name: own[rows] for name, own in vars(cells).items()})


class TestCurves:
    __test__ = GPU or simulated()

    @each_stack
    @each_law
    @each_type
    def test_are_those_of_the_processor(self, stack, bragg_law, dtype, rounding):
        cpu, gpu = both_tables(stack, dtype=dtype, bragg_law=bragg_law)
        cells = batch(stack)
        found = reflectivities(gpu, cells)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, reflectivities(cpu, cells), rtol=rounding)

    def test_of_more_cells_than_shared_memory_takes_at_once(self):
        cpu, gpu = both_tables(BARE, number=4)
        cells = batch(BARE, 1, 5.0 * np.arange(132))
        np.testing.assert_allclose(reflectivities(gpu, cells), reflectivities(cpu, cells), rtol=1e-12)

    def test_of_the_undamaged_stack(self):
        for stack in (BARE, STACKS["films_left_perfect"]):
            cpu, gpu = both_tables(stack)
            np.testing.assert_allclose(
                reflectivities(gpu, no_sublayers()), reflectivities(cpu, no_sublayers()), rtol=1e-12
            )

    def test_of_no_batch_at_all(self):
        _, gpu = both_tables(BARE)
        assert reflectivities(gpu, part(batch(BARE), slice(0, 0))).shape == (0, 2, 20)

    def test_into_an_array_that_is_given(self):
        cpu, gpu = both_tables(BARE)
        out = np.zeros((2, 2, 20))
        assert reflectivities(gpu, batch(BARE), out) is out
        np.testing.assert_allclose(out, reflectivities(cpu, batch(BARE)), rtol=1e-12)


class TestInPlace:
    """Sublayers and results are torch's tensors in the GPU's memory."""

    __test__ = simulated() or (GPU and torch.cuda.is_available())

    @each_stack
    def test_are_those_of_the_processor(self, stack):
        cpu, gpu = both_tables(stack, dtype=np.float32)
        cells = batch(stack)
        names = ("thickness", "strain", "debye_waller", "layer")
        device = torch.device("cuda" if GPU else "cpu")
        sent = {name: torch.from_numpy(getattr(cells, name)).to(device) for name in names}
        found = reflect_on_gpu(gpu, sent)
        assert found.device == sent["strain"].device
        np.testing.assert_allclose(found.cpu(), reflectivities(cpu, cells), rtol=1e-5)


class TestDerivatives:
    __test__ = GPU or simulated()

    @staticmethod
    def slopes(cells, n_parameter=11, seed=2):
        """Of more parameters than a thread sums together."""
        rng = np.random.default_rng(seed)
        shape = (*cells.strain.shape, n_parameter)
        return rng.normal(size=shape), rng.normal(size=shape)

    @each_stack
    @each_law
    def test_are_those_of_the_processor(self, stack, bragg_law):
        cpu, gpu = both_tables(stack, bragg_law=bragg_law)
        cells = batch(stack)
        slopes = self.slopes(cells)
        for found, expected in zip(
            reflectivity_jacobian(gpu, cells, *slopes),
            reflectivity_jacobian(cpu, cells, *slopes),
            strict=True,
        ):
            assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()

    def test_in_single_precision(self):
        stack = STACKS["film"]
        cpu, gpu = both_tables(stack, dtype=np.float32)
        cells = batch(stack)
        slopes = self.slopes(cells, 3)
        found, expected = (reflectivity_jacobian(tables, cells, *slopes)[1] for tables in (gpu, cpu))
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()

    def test_equal_central_differences(self):
        """In strain and in E of every sublayer."""
        theta = scan(BARE, 12)
        strain, factor = np.array([0.002, 0.006, 0.004]), np.array([0.9, 0.6, 0.8])
        thickness = np.array([60.0, 80.0, 70.0])

        def curve(strain, factor):
            cells = uniform_sublayers(thickness, strain, factor, stack=BARE)
            return rocking_curve(theta, BARE, cells, device="cuda")

        _, by_strain, by_factor = jacobian(
            theta, BARE, uniform_sublayers(thickness, strain, factor, stack=BARE), device="cuda"
        )
        for k in range(3):
            step = np.zeros(3)
            step[k] = 1e-5
            expected = (curve(strain + step, factor) - curve(strain - step, factor)) / 2e-5
            assert np.abs(by_strain[:, k] - expected).max() < 2e-5 * np.abs(expected).max()
            expected = (curve(strain, factor + step) - curve(strain, factor - step)) / 2e-5
            assert np.abs(by_factor[:, k] - expected).max() < 2e-5 * np.abs(expected).max()


class TestPhysics:
    __test__ = GPU or simulated()

    def test_splitting_a_sublayer_changes_nothing(self):
        theta = scan(BARE)
        whole, halves = (
            rocking_curve(
                theta,
                BARE,
                uniform_sublayers(np.full(4 * n, 40.0 / n), np.repeat(strain, n), stack=BARE),
                device="cuda",
            )
            for strain in [np.array([0.003, 0.008, 0.006, 0.001])]
            for n in (1, 2)
        )
        np.testing.assert_allclose(whole, halves, rtol=2 * ROUNDING)

    def test_sublayers_of_the_film_itself_change_nothing(self):
        """Also where they end inside it."""
        stack = STACKS["film"]
        cells = uniform_sublayers(np.full(6, 50.0), np.zeros(6), stack=stack)
        found = rocking_curve(scan(stack), stack, cells, device="cuda")
        np.testing.assert_allclose(
            found, rocking_curve(scan(stack), stack, no_sublayers(), device="cuda")[0], rtol=2 * ROUNDING
        )

    def test_darwin_plateau_without_absorption(self):
        layer = Layer(chi_0=GGG.chi_0.real + 0j, chi_h=abs(GGG.chi_h) + 0j, chi_hbar=abs(GGG.chi_h) + 0j)
        stack = replace(BARE, layers=(layer,))
        middle = stack.bragg_angle + GGG.refraction_shift
        theta = middle + np.linspace(-1, 1, 5) * ARCSEC
        found = rocking_curve(theta, stack, no_sublayers(), device="cuda")
        np.testing.assert_allclose(found, 1, rtol=1e-9)

    def test_the_reference_engine_agrees(self):
        stack = STACKS["film"]
        cells = uniform_sublayers(np.full(9, 50.0), np.linspace(0.008, 0, 9), np.linspace(0.6, 1, 9), stack=stack)
        expected = rocking_curve(scan(stack), stack, cells, engine="reference")
        found = rocking_curve(scan(stack), stack, cells, device="cuda")
        np.testing.assert_allclose(found, expected, rtol=ROUNDING)


class TestStreams:
    __test__ = GPU or simulated()

    @pytest.fixture(autouse=True)
    def engine(self, monkeypatch):
        """The engine without buffers of earlier tests."""
        from strainscope.diffraction import cuda_engine

        monkeypatch.setattr(cuda_engine, "_kept", [])
        monkeypatch.setattr(cuda_engine, "_room", cuda_engine._room)
        return cuda_engine

    @staticmethod
    def with_room_for(engine, monkeypatch, most):
        """Buffers of more curves find no memory; how many each attempt was for."""
        asked = []

        class Batch(engine.Batch):
            def __init__(self, on, tables, together, *sizes):
                asked.append(together)
                if together > most:
                    raise RuntimeError(OUT_OF_MEMORY)
                super().__init__(on, tables, together, *sizes)

        monkeypatch.setattr(engine, "Batch", Batch)
        return asked

    def test_a_batch_is_its_parts(self, engine, monkeypatch):
        cpu, gpu = both_tables(BARE, number=8)
        cells = batch(BARE, 5)
        monkeypatch.setattr(engine, "CURVES_TOGETHER", 2)
        np.testing.assert_allclose(reflectivities(gpu, cells), reflectivities(cpu, cells), rtol=1e-12)

    def test_derivatives_of_a_batch_are_those_of_its_parts(self, engine, monkeypatch):
        cpu, gpu = both_tables(BARE, number=8)
        cells = batch(BARE, 3)
        slopes = TestDerivatives.slopes(cells, 2)
        monkeypatch.setattr(engine, "JACOBIANS_TOGETHER", 1)
        expected = reflectivity_jacobian(cpu, cells, *slopes)[1]
        found = reflectivity_jacobian(gpu, cells, *slopes)[1]
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()

    def test_buffers_serve_again(self, engine):
        """Also a smaller batch of fewer cells, which must not see what the first one left."""
        cpu, gpu = both_tables(BARE, number=8)
        small = batch(BARE, 2, (0, 50, 100, 120), seed=3)
        for cells in (batch(BARE, 3), small):
            np.testing.assert_allclose(reflectivities(gpu, cells), reflectivities(cpu, cells), rtol=1e-12)
        assert len(engine._kept) == 1

    def test_too_little_memory_halves_the_batch_and_says_so(self, engine, monkeypatch, caplog):
        cpu, gpu = both_tables(BARE, number=8)
        cells = batch(BARE, 5)
        asked = self.with_room_for(engine, monkeypatch, 1)
        with caplog.at_level(logging.WARNING):
            found = reflectivities(gpu, cells)
        np.testing.assert_allclose(found, reflectivities(cpu, cells), rtol=1e-12)
        assert [record.getMessage() for record in caplog.records] == [
            "the GPU has too little memory for 5 curves at a time; it takes 2.",
            "the GPU has too little memory for 2 curves at a time; it takes 1.",
        ]
        assert asked == [5, 2, 1, 1]
        # The next batch begins with what there is room for.
        engine._kept.clear()
        caplog.clear()
        reflectivities(gpu, cells)
        assert not caplog.records

    def test_too_little_memory_for_one_curve(self, engine, monkeypatch):
        _, gpu = both_tables(BARE, number=8)
        self.with_room_for(engine, monkeypatch, 0)
        with pytest.raises(ValueError, match=r"too little memory for one curve of 8 sublayers and 8 angles \("):
            reflectivities(gpu, batch(BARE, 1))

    def test_an_interrupted_batch_leaves_nothing_behind(self, engine, monkeypatch):
        cpu, gpu = both_tables(BARE, number=8)
        monkeypatch.setattr(engine, "CURVES_TOGETHER", 1)
        whole, parts = engine.simulate, []

        def interrupted(on, own, count, *others):
            parts.append(count)
            if len(parts) == 2:
                raise KeyboardInterrupt
            whole(on, own, count, *others)

        monkeypatch.setattr(engine, "simulate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reflectivities(gpu, batch(BARE, 3))
        assert engine._kept == []
        cells = batch(BARE, 2, seed=4)
        np.testing.assert_allclose(reflectivities(gpu, cells), reflectivities(cpu, cells), rtol=1e-12)

    def test_other_errors_are_not_hidden(self, engine, monkeypatch):
        _, gpu = both_tables(BARE, number=8)

        def fails(*sizes):
            raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED")

        monkeypatch.setattr(engine, "Batch", fails)
        with pytest.raises(RuntimeError, match="LAUNCH_FAILED"):
            reflectivities(gpu, batch(BARE, 1))


if not (GPU or simulated()):

    def test_in_the_simulator():
        """All of the above."""
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", Path(__file__)],
            env=os.environ | {"NUMBA_ENABLE_CUDASIM": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-4000:]
        assert "skipped" not in done.stdout
