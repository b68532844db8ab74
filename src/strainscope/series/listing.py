"""Which scans, and what else is known of each: a dose, an energy, a place on a map."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from strainscope.readers import INSTRUMENT_SUFFIXES, read_text

SUFFIXES = (".xy", ".dat", ".txt", ".csv", ".asc", *INSTRUMENT_SUFFIXES)
FILE_COLUMN = "file"
LARGEST_TABLE_BYTES = 50_000_000


def find_scans(places: Sequence[Path], *, but: Path | None = None) -> list[Path]:
    """Scans in files and folders, in the order given, those of a folder by name.

    Args:
        places: Files, or folders whose files of the SUFFIXES are scans.
        but: A file in one of the folders that is none, the table about them.

    Raises:
        ValueError: there are none, or one is named twice.
        FileNotFoundError: a place that is not there.
    """
    found: list[Path] = []
    table = but.resolve() if but else None
    for place in places:
        if place.is_dir():
            inside = sorted(
                p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and p.resolve() != table
            )
            if not inside:
                raise ValueError(f"{place}: no scans in this folder; they end in {', '.join(SUFFIXES)}.")
            found += inside
        elif place.exists():
            found.append(place)
        else:
            raise FileNotFoundError(f"{place}: no such file or folder.")
    seen: set[Path] = set()
    for path in found:
        if path.resolve() in seen:
            raise ValueError(f"{path}: is named twice; name every scan once.")
        seen.add(path.resolve())
    return found


def result_names(scans: Sequence[Path]) -> list[str]:
    """A folder's name for each scan: its own without the ending, with a number where two are alike."""
    names: list[str] = []
    taken: set[str] = set()
    for path in scans:
        stem, number = path.stem, 2
        while stem.lower() in taken:
            stem, number = f"{path.stem}-{number}", number + 1
        taken.add(stem.lower())
        names.append(stem)
    return names


def read_columns(table: Path, scans: Sequence[Path]) -> dict[str, list[str]]:
    """Columns of a CSV beside `file`, for each scan; empty where a scan has no row.

    Args:
        table: A CSV with a header; the column `file` names the scans, with or without folder.
        scans: The scans.

    Raises:
        OSError: the table is missing or cannot be read.
        ValueError: no column `file`, a row for no scan, or two for one.
    """
    names, rows = read_rows(table, (FILE_COLUMN,))
    columns = {name: [""] * len(scans) for name in names if name != FILE_COLUMN}
    alone = Counter(path.name for path in scans)
    by_name = {path.name: i for i, path in enumerate(scans) if alone[path.name] == 1}
    by_name |= {str(path): i for i, path in enumerate(scans)}
    taken: set[int] = set()
    for number, row in enumerate(rows, start=2):
        file = row[FILE_COLUMN]
        index = by_name.get(file)
        if index is None and alone[file] > 1:
            raise ValueError(f"{table}: line {number}: there are {alone[file]} scans {file!r}; name its folder, too.")
        if index is None:
            raise ValueError(f"{table}: line {number} is about {file!r}, which is none of the scans.")
        if index in taken:
            raise ValueError(f"{table}: line {number} is a second row for {file!r}; give every scan one.")
        taken.add(index)
        for name in columns:
            columns[name][index] = row[name]
    return columns


def read_rows(
    table: Path, needed: Sequence[str], *, limit_bytes: int = LARGEST_TABLE_BYTES
) -> tuple[list[str], list[dict[str, str]]]:
    """Names of a table's columns, and its rows by them.

    Args:
        table: A text file with a header, columns separated by commas, semicolons or tabs.
        needed: Columns that it must have.
        limit_bytes: Its size at most.

    Raises:
        OSError: the table is missing or cannot be read.
        ValueError: a column that is missing, or no row.
    """
    lines = read_text(table, what="table", limit_bytes=limit_bytes).splitlines()
    header = lines[0] if lines else ""
    separator = max(",;\t", key=header.count)
    reader = csv.DictReader(lines, delimiter=separator)
    try:
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise ValueError(f"{table}: two columns are called {twice[0]!r}; give each its own name.")
        missing = [name for name in needed if name not in names]
        if missing:
            lacking, known = ", ".join(map(repr, missing)), ", ".join(names) or "none"
            raise ValueError(f"{table}: no column {lacking}; it has {known}.")
        rows = [{name: (row[name] or "").strip() for name in names} for row in reader]
    except csv.Error as error:
        raise ValueError(f"{table}: is no CSV ({error}).") from None
    if not rows:
        raise ValueError(f"{table}: has a header and no row; give each scan one.")
    return names, rows


def check_numbers(name: str, texts: Sequence[str], scans: Sequence[Path]) -> None:
    """Raise unless a column holds a number for each scan, or nothing."""
    for text, path in zip(texts, scans, strict=True):
        try:
            float(text or 0)
        except ValueError:
            raise ValueError(
                f"--against {name}: {path.name} has {text!r}, no number; give a column of numbers."
            ) from None
