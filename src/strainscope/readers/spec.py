"""Scans that SPEC wrote: text in which #S begins a scan and #L names its columns.

Angles are known by the names that laboratories give them, and are degrees; what is counted is the last column, as SPEC
has it.
"""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import HC_KEV_ANGSTROM
from strainscope.readers.axis_names import ATTENUATORS, MONITORS, TIMES, axis_of, plain, split_axes
from strainscope.readers.numbers import numbers_of
from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

MOST_SCANS = 10_000
# A motor called energy is in keV below the first, in eV between the others.
ENERGY_KEV, ENERGY_EV = (1.0, 125.0), (1000.0, 125_000.0)


@dataclass(kw_only=True)
class _Block:
    """Lines of one scan."""

    command: str
    motors: list[str]
    labels: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    positions: list[float] = field(default_factory=list)
    time_s: float | None = None


def read_spec(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans with points in the content of a SPEC file, in its order.

    Scans that cannot be read are named in the others' notes.

    Raises:
        ValueError: none can be read.
    """
    found: list[RecordedScan] = []
    failed: list[str] = []
    for block in _blocks(content.decode("latin-1")):
        if not block.rows:
            continue
        try:
            found.append(_scan(block))
        except ValueError as error:
            failed.append(f"#S {block.command[:40]}: {error}")
    if not found:
        raise ValueError(failed[0] if failed else "there is no scan with points in the SPEC file.")
    return tuple(found) if not failed else tuple(_with_note(scan, failed) for scan in found)


def _with_note(scan: RecordedScan, failed: list[str]) -> RecordedScan:
    note = f"{len(failed)} scan(s) of the file cannot be read and are not counted: {failed[0]}"
    return RecordedScan(**(vars(scan) | {"notes": (*scan.notes, note)}))


def _blocks(text: str) -> list[_Block]:
    found: list[_Block] = []
    motors: dict[str, list[str]] = {}
    spectrum = False
    for raw in re.split(r"\r\n|\r|\n", text):
        line = raw.rstrip()
        if line.startswith("@") or spectrum:
            # Of a multichannel analyser; it goes on in the next line where a backslash ends this one.
            spectrum = line.endswith("\\")
        elif line.startswith("#S "):
            if len(found) >= MOST_SCANS:
                raise ValueError(f"it holds more than {MOST_SCANS} scans; split it.")
            own = [name for key in sorted(motors, key=lambda key: int(key or 0)) for name in motors[key]]
            found.append(_Block(command=line[3:].strip(), motors=own))
        elif match := re.match(r"#O(\d{0,3}) (.*)", line):
            motors[match[1]] = _words(match[2])
        elif found and line.startswith("#L "):
            found[-1].labels = _words(line[3:])
        elif found and (match := re.match(r"#P\d{0,3} (.*)", line)):
            found[-1].positions += _numbers(match[1])
        elif found and (match := re.match(r"#T +(\S+)", line)):
            found[-1].time_s = next(iter(_numbers(match[1])), None)
        elif found and line and (line[0].isdigit() or line[0] in "-+. "):
            found[-1].rows.append(line)
    return found


def _words(text: str) -> list[str]:
    """Names, which two blanks separate, as one may be within them."""
    return [word for word in re.split(r"\s{2,}|\t", text.strip()) if word]


def _numbers(text: str) -> list[float]:
    try:
        return [float(x) for x in numbers_of(text, what="positions")]
    except ValueError:
        return []


def _scan(block: _Block) -> RecordedScan:
    if not block.labels:
        raise ValueError("its columns have no names (#L).")
    if len(block.rows) > MOST_POINTS:
        raise ValueError(f"{len(block.rows)} points; at most {MOST_POINTS} are read.")
    columns = _columns(block)
    angles = {axis: values for name, values in columns.items() if (axis := axis_of(name))}
    fixed = {
        axis: value
        for name, value in zip(block.motors, block.positions, strict=False)
        if (axis := axis_of(name))
    }
    moved, stood = split_axes(angles, fixed)
    by_name = {plain(name): values for name, values in columns.items()}
    time = next((by_name[name] for name in TIMES if name in by_name), None)
    if time is None and block.time_s is not None:
        time = np.full(len(block.rows), block.time_s)
    monitor = next((by_name[name] for name in MONITORS if name in by_name), None)
    commanded = [axis for word in block.command.split() if (axis := axis_of(word)) in moved]
    leading = next((axis for axis in (*commanded, *moved) if axis in ("omega", "two-theta")), "")
    return RecordedScan(
        format="SPEC",
        scanned=f"#S {block.command}",
        leading=leading,
        positions=moved,
        fixed=stood,
        intensity=columns[block.labels[-1]],
        counting_time_s=time if time is not None and (time > 0).all() else None,
        monitor=monitor,
        wavelength_A=_wavelength(block),
        title=f"counted: {block.labels[-1]}",
        notes=_notes(block, monitor),
    )


def _columns(block: _Block) -> dict[str, FloatArray]:
    """Columns by name; those of no use may hold anything."""
    words = [row.split() for row in block.rows]
    if any(len(row) != len(block.labels) for row in words):
        raise ValueError(f"its rows do not all have the {len(block.labels)} numbers that #L names.")
    needed = {*MONITORS, *TIMES}
    found: dict[str, FloatArray] = {}
    for i, label in enumerate(block.labels):
        if i == len(block.labels) - 1 or axis_of(label) or plain(label) in needed:
            found[label] = numbers_of(" ".join(row[i] for row in words), what=label)
    return found


def _wavelength(block: _Block) -> float | None:
    """Of a motor called wavelength or energy [Å]; None where there is none."""
    for name, value in zip(block.motors, block.positions, strict=False):
        word = plain(name)
        if word in ("wavelength", "lambda") and 0.1 <= value <= 10:
            return value
        if word.endswith("energy") and ENERGY_KEV[0] <= value <= ENERGY_KEV[1]:
            return HC_KEV_ANGSTROM / value
        if word.endswith("energy") and ENERGY_EV[0] <= value <= ENERGY_EV[1]:
            return 1000 * HC_KEV_ANGSTROM / value
    return None


def _notes(block: _Block, monitor: FloatArray | None) -> tuple[str, ...]:
    notes = ["SPEC does not say units: the angles are taken as degrees"]
    for i, label in enumerate(block.labels[:-1]):
        if ATTENUATORS.search(plain(label)) and len({row.split()[i] for row in block.rows}) > 1:
            notes.append(
                f"the column {label} changes, which may be attenuators: intensities are taken as they are"
            )
    if monitor is not None and not (monitor > 0).all():
        notes.append("the monitor is 0 at a point and is not used")
    return tuple(notes)
