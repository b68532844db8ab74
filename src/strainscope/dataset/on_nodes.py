"""Shards made by the nodes of a cluster, which write them where all can: nothing passes through this machine."""

import platform
import uuid
from collections.abc import Generator
from functools import lru_cache

from strainscope.cluster import LOST, done_units, on_nodes
from strainscope.dataset.bucket import Bucket, StoreError
from strainscope.dataset.shard import ShardMaker
from strainscope.dataset.store import Layout


def check_reached(bucket: Bucket) -> None:
    """Raise unless every node of the connected cluster can read and write in a bucket, and it is this one.

    Raises:
        OSError: a node cannot, or sees another store, or this machine cannot.
    """
    token = f"{uuid.uuid4().hex}.partial"
    bucket.put(token, b"")
    try:
        on_nodes(_try, str(bucket), token)
    finally:
        bucket.remove(token)


def _try(address: str, token: str) -> None:
    """On a node: write beside a file that has to be there."""
    bucket, node = Bucket(address), f"node {platform.node()} of the cluster"
    own = f"{uuid.uuid4().hex}.partial"
    try:
        there = bucket.has(token)
        if there:
            bucket.put(own, b"")
            bucket.remove(own)
    except StoreError as error:
        raise OSError(f"{error} So says {node}: set that where its ray start runs.") from None
    if not there:
        raise OSError(f"{address}: {node} sees another store; set AWS_ENDPOINT_URL as here where its ray start runs.")


def simulated_on_nodes(layout: Layout, path: str, shards: list[int]) -> Generator[tuple[int, int]]:
    """Spans of samples, each when its shard is where the nodes write it: at a path or address that they all have.

    Raises:
        OSError: a node could not write, or the workers of a shard were killed again and again.
    """
    shared = (layout.plan.model_dump_json(), layout.device, path)
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
