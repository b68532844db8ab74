"""What the processes of the tests call."""

import os
import time

_given = []


def begin(factor):
    _given[:] = [factor]


def begin_wrong(factor):
    raise PermissionError(13, "Permission denied", "what-is-begun-with")


def times(number):
    return _given[0] * number


def times_or_killed(number, killed):
    """The number times what the process was given; the one that is to end its process does so each time."""
    if number == killed:
        os._exit(9)
    return _given[0] * number


def times_or_killed_once(number, folder):
    """As `times`, each call noted; a process that is at 1 for the first time ends when its neighbour is at 0."""
    tries = len([name for name in os.listdir(folder) if name.startswith(f"{number}-")])
    open(os.path.join(folder, f"{number}-{tries}"), "w").close()
    if number == 1 and not tries:
        while not os.path.exists(os.path.join(folder, "0-0")):
            time.sleep(0.01)
        os._exit(9)
    if number == 0 and not tries:
        time.sleep(60)
    return _given[0] * number


def refused(number):
    raise PermissionError(13, "Permission denied", f"place-{number}")
