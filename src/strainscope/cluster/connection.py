"""A connection to a cluster, and its nodes checked before anything is done on them."""

import importlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from strainscope.cluster.nodes import own_versions, unit_for

_SOCKET_S, _HEALTH_S, _NODE_S = 5.0, 30.0, 180.0
_START = "start one with: ray start --head"


def ray_module() -> Any:  # noqa: ANN401 (its types are not needed to be installed)
    """Ray.

    Raises:
        ValueError: it is not installed.
    """
    if find_spec("ray") is None:
        raise ValueError("--ray: Ray is not installed; install it with: pip install 'strainscope[ray]'")
    return importlib.import_module("ray")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster whose nodes all have what this machine has; what is under way when it ends is dropped.

    Args:
        address: "auto" for the cluster that this machine is part of, or HOST:PORT of its head.

    Raises:
        ValueError: Ray is not installed, no such address, or a node has other versions or lacks a package.
        OSError: no cluster answers, or it has no processors.
    """
    ray = ray_module()
    if address != "auto":
        _check_answers(address)
    try:
        # The nodes' words stay in their logs: what matters comes back with a unit.
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except ConnectionError:
        raise OSError(
            f"--ray {address}: no Ray cluster runs here; give its HOST:PORT, or {_START}"
            if address == "auto"
            else f"--ray {address}: no Ray cluster answers; give another HOST:PORT, or on that machine {_START}"
        ) from None
    except RuntimeError as error:
        # Of Ray itself or Python; it names both.
        raise ValueError(f"--ray {address}: {' '.join(str(error).split())}") from None
    try:
        if not any(_processors(node) for node in ray.nodes()):
            raise OSError(
                f"--ray {address}: the cluster has no processors; add a node with: ray start --address HOST:PORT"
            )
        on_nodes(own_versions)
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise unless a head is there: left to itself Ray tries for minutes, then ends the process."""
    host, colon, port = address.rpartition(":")
    if address.startswith("ray://"):
        raise ValueError(
            f"--ray {address}: is Ray's client; run the command on a machine of the cluster, with --ray auto."
        )
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"--ray {address}: is no address; give auto, or HOST:PORT such as 10.0.0.1:6379.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SOCKET_S).close()
    except OSError as error:
        raise OSError(
            f"--ray {address}: no Ray cluster answers ({error.strerror or error}); give another HOST:PORT, or on that "
            f"machine {_START}"
        ) from None
    health = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        found = subprocess.run(health, capture_output=True, timeout=_HEALTH_S, check=False).returncode
    except subprocess.TimeoutExpired:
        found = 1
    if found != 0:
        raise OSError(
            f"--ray {address}: something may listen there, but no Ray cluster answers; on that machine {_START}"
        )


def on_nodes(function: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
    """Call a function once on every node that has processors.

    Args:
        function: Of a module's top level.
        arguments: Its own; they can be pickled.

    Raises:
        ValueError: a node has other versions or lacks a package; it is named. What the function raises there.
        OSError: a node does not answer. What the function raises there.
    """
    ray = ray_module()
    unit = ray.remote(num_cpus=0, max_retries=0)(unit_for(own_versions(), os.getcwd()))
    by_node = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    asked = {}
    for node in filter(_processors, ray.nodes()):
        there = unit.options(scheduling_strategy=by_node(node["NodeID"], soft=False))
        asked[there.remote(function.__module__, function.__name__, *map(pickle.dumps, arguments))] = node_name(node)
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_NODE_S)
    for reference in ready:
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayError:
            continue  # a node that died meanwhile does no units
        answered(answer)
    if late:
        raise OSError(f"node {asked[late[0]]} of the cluster did not answer within {_NODE_S:g} s; remove it, or wait.")


def answered(answer: tuple[str, Any]) -> Any:  # noqa: ANN401
    """What a unit returned.

    Raises:
        ValueError: the node is not fit for it.
        Exception: what the unit raised.
    """
    kind, content = answer
    if kind == "unlike":
        raise ValueError(f"{content}; install the same on every node, with the same constraints.txt.")
    if kind == "failed":
        raise content
    return content


def _processors(node: dict[str, Any]) -> float:
    """Those of a node; 0 where it is gone."""
    return float(node["Resources"].get("CPU", 0)) if node["Alive"] else 0.0


def node_name(node: dict[str, Any]) -> str:
    """What people call a node."""
    return f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
