"""Generation: workers simulate shards, each written whole; whatever stops it, it goes on where it was."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from pathlib import Path
from typing import Any

from numcodecs import Blosc

from strainscope.cluster import check_shared, connected
from strainscope.dataset.bucket import Bucket
from strainscope.dataset.on_nodes import check_reached, simulated_on_nodes
from strainscope.dataset.place import Folder, Place, place_of
from strainscope.dataset.plan import Plan
from strainscope.dataset.shard import ShardMaker
from strainscope.dataset.simulate import BLOCK, Curves, Simulator
from strainscope.dataset.store import DamagedRootError, DatasetWriter, Layout, read_attributes, rounded
from strainscope.diffraction import chosen_device, use_device
from strainscope.diffraction.engine import worker_count
from strainscope.interrupts import kept_back

Progress = Callable[[int, int], None]

# Left free on the disk beside the data.
_SPARE_BYTES = 32 * 2**20

# Seconds between looks whether Ctrl-C was pressed.
_LOOK_S = 0.2


def generate(
    plan: Plan,
    path: Path | str,
    *,
    resume: bool = False,
    workers: int | None = None,
    device: str = "cpu",
    ray: str | None = None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Write a dataset, or what is missing of it.

    Args:
        plan: What to simulate.
        path: Of the Zarr store, or its address such as s3://bucket/d.zarr.
        resume: Go on with one that is there: shards whose checksums do not hold are made again.
        workers: Processes; by default one a processor.
        device: Where curves are simulated: "cpu", "cuda" or "auto".
        ray: Address of a Ray cluster whose nodes simulate, "auto" or HOST:PORT; None for this machine.
        progress: Called with the samples done and their total.

    Returns:
        Number of samples that were simulated now.

    Raises:
        FileExistsError: the path exists and `resume` is off.
        ValueError: what is there is something else, or of another plan, version or device; no such device; a node of
            the cluster has other versions.
        OSError: no room on the disk, or it cannot be written; no cluster.
    """
    if ray is not None and (device != "cpu" or workers is not None):
        given = f"--device {device}" if device != "cpu" else f"--workers {workers}"
        raise ValueError(f"{given}: is for this machine; leave it out with --ray, which takes the nodes' processors.")
    layout = Layout(plan=plan, device=chosen_device(device))
    place = place_of(path)
    writer = DatasetWriter(place, layout)
    _check_target(place, layout, resume)
    with contextlib.nullcontext() if ray is None else connected(ray), place.alone():
        if ray is not None:
            _check_nodes(place)
        if place.has("zarr.json"):
            try:
                read_attributes(place)
            except DamagedRootError:
                _check_same_data(place, layout)
        place.clear_partial()
        missing = [shard for shard in range(layout.shards) if not writer.intact(shard)]
        done = plan.size - sum(last - first for first, last in map(layout.span, missing))
        progress(done, plan.size)
        if missing and isinstance(place, Folder):
            _check_room(place.path, layout, missing)
        finished = writer.create()
        if finished and missing:
            writer.reopen()
            finished = False
        for shard in missing:
            writer.discard(shard)
        made = 0
        try:
            spans = (
                _simulated(layout, place, missing, workers or worker_count())
                if ray is None
                else simulated_on_nodes(layout, place.absolute(), missing)
            )
            with contextlib.closing(spans):
                for first, last in spans:
                    made += last - first
                    progress(done + made, plan.size)
        except OSError as error:
            reason = error.strerror or str(error)
            raise OSError(
                f"{path}: stopped after {done + made:,} of {plan.size:,} samples ({reason}). What is written stays; "
                "go on with --resume."
            ) from error
        finally:
            place.clear_partial()
        if not finished:
            writer.finish()
    return made


def _check_nodes(place: Place) -> None:
    """Refuse a place that nodes of the connected cluster do not have, too."""
    if isinstance(place, Folder):
        check_shared(place.path)
    elif isinstance(place, Bucket):
        check_reached(place)


def _check_target(path: Place, layout: Layout, resume: bool) -> None:
    """Refuse a target that cannot be gone on with."""
    if not path.exists():
        return
    if not resume:
        raise FileExistsError(f"{path}: exists; name another place, or go on with --resume.")
    if isinstance(path, Folder) and not path.path.is_dir():
        raise FileExistsError(f"{path}: is a file; name a folder such as d.zarr.")
    if not path.has("zarr.json"):
        held = path.names()
        if held:
            raise ValueError(f"{path}: holds {held[0]} and no dataset; name another place.")
        return
    try:
        attributes = read_attributes(path)
    except DamagedRootError:
        return  # what it holds is compared once no other process can write it
    expected = next(iter(layout.attributes(complete=attributes["complete"]).values()))
    if attributes == expected:
        return
    if attributes["version"] != expected["version"]:
        raise ValueError(
            f"{path}: was begun by strainscope {attributes['version']}, this is {expected['version']}; their curves "
            "may differ. Go on with that version, or generate it anew elsewhere."
        )
    if attributes["engine"] != expected["engine"]:
        raise ValueError(
            f"{path}: was simulated by {attributes['engine']}, and this would be by {expected['engine']}: the last "
            "digits differ. Name the other --device, or another place."
        )
    different = next(
        (f"{part}.{key}" if part != key else key)
        for part in expected
        for key in (expected[part] if isinstance(expected[part], dict) else [part])
        if (expected[part][key] if isinstance(expected[part], dict) else expected[part])
        != (attributes[part].get(key) if isinstance(attributes.get(part), dict) else attributes.get(part))
    )
    raise ValueError(
        f"{path}: is of another plan ({different} differs); name another place, or use its own plan."
    )


