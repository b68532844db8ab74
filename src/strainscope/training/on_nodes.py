"""A training whose processes are workers of Ray Train on a cluster; where one dies, all go on from the checkpoint."""

import importlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import node
from typing import Any

from lightning_fabric import Fabric

from strainscope.cluster import check_shared, connected, on_nodes
from strainscope.dataset.bucket import Bucket
from strainscope.dataset.on_nodes import check_reached
from strainscope.dataset.place import Folder, Place, place_of
from strainscope.estimator.plan import TrainingPlan
from strainscope.estimator.shipped import WEIGHTS
from strainscope.training.checkpoint import CHECKPOINT
from strainscope.training.claim import held
from strainscope.training.loop import Habits, Progress, check_devices, source_of, task_of, train_in
from strainscope.training.settings import FullPlan, full_plan
from strainscope.training.team import member_of

# What decides the weights, besides what decides curves.
_NETWORKS = ("lightning-fabric", "safetensors", "torch", "zuko")
# Deaths of workers without a checkpoint between them, before it is given up.
_TRIES = 5
_TELL_S, _LISTEN_S = 0.5, 0.2


def train_on_nodes(
    plan: TrainingPlan,
    folder: Path,
    *,
    ray: str,
    resume: bool = False,
    data_folder: Path | str | None = None,
    devices: int = 1,
    threads: int = 1,
    checkpoint_every: int = 400_000,
    tell: Callable[[Progress], None] = lambda progress: None,
    tell_step: Callable[[int, int], None] = lambda seen, total: None,
    tell_data: Callable[[str, int, int], None] = lambda name, done, total: None,
    tell_resumed: Callable[[int, int], None] = lambda seen, total: None,
) -> Path:
    """Train as `train` does, with the workers of a cluster sharing each batch.

    Args:
        ray: Address of the cluster: "auto" or HOST:PORT.
        devices: Workers.
        threads: Of each; it takes as many processors.

    The others are those of `train`. Data that are missing are simulated on this machine first.

    Returns:
        Path of the weights.

    Raises:
        FileExistsError, ValueError, OSError: as by `train`; no cluster, one whose nodes are not fit for it or too few,
            or workers that die again and again.
        KeyboardInterrupt: as Ctrl-C was pressed; the last checkpoint stays.
    """
    whole = full_plan(plan)
    source = source_of(whole)
    task_of(whole, source).build()  # fails on what does not fit together before anything is begun
    check_devices(whole, devices)
    data = data_folder or folder / "data"
    habits = Habits(
        checkpoint_every=checkpoint_every,
        tell=tell,
        tell_step=tell_step,
        tell_data=tell_data,
        tell_resumed=tell_resumed,
    )
    # Held here and not by the first worker: who holds it lives as long as the command.
    with connected(ray), held(folder, whole, resume=resume):
        check_processors(ray, devices, threads)
        on_nodes(check_alike, packages())
        check_shared(folder)
        source.make(data, tell_data)
        check_data(place_of(data))
        asked = {
            "plan": whole.model_dump_json(),
            "folder": str(folder.absolute()),
            "data": place_of(data).absolute(),
            "checkpoint_every": checkpoint_every,
            "threads": threads,
            "packages": packages(),
            "cwd": os.getcwd(),
        }
        try:
            _until_done(asked, habits, folder, devices, threads)
        except KeyboardInterrupt:
            kept = "--resume goes on from the last checkpoint" if _checkpoints(folder) else "there is no checkpoint yet"
            raise KeyboardInterrupt(kept) from None
    return folder / WEIGHTS


def check_data(data: Place) -> None:
    """Refuse datasets that nodes do not see; where scans are simulated as they are needed there are none."""
    if isinstance(data, Bucket):
        if data.exists():
            check_reached(data)
    elif isinstance(data, Folder) and data.exists():
        check_shared(data.path)


def check_processors(address: str, workers: int, threads: int) -> None:
    """Refuse more than the cluster has now, or a worker that no node has room for.

    Raises:
        ValueError: too many workers, or too many threads.
    """
    ray = importlib.import_module("ray")
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if threads > max(nodes):
        raise ValueError(
            f"--ray {address}: --threads {threads} is more than the {max(nodes)} processors of the largest node; ask "
            "for fewer, or add a larger node."
        )
    if workers * threads > sum(nodes):
        raise ValueError(
            f"--ray {address}: {workers} workers of {threads} threads need {workers * threads} processors, and the "
            f"cluster has {sum(nodes)}; ask for fewer --devices or --threads, or add nodes."
        )


def packages() -> dict[str, str]:
    """Versions on this machine of what decides weights, by package; "" where one is not installed."""
    found = {}
    for name in _NETWORKS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def check_alike(expected: dict[str, str]) -> None:
    """On a node: raise unless it has the same packages for networks.

    Raises:
        ValueError: it has another version, or none.
    """
    found = packages()
    for name, wanted in expected.items():
        own = found.get(name, "")
        if own != wanted:
            has = f"has {name} {own}" if own else f"has no {name}"
            raise ValueError(
                f"node {node()} of the cluster {has}, and this machine has {wanted or 'none'}; install the same on "
                "every node, with the same constraints.txt."
            )


