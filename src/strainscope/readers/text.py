"""Text of two or three columns, whatever separator, decimal mark, comment or newline.

A file is read as it stands or refused with one line that starts with its path; nothing is skipped or guessed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

COMMENT_MARKS = ("#", "%", "!", ";", "//", "'")
LARGEST_SCAN_BYTES = 50_000_000
COLUMNS = ("angle", "intensity", "sigma")

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
DECIMAL_COMMA = re.compile(r"[+-]?(?:[0-9]+,[0-9]*|,[0-9]+)(?:[eE][+-]?[0-9]+)?")
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)(?:\(.*\))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class _Line:
    number: int
    text: str


def read_columns(path: str | PathLike[str]) -> np.ndarray:
    """Two or three columns of numbers in a text file: angle, intensity and, if there, its standard deviation.

    Columns are separated by white space, semicolons or commas. Between white space or semicolons a comma is
    the decimal mark, too; where commas separate, it is the point alone. Lines that begin with # % ! ; // or '
    are comments, and the first other line may hold column names. UTF-8 (with or without byte order mark) or
    Latin-1, any newline, rows in any order.

    Args:
        path: The file, at most 50 MB.

    Returns:
        The numbers, shape (row, 2 or 3).

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: its content is not a scan; the message names path, line and value.
    """
    text = read_text(path, what="scan", limit_bytes=LARGEST_SCAN_BYTES)
    try:
        return _columns(_data_lines(text))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_text(path: str | PathLike[str], *, what: str, limit_bytes: int) -> str:
    """Text of a file, with every newline as ``\\n`` and without byte order mark.

    Args:
        path: The file.
        what: What the file should be, for the messages ("scan", "sample", "CIF").
        limit_bytes: The largest size accepted [bytes].

    Returns:
        The text, decoded as UTF-8 or else as Latin-1.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it is empty, too large, or binary.
    """
    content = read_bytes(path, what=what, limit_bytes=limit_bytes)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path}: the {what} file is UTF-16 text; save it as UTF-8.")
    if b"\0" in content:
        raise ValueError(f"{path}: the {what} file is binary (NUL bytes); export it as text.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: str | PathLike[str], *, what: str, limit_bytes: int) -> bytes:
    """Content of a file, with the arguments of :func:`read_text`.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it is empty or too large.
    """
    try:
        # Asked first, as opening a pipe would wait for a writer.
        if Path(path).is_dir():
            raise IsADirectoryError(f"{path}: is a folder; name one {what} file.")
        if Path(path).exists() and not Path(path).is_file():
            raise OSError(f"{path}: is no regular file; name one {what} file.")
        with open(path, "rb") as file:
            content = file.read(limit_bytes + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: there is no such {what} file.") from None
    except PermissionError:
        raise PermissionError(f"{path}: no permission to read this {what} file.") from None
    except OSError as error:
        if error.strerror is None:
            raise
        raise OSError(f"{path}: this {what} file cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: no valid file name ({error}).") from None
    if not content:
        raise ValueError(f"{path}: the {what} file is empty.")
    if len(content) > limit_bytes:
        raise ValueError(f"{path}: the {what} file is larger than {limit_bytes / 1e6:g} MB, the limit.")
    return content


def _data_lines(text: str) -> list[_Line]:
    """Lines that hold numbers: neither blank, nor a comment, nor the column names at the top."""
    # Not str.splitlines, which also breaks at form feeds and other characters that may stand in a comment.
    stripped = (_Line(number=k, text=line.strip()) for k, line in enumerate(text.split("\n"), start=1))
    lines = [line for line in stripped if line.text and not line.text.startswith(COMMENT_MARKS)]
    if not lines:
        raise ValueError("there are no numbers, only comments or blank lines.")
    if _holds_column_names(lines[0].text):
        del lines[0]
        if not lines:
            raise ValueError("there are no numbers below the column names.")
    return lines


def _holds_column_names(text: str) -> bool:
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    numeric = any(NUMBER.fullmatch(word) or NOT_FINITE.fullmatch(word) for word in words)
    return not numeric and any(character.isalpha() for character in text)


def _columns(lines: list[_Line]) -> np.ndarray:
    """The numbers, shape (row, 2 or 3), each row checked."""
    split, decimal_comma = _separator(lines)
    first = lines[0].number
    rows: list[list[float]] = []
    mark_seen: dict[str, int] = {}
    for line in lines:
        words = split(line.text)
        if decimal_comma:
            for mark in {mark for word in words for mark in ",." if mark in word}:
                mark_seen.setdefault(mark, line.number)
            if len(mark_seen) == 2:
                raise ValueError(
                    f"line {line.number}: decimal commas (line {mark_seen[',']}) and decimal points (line "
                    f"{mark_seen['.']}) are mixed; use one of them, and no thousands separators."
                )
        row = [_number(word, line, k, decimal_comma) for k, word in enumerate(words)]
        _check_row(row, line, rows, first)
        rows.append(row)
    return np.array(rows, dtype=np.float64)


def _separator(lines: list[_Line]) -> tuple[Callable[[str], list[str]], bool]:
    """How to split a row into words, told from the first row; whether a comma can be a decimal mark."""
    text = lines[0].text
    if ";" in text:
        return lambda row: [word.strip() for word in row.split(";")], True
    # White space beside a comma belongs to the comma: a decimal comma has digits at both sides.
    if re.search(r"\s", re.sub(r"\s*,\s+|\s+,\s*", ",", text)):
        return str.split, True
    if "," in text:
        _check_commas(lines)
        return lambda row: [word.strip() for word in row.split(",")], False
    return str.split, True


def _check_commas(lines: list[_Line]) -> None:
    """Refuse rows such as 1,5,2,3, in which a comma may be separator or decimal mark."""
    if any("." in line.text for line in lines):
        return
    for line in lines:
        commas = line.text.count(",")
        spaced = len(re.findall(r",\s|\s,", line.text))
        if commas > 1 and spaced < commas:
            raise ValueError(
                f"line {line.number}: {_shown(line.text)} is ambiguous, as its commas may be separators or "
                "decimal marks; separate the columns with semicolons or tabs, or write decimal points."
            )


def _number(word: str, line: _Line, column: int, decimal_comma: bool) -> float:
    if not word:
        raise ValueError(f"line {line.number}: column {column + 1} is empty; every row needs all numbers.")
    if NOT_FINITE.fullmatch(word):
        raise ValueError(f"line {line.number}: {_shown(word)} is not finite; remove the row.")
    if decimal_comma and DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    if not NUMBER.fullmatch(word):
        raise ValueError(
            f"line {line.number}: {_shown(word)} in column {column + 1} is not a number; "
            "mark comments with # at the start of the line."
        )
    value = float(word)
    if not np.isfinite(value):
        raise ValueError(f"line {line.number}: {_shown(word)} is too large for a number.")
    return value


def _check_row(row: list[float], line: _Line, earlier: list[list[float]], first: int) -> None:
    if len(row) < 2:
        raise ValueError(f"line {line.number}: one column; angle and intensity are needed.")
    if len(row) > 3:
        raise ValueError(
            f"line {line.number}: {len(row)} columns; at most three are read: "
            f"{', '.join(COLUMNS)}. Remove the others."
        )
    if earlier and len(row) != len(earlier[0]):
        raise ValueError(
            f"line {line.number}: {len(row)} columns, but line {first} has {len(earlier[0])}; "
            "every row needs as many."
        )
    if row[1] < 0:
        raise ValueError(
            f"line {line.number}: intensity {row[1]:g} is negative; it must be >= 0. "
            "Undo the background subtraction."
        )
    if len(row) == 3 and row[2] <= 0:
        raise ValueError(
            f"line {line.number}: sigma {row[2]:g} (third column) must be > 0. "
            "Remove the column for counting statistics."
        )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:40]) + "..."
