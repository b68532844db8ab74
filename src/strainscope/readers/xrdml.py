"""PANalytical's .xrdml: XML to a published schema, versions 1.0 to 2.x.

Schema 1 has `intensities`, already multiplied by the attenuation factors, schema 2 `counts` as the detector gave them.
Positions of an axis are its ends (equal steps), a list, or one for all points.

References:
    The schemas' own annotations, XRDMeasurement.xsd of versions 1.5 and 2.1 (Malvern Panalytical)
"""

import re
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.markup import at, children, inside, local, number_at, root_of, text_at
from strainscope.readers.numbers import number_of, numbers_of
from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

AXES = {"omega": "omega", "2theta": "two-theta"}
TIME_UNITS = {"seconds": 1.0, "second": 1.0, "s": 1.0, "": 1.0}
DEAD_TIME_UNITS = {"seconds": 1.0, "s": 1.0, "microseconds": 1e-6, "nanoseconds": 1e-9, "ns": 1e-9}
# Intended wavelength, and the lines that are in it.
INTENDED = {"K-Alpha 1": "Ka1", "K-Alpha 2": "Ka2", "K-Beta": "Kb", "K-Alpha": "Ka"}
LINES = {"kAlpha1": "Ka1", "kAlpha2": "Ka2", "kBeta": "Kb"}


def read_xrdml(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of an .xrdml, in the file's order.

    Raises:
        ValueError: it is none, or damaged.
    """
    root = root_of(content, what="the .xrdml")
    if local(root) != "xrdMeasurements":
        raise ValueError(f"the XML is a <{local(root)[:40]}>, no <xrdMeasurements>; it is no .xrdml.")
    version = re.search(r"XRDMeasurement/(\d+\.\d+)", str(root.tag))
    found: list[RecordedScan] = []
    for measurement in children(root, "xrdMeasurement"):
        for scan in children(measurement, "scan"):
            try:
                found.append(_scan(root, measurement, scan, version[1] if version else "without version"))
            except ValueError as error:
                raise ValueError(f"scan {len(found) + 1}: {error}") from None
    if not found:
        raise ValueError("there is no scan in the .xrdml.")
    return tuple(found)


def _scan(root: Element, measurement: Element, scan: Element, version: str) -> RecordedScan:
    points = at(scan, "dataPoints")
    if points is None:
        raise ValueError("it has no <dataPoints>; was it finished?")
    intensity, raw = _intensity(points)
    positions, fixed = _positions(points, intensity.size)
    lines = _lines(measurement)
    intended = at(measurement, "usedWavelength")
    used = INTENDED.get("" if intended is None else intended.get("intended", ""), "Ka1")
    factor = _column(points, "beamAttenuationFactors", "commonBeamAttenuationFactor", intensity.size)
    return RecordedScan(
        format=f"PANalytical XRDML {version}",
        scanned=scan.get("scanAxis", ""),
        leading="omega" if scan.get("scanAxis", "").casefold().startswith("omega") else "two-theta",
        positions=positions,
        fixed=fixed,
        intensity=intensity,
        counting_time_s=_times(points, intensity.size),
        attenuation=factor,
        attenuated=raw,
        dead_time_s=_dead_time(measurement),
        wavelength_A=lines.get(used),
        lines_A=lines,
        anode=next((text_at(tube, "anodeMaterial") for tube in inside(measurement, "xRayTube")), ""),
        title=text_at(root, "sample", "name") or text_at(root, "sample", "id"),
        notes=_notes(scan),
    )


def _notes(scan: Element) -> tuple[str, ...]:
    status = scan.get("status", "Completed")
    return () if status == "Completed" else (f"the file says that the scan is {status.lower()[:40]}",)


def _intensity(points: Element) -> tuple[FloatArray, bool]:
    """Intensities, and whether they are as the detector counted them behind its attenuators."""
    for name in ("divergenceCorrections", "commonDivergenceCorrection"):
        if at(points, name) is not None:
            raise ValueError(
                f"its counts come with <{name}>, which are not read; export it with fixed divergence slits."
            )
    for name, raw in (("counts", True), ("intensities", False)):
        found = at(points, name)
        if found is not None:
            values = numbers_of(found.text or "", what=name)
            if not 1 <= values.size <= MOST_POINTS:
                raise ValueError(f"{values.size} {name}; there must be 1 to {MOST_POINTS}.")
            return values, raw
    raise ValueError("it has neither <counts> nor <intensities>.")


def _positions(points: Element, size: int) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Angles of the axes that moved, and of those that stood still [deg]."""
    moved: dict[str, FloatArray] = {}
    fixed: dict[str, float] = {}
    for element in children(points, "positions"):
        axis = element.get("axis", "")
        name = AXES.get(axis.casefold(), axis.casefold())
        if element.get("unit", "deg") != "deg":
            if name in AXES.values():
                raise ValueError(f"{axis} is in {element.get('unit', '')[:40]!r}; it must be in deg.")
            continue
        common = number_at(element, "commonPosition")
        start, end = number_at(element, "startPosition"), number_at(element, "endPosition")
        listed = text_at(element, "listPositions")
        if common is not None:
            fixed[name] = common
        elif listed:
            moved[name] = numbers_of(listed, what=f"positions of {axis}")
        elif start is not None and end is not None:
            moved[name] = np.linspace(start, end, size)
        else:
            raise ValueError(f"{axis} has neither ends nor a list nor a common position.")
    still = [name for name, values in moved.items() if values.size == size and np.ptp(values) == 0]
    fixed |= {name: float(moved.pop(name)[0]) for name in still}
    return moved, fixed


def _column(points: Element, several: str, one: str, size: int) -> FloatArray | None:
    """A column of numbers, or one number for all points; None where the file has neither."""
    text, common = text_at(points, several), number_at(points, one)
    if text:
        return numbers_of(text, what=several)
    return None if common is None else np.full(size, common)


def _times(points: Element, size: int) -> FloatArray | None:
    for name in ("countingTimes", "commonCountingTime"):
        element = at(points, name)
        if element is not None and element.get("unit", "seconds") not in TIME_UNITS:
            raise ValueError(f"{name} are in {element.get('unit', '')[:40]!r}; they must be in seconds.")
    return _column(points, "countingTimes", "commonCountingTime", size)


def _lines(measurement: Element) -> dict[str, float]:
    """Wavelengths of the lines [Å], and of Kα, their mean by the ratio of their strengths."""
    used = at(measurement, "usedWavelength")
    if used is None:
        return {}
    found: dict[str, float] = {}
    for name, line in LINES.items():
        element, value = at(used, name), number_at(used, name)
        if element is None or not value or value < 0:
            continue
        if element.get("unit", "Angstrom") != "Angstrom":
            raise ValueError(f"{name} is in {element.get('unit', '')[:40]!r}; it must be in Angstrom.")
        found[line] = value
    ratio = number_at(used, "ratioKAlpha2KAlpha1")
    if {"Ka1", "Ka2"} <= set(found):
        share = 0.5 if ratio is None or ratio < 0 else ratio
        found["Ka"] = (found["Ka1"] + share * found["Ka2"]) / (1 + share)
    return found


def _dead_time(measurement: Element) -> float | None:
    for element in inside(measurement, "deadTime"):
        factor = DEAD_TIME_UNITS.get(element.get("unit", ""))
        if factor is not None and element.text:
            return factor * number_of(element.text, what="deadTime") or None
    return None
