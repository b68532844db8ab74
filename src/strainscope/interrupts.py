"""Ctrl-C where it does no harm: between steps, never amid one."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def kept_back() -> Iterator[list[int]]:
    """Keep Ctrl-C back until what is inside is done, where signals can be handled: in the main thread.

    Where it is ignored it stays so.

    Yields:
        Numbers of the signals so far: who looks may end early by raising KeyboardInterrupt.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        signal.raise_signal(signal.SIGINT)
