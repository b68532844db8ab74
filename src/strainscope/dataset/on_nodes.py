"""Shards made by the nodes of a cluster, which write them where all can: nothing passes through this machine."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from strainscope.cluster import LOST, done_units
from strainscope.dataset.shard import ShardMaker
from strainscope.dataset.store import Layout


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
