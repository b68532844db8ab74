"""Numbers in the text of instruments' files."""

import re

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# float() takes more: nan, 1_000, digits of other scripts.
_ONLY = re.compile(r"[\s0-9eE+.\-]*")


def number_of(text: str, *, what: str) -> float:
    """The number that a text is.

    Raises:
        ValueError: it is none.
    """
    found = numbers_of(text, what=what)
    if found.size != 1:
        raise ValueError(f"{what} = {text[:40]!r}; it must be one number.")
    return float(found[0])


def numbers_of(text: str, *, what: str) -> FloatArray:
    """The numbers of a text, separated by white space, shape (number,).

    Raises:
        ValueError: something in it is none, or too large for one.
    """
    try:
        if not _ONLY.fullmatch(text):
            raise ValueError
        found = np.array(text.split(), dtype=np.float64)
    except ValueError:
        wrong = next((word for word in text.split() if not _is_number(word)), text)
        raise ValueError(
            f"{what}: {wrong[:40]!r} is no number; the file is damaged: export it again."
        ) from None
    if not np.isfinite(found).all():
        raise ValueError(f"{what}: a number is too large; the file is damaged: export it again.")
    return found


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return bool(_ONLY.fullmatch(word))
