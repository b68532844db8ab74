"""Units of work side by side in processes of this machine; one that is ended from outside takes no other unit along."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from strainscope.interrupts import kept_back

KILLED = object()
"""In place of a result: the unit's process was ended from outside, again when it had the machine to itself."""

_LOOK_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Processes that work side by side.

    Attributes:
        number: Of processes.
        begin: Called once in each, a function of a module's top level.
        given: Its arguments.
    """

    number: int
    begin: Callable[..., None]
    given: tuple[Any, ...]


def done_side_by_side(
    function: Callable[..., Any], units: Sequence[tuple[Any, ...]], workers: Workers
) -> Generator[tuple[int, Any]]:
    """Call function(*unit) for each unit, as many at a time as there are workers.

    Where a process is ended from outside, as for want of memory, the units that were under way are tried again one by
    one. Ctrl-C is heeded between two results. All processes have ended when this has.

    Args:
        function: Of a module's top level.
        units: Arguments of each.
        workers: What calls it.

    Yields:
        Number of a unit, and what the function returned, or KILLED; as they are done.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        Exception: what the function raises, or the beginning.
    """
    waiting, suspects = deque(range(len(units))), deque[int]()
    with kept_back() as interrupts:
        while waiting or suspects:
            by_itself = bool(suspects)
            queue = suspects if by_itself else waiting
            number = 1 if by_itself else min(workers.number, len(queue))
            lost = yield from _until_broken(function, units, queue, number, workers, interrupts)
            if by_itself:
                yield from ((own, KILLED) for own in lost)
            else:
                suspects.extend(lost)


def _until_broken(
    function: Callable[..., Any],
    units: Sequence[tuple[Any, ...]],
    queue: deque[int],
    number: int,
    workers: Workers,
    interrupts: list[int],
) -> Generator[tuple[int, Any], None, list[int]]:
    """Work off the queue with fresh processes; the units that were under way when one was ended, none if none was."""
    # A forked process would inherit threads that are not there.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, mp_context=context, initializer=_begin, initargs=(workers.begin, workers.given))
    pending: dict[Future[Any], int] = {}
    try:
        while queue or pending:
            while queue and len(pending) < number:
                task = pool.submit(_call, function, units[queue[0]])
                pending[task] = queue.popleft()
            done, _ = wait(pending, timeout=_LOOK_S, return_when=FIRST_COMPLETED)
            if interrupts:
                raise KeyboardInterrupt
            # What was done beside one that was not is done.
            for task in sorted(done, key=lambda own: own.exception() is not None):
                answer = task.result()
                yield pending.pop(task), answer
    except BrokenProcessPool:
        if interrupts:
            raise KeyboardInterrupt from None
        return sorted(pending.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return []


_failed: list[Exception] = []


def _begin(begin: Callable[..., None], given: tuple[Any, ...]) -> None:
    """In a worker: begin; an error is kept for the first unit, as the pool would take it for a killed process."""
    try:
        begin(*given)
    except Exception as error:
        _failed.append(error)


def _call(function: Callable[..., Any], unit: tuple[Any, ...]) -> Any:  # noqa: ANN401
    """In a worker: what the function returns."""
    if _failed:
        raise _failed[0]
    return function(*unit)