def _check_same_data(path: Place, layout: Layout) -> None:
    """Refuse a store whose description is lost, unless what it holds is what the plan gives."""
    lost = f"{path}: its zarr.json is damaged"
    writer = DatasetWriter(path, layout)
    for name, content in layout.metadata().items():
        if name != "zarr.json" and path.read(name) != content:
            raise ValueError(
                f"{lost}, and {name} is not that of this plan; use its own plan, or another place."
            )
    kept = path.read("zarr.json")
    # Arrays are read through the group that the file describes.
    writer.reopen()
    shard = next((s for s in range(layout.shards) if writer.intact(s)), None)
    if shard is None:
        return
    first, last = layout.span(shard)
    last = min(last, first + BLOCK)
    values = layout.plan.draws.values(first, last)
    context = multiprocessing.get_context("spawn")
    arguments = (layout.plan.model_dump_json(), layout.device, path.absolute(), context.Event())
    # In a worker, as the dataset was made: with other threads the last bits may differ.
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=arguments) as pool:
        with _interrupts_later():
            task = pool.submit(_block, first // BLOCK)
        curves = task.result()
    if not writer.holds(first, values, curves):
        path.put("zarr.json", kept or b"")
        raise ValueError(
            f"{lost}, and its samples are not those of this plan; use its own plan, or another place."
        )


def _check_room(path: Path, layout: Layout, missing: list[int]) -> None:
    """Refuse before starting what the disk cannot hold, by the size of the first block."""
    simulator = Simulator(layout.plan)
    curves = rounded(simulator.curves(0))
    packed = Blosc("lz4", clevel=1, shuffle=Blosc.BITSHUFFLE).encode(curves)
    each = len(packed) / len(curves) + 4 * len(layout.plan.names)
    rows = sum(last - first for first, last in map(layout.span, missing))
    needed, free = int(each * rows) + _SPARE_BYTES, shutil.disk_usage(path).free
    if needed > free:
        with contextlib.suppress(OSError):
            path.rmdir()
        most = max(0, int((free - _SPARE_BYTES) / each))
        raise OSError(
            f"{path}: {rows:,} samples need about {needed / 1e9:.2f} GB ({each:.0f} bytes each), and {free / 1e9:.2f} "
            f"GB are free. Ask for a size of at most {most:,}, or use another disk."
        )


def _simulated(layout: Layout, place: Place, shards: list[int], workers: int) -> Generator[tuple[int, int]]:
    """Spans of samples, each when its shard is written."""
    if not shards:
        return
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(shards)),
        mp_context=context,
        initializer=_begin,
        initargs=(layout.plan.model_dump_json(), layout.device, place.absolute(), stop),
    )
    # An interrupt amid what follows could leave a lock held, and the pool would then be waited for without end.
    with kept_back() as interrupts:
        try:
            # Workers start at the first submission.
            with _interrupts_later():
                tasks = {pool.submit(_make, shard): shard for shard in shards}
            waiting = set(tasks)
            while waiting:
                done, waiting = wait(waiting, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
                if interrupts:
                    raise KeyboardInterrupt
                for task in done:
                    task.result()
                    yield layout.span(tasks[task])
        except BrokenProcessPool:
            if interrupts:
                raise KeyboardInterrupt from None
            raise OSError("a worker was killed, perhaps for want of memory; try fewer --workers") from None
        finally:
            # Also on Ctrl-C: what workers are at is made again by the next run.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Keep Ctrl-C back; processes that start meanwhile never see one, as it is the parent's to handle."""
    mask = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # on Windows
        yield
        return
    before = mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        mask(signal.SIG_SETMASK, before)


_own: dict[str, Any] = {}


def _begin(document: str, device: str, path: str, stop: Any) -> None:  # noqa: ANN401 (an event of that context)
    """In a worker: leave Ctrl-C to the parent, end with it, use one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_parent() -> None:
            connection.wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()
    use_device(device)
    _own.update(stop=stop, maker=ShardMaker(document, device, path))


def _block(block: int) -> Curves:
    """In a worker: the curves of a block."""
    maker: ShardMaker = _own["maker"]
    return maker.simulator.curves(block)


def _make(shard: int) -> None:
    """In a worker: simulate a shard and write it."""
    maker: ShardMaker = _own["maker"]
    maker.make(shard, stopped=_own["stop"].is_set)
