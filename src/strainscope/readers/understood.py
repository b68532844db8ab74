"""What is understood of a file of scans, as plain data and in words."""

from os import PathLike
from typing import Any

import numpy as np

from strainscope.readers.files import is_instrument_file, read_file
from strainscope.readers.text import COLUMNS, read_columns

TEXT = "text"


def file_documents(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """What is understood of each scan in a file; of text, which holds one, its columns.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it is no file of scans; the message is one line that begins with the path.
    """
    if is_instrument_file(path):
        return [scan.document() for scan in read_file(path)]
    columns = read_columns(path)
    names = COLUMNS[: columns.shape[1]]
    ends = {name: [float(x.min()), float(x.max())] for name, x in zip(names, columns.T, strict=True)}
    whole = bool((columns[:, 1] == np.rint(columns[:, 1])).all())
    return [{"format": TEXT, "points": len(columns), "columns": ends, "whole_numbers": whole}]


def document_lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    """The document of a scan in words: what each line is about, and what there is to say."""
    if found["format"] == TEXT:
        return [(name, f"{low:g} to {high:g}") for name, (low, high) in found["columns"].items()]
    lines: list[tuple[str, str]] = [
        (f"{name} moved", f"{_ends(x, '°')}, steps of {found['steps_deg'][name]:.4g}°")
        for name, x in found["axes_deg"].items()
    ]
    lines += [(f"{name} stood at", f"{value:.6g}°") for name, value in found["fixed_deg"].items()]
    lines += [("usable as --axis", ", ".join(found["usable_axes"]) or "none")]
    lines += [("intensity", _intensity_text(found))]
    lines += [("counting time", _ends(found["counting_time_s"], " s"))]
    lines += [("attenuation", _ends(found["attenuation"], ""))]
    lines += [("monitor", _ends(found["monitor"], ""))]
    dead = found["dead_time_s"]
    lines += [("dead time", "not in the file" if dead is None else f"{dead * 1e9:g} ns")]
    lines += [("wavelength", _wavelength_text(found))]
    lines += [("note", text) for text in found["notes"]]
    return [(_printable(words), value) for words, value in lines]


def document_heading(found: dict[str, Any]) -> str:
    """Title, kind and points of a scan in an instrument's file."""
    title = f"{_printable(found['title'])}, " if found["title"] else ""
    return f"{title}{_printable(found['scanned']) or 'kind not named'}, {found['points']} points"


def _printable(text: str) -> str:
    """A file's own words, on one line and without what would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:80]


def _ends(values: list[float] | None, unit: str) -> str:
    if values is None:
        return "not in the file"
    first, last = values
    return f"{first:.7g}{unit}" if first == last else f"{first:.7g} to {last:.7g}{unit}"


def _intensity_text(found: dict[str, Any]) -> str:
    largest = f"largest {found['largest_intensity']:.7g}"
    if found["largest_counts"] is None:
        return f"{found['intensity']}, {largest}"
    return f"{found['intensity']}, {largest}; raw counts up to {found['largest_counts']:.0f}"


def _wavelength_text(found: dict[str, Any]) -> str:
    lines = ", ".join(f"{name} {value:.7g}" for name, value in found["lines_A"].items())
    if found["wavelength_A"] is None:
        return f"not in the file{f' (lines {lines} Å)' if lines else ''}"
    return f"{found['wavelength_A']:.7g} Å" + (f" ({found['anode']}: {lines} Å)" if lines else "")
