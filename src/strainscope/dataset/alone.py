"""One process at a time in a folder that it writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Make a folder and hold it against a second process that would write it; the hold ends with this process.

    Raises:
        OSError: it cannot be made or locked, or another process holds it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path}: cannot be made ({error.strerror or error}); choose another place.") from None
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise OSError(
            f"{path}: cannot be opened ({error.strerror or error}); choose another place."
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise OSError(f"{path}: another process is writing it; wait for it or stop it.") from None
        raise OSError(
            f"{path}: cannot be locked ({error.strerror or error}); choose another place."
        ) from None
    try:
        yield
    finally:
        os.close(handle)
