"""What the processes of the tests call."""

import os
import time

_given = []


def begin(factor):
    _given[:] = [factor]


def times(number):
    return _given[0] * number


def times_or_killed(number, killed):
    """The number times what the process was given; the one that is to end its process does so each time."""
    if number == killed:
        os._exit(9)
    return _given[0] * number


def times_or_killed_once(number, folder):
    """As `times`; a process that is at 1 for the first time ends, together with its neighbour's unit."""
    place = os.path.join(folder, str(number))
    if number == 1 and not os.path.exists(place):
        open(place, "w").close()
        os._exit(9)
    time.sleep(0.05)
    return _given[0] * number


def refused(number):
    raise PermissionError(13, "Permission denied", f"place-{number}")