def _checkpoints(folder: Path) -> dict[str, int]:
    """When each checkpoint below a run's folder was written [ns]."""
    found = {}
    for place in (folder / CHECKPOINT, *folder.glob(f"member-*/{CHECKPOINT}")):
        with suppress(OSError):
            found[str(place)] = place.stat().st_mtime_ns
    return found


def _until_done(asked: dict[str, Any], habits: Habits, folder: Path, devices: int, threads: int) -> None:
    """Let workers train, others where they died, until they are done or one says why it cannot."""
    train = importlib.import_module("ray.train")
    trainer = importlib.import_module("ray.train.torch").TorchTrainer
    deaths = 0
    with _heard(habits) as (queue, outcome), tempfile.TemporaryDirectory(prefix="strainscope-ray-") as own:
        while True:
            before = _checkpoints(folder)
            one = trainer(
                _work,
                train_loop_config=asked | {"queue": queue},
                scaling_config=train.ScalingConfig(num_workers=devices, resources_per_worker={"CPU": threads}),
                run_config=train.RunConfig(storage_path=own, name="training"),
            )
            try:
                fitted(one)
                return
            except train.TrainingFailedError as error:
                time.sleep(2 * _LISTEN_S)
                if outcome:
                    raise outcome[0] from None
                deaths = 1 if _checkpoints(folder) != before else deaths + 1
                if deaths >= _TRIES:
                    reason = " ".join(str(error).split())[:300]
                    raise OSError(
                        f"{folder}: the workers died {deaths} times without a checkpoint between ({reason}). What is "
                        "written stays; go on with --resume once that is mended."
                    ) from None


def fitted(one: Any) -> None:  # noqa: ANN401 (of Ray)
    """Let Ray Train or Tune fit, which ends its workers itself where Ctrl-C is pressed.

    Raises:
        KeyboardInterrupt: as it was, where Ray Train would end the process with success. Ray Tune returns.
    """
    mine = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        one.fit()
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        # Ray Train leaves its own.
        if mine:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _heard(habits: Habits) -> Iterator[tuple[Any, list[BaseException]]]:
    """A queue that passes on what the first worker tells, and the error that it ends with."""
    ray = importlib.import_module("ray")
    by_node = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    here = by_node(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "scheduling_strategy": here}
    queue = importlib.import_module("ray.util.queue").Queue(actor_options=options)
    over, outcome = threading.Event(), []

    def listen() -> None:
        while not over.wait(_LISTEN_S):
            with suppress(ray.exceptions.RayError):
                for what, content in queue.get_nowait_batch(queue.qsize()):
                    if what == "error":
                        outcome.append(content)
                    else:
                        getattr(habits, what)(*content)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield queue, outcome
        time.sleep(2 * _LISTEN_S)
    finally:
        over.set()
        listener.join()
        with suppress(ray.exceptions.RayError):
            queue.shutdown(force=True)


def _work(config: dict[str, Any]) -> None:
    """On a node: train as one of the workers, and say why where that cannot be."""
    import torch

    context = importlib.import_module("ray.train").get_context()
    with suppress(OSError):
        os.chdir(config["cwd"])
    plan = FullPlan.model_validate_json(config["plan"])
    torch.set_num_threads(config["threads"])
    fabric: Fabric = member_of(plan.precision, context.get_world_rank(), context.get_world_size())
    told = partial(_tell, config["queue"])
    habits = Habits(
        checkpoint_every=config["checkpoint_every"],
        tell=lambda progress: told("tell", progress),
        tell_step=_now_and_then(lambda seen, total: told("tell_step", seen, total)),
        tell_data=lambda name, done, total: None,
        tell_resumed=lambda seen, total: told("tell_resumed", seen, total),
        data_are_made=True,
    )
    try:
        check_alike(config["packages"])  # a node may have joined since
        fabric.launch()
        data = config["data"]
        folder = Path(config["folder"])
        train_in(plan, folder, data if "://" in data else Path(data), habits, fabric, resume=True)
        fabric.barrier()
    except (ValueError, OSError) as error:
        # What another worker's death makes of the rest is a RuntimeError.
        with suppress(Exception):
            config["queue"].put(("error", error))
        raise


def _tell(queue: Any, what: str, *content: Any) -> None:  # noqa: ANN401 (of Ray)
    """Nobody that listens is no reason to end."""
    with suppress(Exception):
        queue.put((what, content), timeout=_TELL_S)


def _now_and_then(tell: Callable[[int, int], None]) -> Callable[[int, int], None]:
    last = [-_TELL_S]

    def tell_some(seen: int, total: int) -> None:
        if time.monotonic() - last[0] >= _TELL_S:
            tell(seen, total)
            last[0] = time.monotonic()

    return tell_some
