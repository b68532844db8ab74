"""Which format a file has, told from its content and then from its name, and the scans in it."""

import importlib
import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from strainscope.readers.archive import Archive
from strainscope.readers.recorded import RecordedScan
from strainscope.readers.text import LARGEST_SCAN_BYTES, read_bytes

Reader = Callable[[bytes], tuple[RecordedScan, ...]]

# A file is told from its beginning.
_HEAD_BYTES = 65536
# Module and function of each format, imported when one is met.
_READERS = {
    "xrdml": ("xrdml", "read_xrdml"),
    "brml": ("brml", "read_brml"),
    "raw": ("bruker_raw", "read_raw"),
    "ras": ("rigaku", "read_ras"),
    "rasx": ("rigaku", "read_rasx"),
    "SPEC": ("spec", "read_spec"),
    "NeXus": ("aside", "read_nexus"),
}
# Endings by which files of instruments are found in folders, and the format that each promises; .raw, .h5 and others
# are other programs', too, so that only the content tells.
_PROMISED = {".xrdml": "xrdml", ".brml": "brml", ".ras": "ras", ".rasx": "rasx", ".nxs": "NeXus"}
INSTRUMENT_SUFFIXES = (*_PROMISED, ".raw", ".spec")


def is_instrument_file(path: str | PathLike[str]) -> bool:
    """Whether a file is one of an instrument, rather than two or three columns of text.

    A file that cannot be read is none.
    """
    if Path(path).suffix.lower() in _PROMISED:
        return True
    try:
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:
            return _format_of(file.read(_HEAD_BYTES)) is not None
    except (OSError, ValueError):
        return False


def read_file(path: str | PathLike[str]) -> tuple[RecordedScan, ...]:
    """Every scan in a file of an instrument, in its order.

    Args:
        path: The file, at most 50 MB.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it is in none of the formats, or damaged; the message is one line that begins with the path.
    """
    content = read_bytes(path, what="scan", limit_bytes=LARGEST_SCAN_BYTES)
    found = _format_of(content[:_HEAD_BYTES])
    if found == "brml" and _is_rasx(path, content):
        found = "rasx"
    promised = _PROMISED.get(Path(path).suffix.lower())
    if found is None or (promised is not None and found != promised):
        raise ValueError(
            f"{path}: the content is no {Path(path).suffix or 'file of an instrument'}; formats that are read: "
            f"{', '.join(_READERS)}, and text of two or three columns."
        )
    module, name = _READERS[found]
    reader: Reader = getattr(importlib.import_module(f"strainscope.readers.{module}"), name)
    try:
        return reader(content)
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ValueError(f"{path}: it is nested too deeply; export it again.") from None
    except MemoryError:
        raise ValueError(f"{path}: it wants more memory than there is; export it again.") from None


def chosen_scan(path: str | PathLike[str], number: int | None) -> RecordedScan:
    """One of the scans in a file of an instrument.

    Args:
        path: The file.
        number: Which, from 1; needed where there are several.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it cannot be read as a scan, there are several and none is chosen, or there is no such one.
    """
    scans = read_file(path)
    if number is None and len(scans) > 1:
        raise ValueError(
            f"{path}: it holds {len(scans)} scans; choose one by --scan (in Python number=): {_listed(scans)}. "
            f"`strainscope info {path}` shows all of each."
        )
    if number is not None and not 1 <= number <= len(scans):
        raise ValueError(f"{path}: there is no scan {number}: it holds {len(scans)} scan(s); count from 1.")
    return scans[(number or 1) - 1]


def _listed(scans: tuple[RecordedScan, ...], most: int = 8) -> str:
    """Scans in a line: number, what moved, from where to where, points."""
    parts = []
    for i, scan in enumerate(scans[:most], start=1):
        moved = next(iter(scan.positions.items()), None)
        ends = "" if moved is None else f" {moved[0]} {moved[1][0]:.4g} to {moved[1][-1]:.4g}°"
        parts.append(f"{i}:{ends} ({scan.intensity.size} points)")
    return "; ".join(parts) + ("; ..." if len(scans) > most else "")


def _is_rasx(path: str | PathLike[str], content: bytes) -> bool:
    """Which of the two zip files one is."""
    try:
        names = Archive(content, what="file").names
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return any(re.match(r"Data\d+/(Profile|Image|Mea?surementCond)", name) for name in names)


def _format_of(head: bytes) -> str | None:
    """The format that a file begins like; None for text."""
    if head.startswith((b"RAW1.01", b"RAW4.00", b"RAW2", b"RAW \0")):
        return "raw"
    if head.startswith(b"PK\x03\x04"):
        return "brml"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "NeXus"
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if plain.startswith(b"*RAS_"):
        return "ras"
    if plain.startswith((b"<?xml", b"<xrdMeasurements", b"<!")) and b"xrdMeasurements" in head:
        return "xrdml"
    # In other text # begins a comment.
    if re.search(rb"^#S +\d+ ", head, re.MULTILINE) and re.search(rb"^#L +\S", head, re.MULTILINE):
        return "SPEC"
    return None
