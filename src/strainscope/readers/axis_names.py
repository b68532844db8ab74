"""What laboratories call the angles of a diffractometer, where the format leaves it to them."""

import re

import numpy as np
from numpy.typing import NDArray

_NAMES = {
    "omega": (
        "omega",
        "om",
        "theta",
        "th",
        "eta",
        "thetas",
        "rotationangle",
        "sampleomega",
        "incidenceangle",
    ),
    "two-theta": ("twotheta", "2theta", "tth", "2th", "delta", "del", "polarangle", "detectorangle"),
    "chi": ("chi",),
    "phi": ("phi",),
}
_KNOWN = {word: name for name, words in _NAMES.items() for word in words}
# Names of a beam monitor, of the time of a point, and of what may be an attenuator.
MONITORS = ("monitor", "mon", "i0", "ic0")
TIMES = ("seconds", "sec", "counttime", "countingtime", "exposuretime", "integrationtime")
ATTENUATORS = re.compile(r"filter|atten|abs")


def plain(name: str) -> str:
    """A name in small letters and digits alone."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def axis_of(name: str) -> str | None:
    """The angle that a name means; None where it means none."""
    return _KNOWN.get(plain(name))


def split_axes(
    columns: dict[str, NDArray[np.float64]], fixed: dict[str, float]
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Axes that moved, and those that stood still with where they did."""
    moved = {name: values for name, values in columns.items() if np.ptp(values) > 0}
    stood = {name: float(values[0]) for name, values in columns.items() if name not in moved}
    return moved, {name: value for name, value in (fixed | stood).items() if name not in moved}
