"""Tables that SRIM's TRIM writes: RANGE.txt (ions at rest) and VACANCY.txt (damage) over depth.

Numbers are printed as Visual Basic does, such as 600100.E-04, with a comma for the point in some languages. Damage is
the sum of the columns called vacancies: of ions and recoils after a quick calculation, of each element after full
cascades, where the first column is of knock-ons and does not count.
"""

import re
from os import PathLike

import numpy as np

from strainscope.profile import IonProfile
from strainscope.readers.text import read_text

LARGEST_BYTES = 5_000_000
ROWS = 100  # of every table
LONGEST_LINE = 1000
_NUMBER = r"[+-]?\d+[.,]?\d*(?:E[+-]\d+)?"
_ROW = re.compile(rf"\s*{_NUMBER}(?:\s+{_NUMBER})+\s*")


def read_srim(path: str | PathLike[str]) -> IonProfile:
    """Ions or damage over depth in a RANGE.txt or VACANCY.txt.

    Args:
        path: The file, at most 5 MB.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: it is no such table; the message is one line that begins with the path.
    """
    text = read_text(path, what="SRIM", limit_bytes=LARGEST_BYTES)
    try:
        return _profile(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _profile(text: str) -> IonProfile:
    lines = text.split("\n")
    if any(len(line) > LONGEST_LINE for line in lines):
        raise ValueError(f"it has a line of more than {LONGEST_LINE} characters; SRIM writes none.")
    damage = any("VACANCY production" in line for line in lines[:20])
    if not damage and not any("ION and final RECOIL" in line for line in lines[:20]):
        raise ValueError("this is no RANGE.txt or VACANCY.txt of SRIM; give one of them from `SRIM Outputs`.")
    begin = next((i for i, line in enumerate(lines) if re.match(r"\s*-{5,}(\s+-{5,})+\s*$", line)), None)
    if begin is None:
        raise ValueError("its table has no line of dashes under the columns' names; copy or export it again.")
    rows = []
    for line in lines[begin + 1 :]:
        if not _ROW.fullmatch(line):
            break
        rows.append([float(word.replace(",", ".")) for word in line.split()])
    if len(rows) != ROWS or len({len(row) for row in rows}) != 1:
        raise ValueError(
            f"its table has {len(rows)} rows of numbers; SRIM writes {ROWS}, all alike: copy it again."
        )
    table = np.array(rows)
    if damage:
        value = table[:, _vacancies(lines[begin - 1], table.shape[1])].sum(axis=1)
    else:
        value = table[:, 1]
    version = re.search(r"SRIM-\d{4}(?:\.\d+)?", text)
    return IonProfile(
        what="damage" if damage else "ions",
        ion=_ion(text),
        depth=table[:, 0],
        value=value,
        unit="vacancies/(Å ion)" if damage else "(atoms/cm³)/(atoms/cm²)",
        program=version[0] if version else "SRIM",
    )


def _vacancies(names: str, columns: int) -> list[int]:
    """Columns of vacancies: those so called, or those after the depth where the last line of names has none."""
    words = names.split()[-(columns - 1) :]
    first = 2 if any(word.startswith("Knock") for word in words) else 1
    if columns <= first:
        raise ValueError("its table has no column of vacancies.")
    return list(range(first, columns))


def _ion(text: str) -> str:
    """Element and energy."""
    found = re.search(r"Ion\s*=\s*([A-Z][a-z]?)\s+Energy\s*=\s*([\d.,]+)\s*([kM]?eV)", text)
    return f"{found[1]} {found[2].rstrip('.,').replace(',', '.')} {found[3]}" if found else "ions"
