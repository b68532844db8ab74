"""Bars on stderr, where that is a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stage_bar() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, where that is a terminal: call with what is being done and the share done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr with rate and time left, where that is a terminal: call with samples done and their total.

    With a third argument, what is being done, rate and time begin anew whenever that changes; also where samples done
    become fewer, as with the next one of several networks.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    now, began, before, last = what, 0.0, 0, -1
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, rate="")

        def tell(done: int, total: int, phase: str = what) -> None:
            nonlocal now, began, before, last
            if phase != now or not 0 <= last <= done:
                now, began, before = phase, time.perf_counter(), done
                bar.reset(task, description=phase)
            last = done
            spent = time.perf_counter() - began
            rate = f"{(done - before) / spent:,.0f}/s" if spent > 0 and done > before else ""
            bar.update(task, completed=done, total=total, rate=rate)

        yield tell
