"""Bruker's .brml: a zip file of XML, one RawData document for each scan.

What stands in which column of a row is said by the document's views. Intensities are already multiplied by the
absorption factor, so that the raw counts are their quotient.
"""

import re
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.archive import Archive
from strainscope.readers.markup import children, inside, local, root_of
from strainscope.readers.numbers import number_of, numbers_of
from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

AXES = {"twotheta": "two-theta", "2theta": "two-theta", "theta": "omega", "omega": "omega"}
LINES = {
    "WaveLengthAlpha1": "Ka1",
    "WaveLengthAlpha2": "Ka2",
    "WaveLengthBeta": "Kb",
    "WaveLengthAverage": "Ka",
}
MOST_COLUMNS = 10_000
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def read_brml(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of a .brml, in the order of its list.

    Raises:
        ValueError: it is none, or damaged.
    """
    archive = Archive(content, what=".brml")
    found: list[RecordedScan] = []
    for name in _documents(archive):
        root = root_of(archive.read(name), what=name[:80])
        routes = list(inside(root, "DataRoute"))
        measured = [route for route in routes if route.get("RouteFlag") == "Measured"] or routes
        for route in measured:
            try:
                found.append(_scan(root, route))
            except ValueError as error:
                raise ValueError(f"{name[:80]}: {error}") from None
    if not found:
        raise ValueError("there is no scan in the .brml.")
    return tuple(found)


def _documents(archive: Archive) -> list[str]:
    """Names of the documents with scans: those that the file lists, else all."""
    listed: list[str] = []
    for name in archive.names:
        if name.rpartition("/")[2] == "DataContainer.xml":
            root = root_of(archive.read(name), what=name[:80])
            lists = inside(root, "RawDataReferenceList")
            listed += [(entry.text or "").strip() for own in lists for entry in children(own, "string")]
    if listed:
        return listed
    numbered = [
        (int(m[1]), m[0]) for m in map(re.compile(r".*RawData(\d{1,9})\.xml$").match, archive.names) if m
    ]
    return [name for _, name in sorted(numbered)]


def _scan(root: Element, route: Element) -> RecordedScan:
    columns = _columns(route)
    rows = _rows(route)
    if max(columns.values()) >= rows.shape[1]:
        raise ValueError(
            f"its rows have {rows.shape[1]} numbers, fewer than its views name; export it again."
        )
    moved = {name: rows[:, column] for name, column in columns.items() if name not in _OTHERS}
    still = [name for name, values in moved.items() if np.ptp(values) == 0]
    # A column named twice counts once: drives and the axes that they make up.
    fixed = _drives(root) | {name: float(moved[name][0]) for name in still}
    moved = {name: values for name, values in moved.items() if name not in still}
    lines = _lines(root)
    axes = [AXES.get(own.get("AxisId", "").casefold(), "") for own in inside(route, "ScanAxisInfo")]
    kinds = [own.get("VisibleName") or own.get("ScanName") or "" for own in inside(route, "ScanInformation")]
    known = [name for name in axes if name in moved] + [name for name in moved if name in AXES.values()]
    return RecordedScan(
        format="Bruker BRML",
        scanned=next(filter(None, kinds), ""),
        leading=known[0] if known else "",
        positions=moved,
        fixed={name: value for name, value in fixed.items() if name not in moved},
        intensity=rows[:, columns["recorded"]],
        rate=columns.get("rate", 0) == -1,
        counting_time_s=_positive(rows, columns.get("measuredtime")),
        attenuation=_positive(rows, columns.get("absorptionfactor")),
        attenuated=False,
        wavelength_A=lines.get("Ka1") or lines.get("Ka"),
        lines_A=lines,
        anode=next((own.text.strip() for own in inside(root, "TubeMaterial") if own.text), ""),
        title=next((own.get("SampleName") or "" for own in inside(root, "MeasurementInfo")), ""),
    )


# Columns that are no axis.
_OTHERS = ("recorded", "rate", "measuredtime", "absorptionfactor")


def _columns(route: Element) -> dict[str, int]:
    """Which column of a row holds what; `rate` is -1 where the recorded one is counts per second."""
    found: dict[str, int] = {}
    for view in inside(route, "RawDataView"):
        kind = (view.get(_TYPE) or "").rpartition(":")[2]
        start, length = (_whole(view.get(name, ""), name) for name in ("Start", "Length"))
        if kind == "FixedRawDataView":
            found.setdefault((view.get("LogicName") or "").casefold(), start)
        elif kind == "VaryingRawDataView":
            for i, own in enumerate(inside(view, "FieldDefinitions")):
                axis = (own.get("AxisId") or own.get("FieldName") or "").strip().casefold()
                found.setdefault(AXES.get(axis, axis), start + i)
        elif kind == "RecordedRawDataView":
            if length != 1:
                raise ValueError(
                    f"it records {length} channels at each point, which is a map and no curve; export the integrated "
                    "scan."
                )
            if "recorded" not in found:
                found["recorded"] = start
                bases = [(own.get("Base") or "").casefold() for own in inside(view, "Unit")]
                if bases and bases[0] in ("cps", "countspersecond"):
                    found["rate"] = -1
    if "recorded" not in found:
        raise ValueError("no column of it is named as recorded.")
    return found


def _whole(text: str, name: str) -> int:
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > MOST_COLUMNS:
        raise ValueError(f"{name} = {text[:40]!r} of a view; it must be a whole number up to {MOST_COLUMNS}.")
    return int(text)


def _rows(route: Element) -> FloatArray:
    """The numbers of its points, shape (point, column)."""
    texts = [own.text or "" for own in inside(route, "Datum")]
    if not 1 <= len(texts) <= MOST_POINTS:
        raise ValueError(f"{len(texts)} points; there must be 1 to {MOST_POINTS}.")
    rows = [numbers_of(text.replace(",", " "), what="Datum") for text in texts]
    if len({row.size for row in rows}) > 1:
        raise ValueError("its points differ in how many numbers they have; export it again.")
    return np.array(rows)


def _positive(rows: FloatArray, column: int | None) -> FloatArray | None:
    """A column of times or factors; None where it is not there, or says nothing."""
    return None if column is None or not (rows[:, column] > 0).all() else rows[:, column]


def _drives(root: Element) -> dict[str, float]:
    """Angles at which the drives stood [deg]."""
    found: dict[str, float] = {}
    for drives in inside(root, "Drives"):
        for drive in children(drives, "InfoData"):
            name = (drive.get("AxisId") or drive.get("LogicName") or "").casefold()
            for position in children(drive, "Position"):
                if name and position.get("Unit", "") in ("°", "deg") and position.get("Value"):
                    found[AXES.get(name, name)] = number_of(
                        position.get("Value", ""), what=f"Position of {name}"
                    )
    return found


def _lines(root: Element) -> dict[str, float]:
    """Wavelengths of the tube's lines [Å]."""
    found: dict[str, float] = {}
    for own in root.iter():
        name = local(own)
        text = own.get("Value") or own.text or ""
        if name in LINES and text.strip():
            value = number_of(text, what=name)
            if value > 0:
                found.setdefault(LINES[name], value)
    return found
