"""Where curves are simulated: what is chosen, what is said where it cannot be, and that nothing of CUDA is loaded."""

import subprocess
import sys

import numpy as np
import pytest

from strainscope.crystal import builtin_crystal, reflection
from strainscope.dataset.plan import load_plan
from strainscope.dataset.simulate import Simulator
from strainscope.diffraction import (
    chosen_device,
    device,
    no_sublayers,
    rocking_curve,
    stack_from_reflections,
    use_device,
)
from strainscope.diffraction.engine import angle_tables

BARE = stack_from_reflections(reflection(builtin_crystal("GGG"), (4, 4, 4), wavelength="CuKa1"))
THETA = np.array([BARE.incidence_angle])


@pytest.fixture
def without(monkeypatch):
    """A machine without numba-cuda, or with it and without a device."""

    def machine(*, numba_cuda, reason=None):
        from numba import cuda

        monkeypatch.setattr(device, "simulated", lambda: False)
        monkeypatch.setattr(device, "find_spec", lambda name: object() if numba_cuda else None)
        monkeypatch.setattr(cuda, "is_available", lambda: False)
        monkeypatch.setattr(cuda, "cuda_error", lambda: reason)
        device.what_is_missing.cache_clear()

    yield machine
    device.what_is_missing.cache_clear()


def test_auto_is_the_processor_where_there_is_no_device(without):
    for numba_cuda in (False, True):
        without(numba_cuda=numba_cuda)
        assert chosen_device("auto") == "cpu"
        assert angle_tables(THETA, BARE, dtype=np.float64, device="auto").device == "cpu"


def test_cuda_without_numba_cuda(without):
    without(numba_cuda=False)
    with pytest.raises(ValueError, match=r"^device = 'cuda': numba-cuda is not installed; install it with: pip"):
        rocking_curve(THETA, BARE, no_sublayers(), device="cuda")


def test_cuda_without_a_device(without):
    without(numba_cuda=True, reason=RuntimeError("\nCUDA driver library cannot be found.\nEnsure that one is.\n:"))
    with pytest.raises(ValueError, match="^device = 'cuda'") as caught:
        use_device("cuda")
    assert str(caught.value) == (
        "device = 'cuda': no CUDA device is found (CUDA driver library cannot be found); install a card's driver, "
        "or use device = 'cpu'."
    )
    assert chosen_device() == "cpu"


def test_unknown_device():
    with pytest.raises(ValueError, match="^device = 'gpu'; known are auto, cpu, cuda.$"):
        chosen_device("gpu")


def test_the_process_has_a_device_of_its_own(monkeypatch):
    monkeypatch.setattr(device, "_default", ["cpu"])
    monkeypatch.setattr(device, "simulated", lambda: True)
    assert use_device("cuda") == "cuda"
    assert angle_tables(THETA, BARE, dtype=np.float64).device == "cuda"
    assert angle_tables(THETA, BARE, dtype=np.float64, device="cpu").device == "cpu"
    assert use_device("cpu") == "cpu"


def test_a_dataset_is_simulated_on_the_device_of_its_process(monkeypatch):
    monkeypatch.setattr(device, "_default", ["cpu"])
    monkeypatch.setattr(device, "simulated", lambda: True)
    plan = load_plan("balanced-1m", size=1)
    assert Simulator(plan).tables.device == "cpu"
    use_device("cuda")
    assert Simulator(plan).tables.device == "cuda"


def test_the_reference_engine_has_no_other():
    with pytest.raises(ValueError, match="^device = 'cuda'; the reference engine runs on the cpu only.$"):
        rocking_curve(THETA, BARE, no_sublayers(), engine="reference", device="cuda")


def test_nothing_of_cuda_is_imported_for_the_processor():
    program = (
        "import sys, numpy as np\n"
        "import strainscope.cli, strainscope.inversion, strainscope.dataset.generate\n"
        "from strainscope.diffraction.engine import angle_tables, reflectivities\n"
        "from tests.unit.test_device import BARE, THETA, no_sublayers\n"
        "reflectivities(angle_tables(THETA, BARE, dtype=np.float32), no_sublayers())\n"
        "found = [name for name in sys.modules if name.startswith(('numba.cuda', 'numba_cuda'))]\n"
        "print(*found, [name for name in sys.modules if 'cuda_' in name and 'strainscope' in name])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
