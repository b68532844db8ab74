"""What the nodes of the tests' clusters call."""

import os
import time


def doubled_or_killed(killed, unit):
    """Twice the unit; the unit that is to kill its worker does so."""
    if unit == killed:
        os.kill(os.getpid(), 9)
    return 2 * unit


def killed_once(folder, unit):
    """The unit, on the second try: the first one kills its worker."""
    place = os.path.join(folder, str(unit))
    if not os.path.exists(place):
        open(place, "w").close()
        os.kill(os.getpid(), 9)
    return unit


def slow(_, unit):
    """The unit, after a while."""
    time.sleep(0.5)
    return unit


def refused(_, unit):
    raise PermissionError(13, "Permission denied", f"place-{unit}")
