"""Processes that share a training's batches, one for each device: what they agree on, and how they end."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy

Made = TypeVar("Made")

# The others wait so long for the first one, which simulates the datasets.
_PATIENCE = timedelta(days=2)


class _WholeInputs(MixedPrecision):
    """Mixed precision that leaves inputs as they are: three digits are too few for a curve that spans eight decades."""

    def convert_input(self, data: Any) -> Any:  # noqa: ANN401
        return data


def fabric_of(precision: str, devices: int = 1) -> Fabric:
    """The fastest kind of device there is, at "32-true" or "bf16-mixed".

    Args:
        precision: Of the arithmetic.
        devices: GPUs that share each batch; processes where there is no GPU.

    Raises:
        ValueError: there are not so many.
    """
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    most = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind)
    if most is not None and devices > most:
        raise ValueError(f"devices = {devices}; this machine has {most} ({kind}). Use as many, or fewer.")
    strategy = "auto" if devices == 1 else DDPStrategy(timeout=_PATIENCE)
    plugin = Precision() if precision == "32-true" else _WholeInputs("bf16-mixed", kind)
    return Fabric(accelerator=kind, devices=devices, strategy=strategy, plugins=plugin)


class _Begun(ClusterEnvironment):
    """One of several processes that others began, whose group torch knows already.

    Args:
        rank: Of this process.
        size: Number of them.
    """

    creates_processes_externally = True
    main_address, main_port = "", 0  # the group is there

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    @staticmethod
    def detect() -> bool:
        """It is not to be found, but given."""
        return False

    def world_size(self) -> int:
        """Number of processes."""
        return self._size

    def set_world_size(self, size: int) -> None:
        """It is as it is."""

    def global_rank(self) -> int:
        """Of this process."""
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        """It is as it is."""

    def local_rank(self) -> int:
        """Each has its own device."""
        return 0

    def node_rank(self) -> int:
        """As if each had its own node."""
        return self._rank


def member_of(precision: str, rank: int, size: int) -> Fabric:
    """A processor's part in a group of processes that torch knows already, as the workers of Ray Train.

    Args:
        precision: Of the arithmetic.
        rank: Of this process.
        size: Number of them.
    """
    plugin = Precision() if precision == "32-true" else _WholeInputs("bf16-mixed", "cpu")
    if size == 1:
        return Fabric(accelerator="cpu", devices=1, plugins=plugin)
    plugins: list[Any] = [plugin, _Begun(rank, size)]
    return Fabric(accelerator="cpu", devices=1, num_nodes=size, strategy=DDPStrategy(), plugins=plugins)


@contextmanager
def together(fabric: Fabric) -> Iterator[None]:
    """Start the other processes: each runs this program anew up to here, and goes no farther than this context.

    Where the first one fails it ends the others: it alone says why.
    """
    fabric.launch()
    if not fabric.is_global_zero:
        # Ctrl-C reaches all of them; the first one saves what is trained, and needs the others to end its step.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
        fabric.barrier()
    except BaseException:
        if fabric.is_global_zero:
            for process in getattr(fabric.strategy.launcher, "procs", []):
                process.kill()
        raise
    if not fabric.is_global_zero:
        raise SystemExit(0)


def summed(fabric: Fabric, *numbers: float) -> list[float]:
    """Sums over the processes."""
    if fabric.world_size == 1:
        return list(numbers)
    tensor = torch.tensor(numbers, dtype=torch.float64, device=fabric.device)
    found: list[float] = fabric.all_reduce(tensor, reduce_op="sum").tolist()  # type: ignore[union-attr]
    return found


def from_first(fabric: Fabric, make: Callable[[], Made]) -> Made:
    """What the first process makes, in all of them."""
    return fabric.broadcast(make() if fabric.is_global_zero else None)  # type: ignore[return-value]


def first_said(fabric: Fabric, words: str | None) -> str | None:
    """What the first of the processes that have anything to say says, in all of them."""
    said: list[str | None] = [words]
    if fabric.world_size > 1:
        said *= fabric.world_size
        torch.distributed.all_gather_object(said, words)
    return next((one for one in said if one is not None), None)
