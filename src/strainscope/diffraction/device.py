"""Where curves are simulated: on the processor, or on a GPU through numba-cuda, of which nothing is imported before."""

from functools import cache
from importlib.util import find_spec

from numba.core import config

DEVICES = ("auto", "cpu", "cuda")

_default: list[str] = ["cpu"]


def use_device(name: str) -> str:
    """Let this process simulate on a device where a call names none; what "auto" found is returned.

    Raises:
        ValueError: as `chosen_device`.
    """
    _default[:] = [chosen_device(name)]
    return _default[0]


def chosen_device(name: str | None = None) -> str:
    """ "cpu" or "cuda".

    Args:
        name: "cpu"; "cuda"; "auto" for cuda where there is a device and cpu elsewhere; None for what `use_device`
            said, and cpu where it was not called.

    Raises:
        ValueError: an unknown name, or "cuda" without numba-cuda or without a device.
    """
    if name is None:
        return _default[0]
    if name not in DEVICES:
        raise ValueError(f"device = {name!r}; known are {', '.join(DEVICES)}.")
    if name == "cpu":
        return "cpu"
    if name == "auto":
        # The simulator is there to test the code, and slow.
        return "cpu" if simulated() or what_is_missing() else "cuda"
    missing = "" if simulated() else what_is_missing()
    if missing:
        raise ValueError(f"device = 'cuda': {missing}, or use device = 'cpu'.")
    return "cuda"


def simulated() -> bool:
    """Whether numba's CUDA simulator stands for a GPU (the environment has NUMBA_ENABLE_CUDASIM=1)."""
    return bool(config.ENABLE_CUDASIM)


def require_gpu() -> None:
    """Raise ValueError, with the remedy, where the engine has no GPU."""
    missing = what_is_missing()
    if missing:
        raise ValueError(missing)


@cache
def what_is_missing() -> str:
    """What is missing for a GPU, and the remedy; "" if nothing is."""
    if find_spec("numba_cuda") is None:
        return "numba-cuda is not installed; install it with: pip install 'strainscope[cuda]'"
    from numba import cuda

    if cuda.is_available():
        return ""
    # The driver's own words go on with advice.
    reason = " ".join(str(cuda.cuda_error() or "").split()).split(". ")[0].strip(": .")
    return f"no CUDA device is found{f' ({reason})' if reason else ''}; install a card's driver"
