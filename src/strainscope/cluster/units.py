"""Units of work on a cluster: each is done once, or again where its worker or node died."""

import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from strainscope.cluster.connection import answered, ray_module
from strainscope.cluster.nodes import own_versions, unit_for

LOST = object()
"""In place of a result: the unit's workers died as often as is tried."""

_TRIES = 5
# Beyond what runs, so that no processor waits for the driver.
_AHEAD = 2
_PATIENCE_S = 300.0
_LOOK_S = 5.0


def done_units(function: Callable[..., Any], shared: Any, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:  # noqa: ANN401
    """Call function(shared, unit) for each unit on the connected cluster.

    A function is called again for a unit whose worker or node died, also while a node that is only cut off still is at
    it: what it writes has to be whole or not there, and the same each time.

    Args:
        function: Of a module's top level.
        shared: What all units have; it can be pickled, as can the units.
        units: Each one's own.

    Yields:
        Number of a unit, and what the function returned, or LOST; as they are done.

    Raises:
        ValueError: a node has other versions or lacks a package. What the function raises.
        OSError: no node has been left for minutes. What the function raises.
    """
    ray = ray_module()
    remote = ray.remote(num_cpus=1, max_retries=0)(unit_for(own_versions(), os.getcwd()))
    held = ray.put(pickle.dumps(shared))
    waiting = list(range(len(units)))[::-1]
    tries = [0] * len(units)
    pending: dict[Any, int] = {}
    alive, looked, processors = time.monotonic(), -_LOOK_S, 0.0
    try:
        while waiting or pending:
            now = time.monotonic()
            if now - looked >= _LOOK_S:
                processors, looked = ray.cluster_resources().get("CPU", 0.0), now
            if processors:
                alive = now
            elif now - alive > _PATIENCE_S:
                raise OSError(f"the cluster has had no processors for {_PATIENCE_S:g} s")
            while waiting and len(pending) < _AHEAD * max(processors, 1):
                number = waiting.pop()
                task = remote.remote(function.__module__, function.__name__, held, pickle.dumps(units[number]))
                pending[task] = number
            for reference in ray.wait(list(pending), num_returns=1, timeout=_LOOK_S)[0]:
                number = pending.pop(reference)
                try:
                    answer = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError:
                    tries[number] += 1
                    if tries[number] < _TRIES:
                        waiting.append(number)
                    else:
                        yield number, LOST
                    continue
                yield number, answered(answer)
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
        if pending:
            ray.wait(list(pending), num_returns=len(pending), timeout=_LOOK_S)
