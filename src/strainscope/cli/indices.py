"""Miller indices on a command line."""

import re
from collections.abc import Sequence

INDEX_OPTIONS = ("-r", "--reflection", "--surface")


def indices(option: str, text: str) -> list[int]:
    """Miller indices of "4 4 4", "4,4,4" or, where each has one digit, "444"."""
    words = re.split(r"[\s,]+", text.strip())
    if len(words) == 1:
        words = re.findall(r"[+-]?\d", words[0]) if re.fullmatch(r"([+-]?\d){3,4}", words[0]) else words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise ValueError(f"{option} = {text!r}; give whole numbers, such as 4 4 4.") from None


def with_joined_indices(arguments: Sequence[str]) -> list[str]:
    """Arguments with `-r 4 4 4` as one: an option of this kind takes three indices or four."""
    result: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        taken: list[str] = []
        while word in INDEX_OPTIONS and rest and len(taken) < 4 and re.fullmatch(r"[+-]?[\d.]+,?", rest[0]):
            taken.append(rest.pop(0))
        if taken:
            word = f"{'--reflection' if word == '-r' else word}={' '.join(taken)}"
        result.append(word)
    return result
