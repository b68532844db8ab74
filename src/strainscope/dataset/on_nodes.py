"""Shards made by the nodes of a cluster, which write them where all can: nothing passes through this machine."""

import platform
import uuid
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from strainscope.cluster import LOST, done_units, on_nodes
from strainscope.dataset.shard import ShardMaker
from strainscope.dataset.store import Layout


def check_shared(path: Path) -> None:
    """Raise unless every node of the connected cluster can write in a folder, and it is this one.

    Args:
        path: The folder; removed where it is empty and a node cannot.

    Raises:
        OSError: a node does not see it, or cannot write there.
    """
    place = path.absolute() / f"{uuid.uuid4().hex}.partial"
    try:
        place.write_bytes(b"")
        on_nodes(_try, str(place))
    except BaseException:
        place.unlink(missing_ok=True)
        if not any(path.iterdir()):
            path.rmdir()
        raise
    place.unlink(missing_ok=True)


def _try(place: str) -> None:
    """On a node: write beside a file that has to be there."""
    there, own = Path(place), Path(f"{place}.{uuid.uuid4().hex}.partial")
    if not there.is_file():
        raise OSError(
            f"{there.parent}: node {platform.node()} of the cluster does not see it; name a folder that all nodes see."
        )
    try:
        own.write_bytes(b"")
        own.unlink()
    except OSError as error:
        raise OSError(
            f"{there.parent}: node {platform.node()} of the cluster cannot write there ({error.strerror or error}); "
            "mend that, or name another folder that all nodes share."
        ) from None


def simulated_on_nodes(layout: Layout, path: Path, shards: list[int]) -> Iterator[tuple[int, int]]:
    """Spans of samples, each when its shard is where the nodes write it.

    Raises:
        OSError: a node could not write, or the workers of a shard were killed again and again.
    """
    shared = (layout.plan.model_dump_json(), layout.device, str(path.absolute()))
    for number, result in done_units(_make, shared, shards):
        if result is LOST:
            raise OSError(
                f"the workers of shard {shards[number]} were killed again and again, perhaps for want of memory"
            )
        yield layout.span(shards[number])


@lru_cache(maxsize=1)
def _maker(document: str, device: str, path: str) -> ShardMaker:
    """On a node: what a worker keeps from one shard to the next."""
    return ShardMaker(document, device, path)


def _make(shared: tuple[str, str, str], shard: int) -> None:
    """On a node: simulate a shard and write it."""
    _maker(*shared).make(shard)
