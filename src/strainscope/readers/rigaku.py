"""Rigaku's .ras (text) and .rasx (a zip file of text and XML): rows of angle, intensity and attenuation factor.

No specification says whether the factor is in the intensities already. Where it changes along the scan the curve tells,
which runs on across an attenuator; where it does not, counts are counts.
"""

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.archive import Archive
from strainscope.readers.axis_names import plain
from strainscope.readers.counts import column_is_weakened, whole_counts
from strainscope.readers.markup import at, children, inside, root_of, text_at
from strainscope.readers.numbers import number_of, numbers_of
from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

# Scanned axis, and whether the other one moves with it.
AXES = {
    "omega": ("omega", False),
    "theta": ("omega", False),
    "thetas": ("omega", False),
    "twotheta": ("two-theta", False),
    "2theta": ("two-theta", False),
    "twothetatheta": ("two-theta", True),
    "thetatwotheta": ("two-theta", True),
    "2thetatheta": ("two-theta", True),
    "theta2theta": ("two-theta", True),
    "twothetaomega": ("two-theta", True),
    "2thetaomega": ("two-theta", True),
    "omegatwotheta": ("omega", True),
    "omega2theta": ("omega", True),
}
LINES = {"ALPHA1": "Ka1", "ALPHA2": "Ka2", "BETA": "Kb"}
# Headers of .ras, and where the same stands in the XML of .rasx.
_IN_XML = {
    "MEAS_SCAN_AXIS_X": ("ScanInformation", "AxisName"),
    "MEAS_SCAN_UNIT_X": ("ScanInformation", "PositionUnit"),
    "MEAS_SCAN_UNIT_Y": ("ScanInformation", "IntensityUnit"),
    "MEAS_SCAN_STEP": ("ScanInformation", "Step"),
    "MEAS_SCAN_SPEED": ("ScanInformation", "Speed"),
    "MEAS_SCAN_SPEED_UNIT": ("ScanInformation", "SpeedUnit"),
    "FILE_SAMPLE": ("GeneralInformation", "SampleName"),
    "HW_XG_TARGET_NAME": ("HWConfigurations", "XrayGenerator", "TargetName"),
    "MEAS_COND_XG_WAVE_TYPE": ("HWConfigurations", "XrayGenerator", "WaveType"),
    "HW_XG_WAVE_LENGTH_ALPHA1": ("HWConfigurations", "XrayGenerator", "WavelengthKalpha1"),
    "HW_XG_WAVE_LENGTH_ALPHA2": ("HWConfigurations", "XrayGenerator", "WavelengthKalpha2"),
    "HW_XG_WAVE_LENGTH_BETA": ("HWConfigurations", "XrayGenerator", "WavelengthKbeta"),
}


def read_ras(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of a .ras, in its order.

    Raises:
        ValueError: it is none, or damaged.
    """
    found: list[RecordedScan] = []
    header: dict[str, str] = {}
    rows: list[str] | None = None
    for number, line in enumerate(re.split(r"\r\n|\r|\n", _decoded(content)), start=1):
        line = line.strip()
        if line.startswith("*RAS_HEADER_START"):
            header = {}
        elif line.startswith("*RAS_INT_START"):
            rows = []
        elif line.startswith("*RAS_INT_END"):
            if rows is None:
                raise ValueError(f"line {number}: *RAS_INT_END without a beginning; export it again.")
            found.append(_scan(header, _columns(rows), "Rigaku RAS"))
            header, rows = {}, None
        elif rows is not None and line:
            rows.append(line)
        elif match := re.fullmatch(r'\*(\S+)\s+"(.*)"', line):
            header[match[1]] = match[2].strip()
    if rows is not None:
        raise ValueError("it ends within a scan, without *RAS_INT_END; copy or export it again.")
    if not found:
        raise ValueError("there is no scan in the .ras (*RAS_INT_START).")
    return tuple(found)


def read_rasx(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of a .rasx, in the order of their numbers.

    Raises:
        ValueError: it is none, or damaged.
    """
    archive = Archive(content, what=".rasx")
    found: dict[tuple[int, int], RecordedScan] = {}
    matches = [re.fullmatch(r"Data(\d{1,9})/Profile(\d{1,9})\.txt", name) for name in archive.names]
    conditions = {
        (int(m[1]), int(m[2])): m[0]
        for m in (
            re.fullmatch(r"Data(\d{1,9})/Mea?surementConditions(\d{1,9})\.xml", name)
            for name in archive.names
        )
        if m
    }
    for match in filter(None, matches):
        key = int(match[1]), int(match[2])
        header: dict[str, str] = {}
        if key in conditions:
            header = _conditions(root_of(archive.read(conditions[key]), what=conditions[key]))
        rows = [line for line in _decoded(archive.read(match[0])).split("\n") if line.strip()]
        try:
            found[key] = _scan(header, _columns(rows), "Rigaku RASX")
        except ValueError as error:
            raise ValueError(f"{match[0]}: {error}") from None
    if not found:
        raise ValueError("there is no Data0/Profile0.txt, so no scan, in the .rasx; images are not read.")
    return tuple(found[key] for key in sorted(found))


def _decoded(content: bytes) -> str:
    for encoding in ("utf-8-sig", "shift_jis"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def _conditions(root: Element) -> dict[str, str]:
    """What a .ras would have in its header."""
    header = {key: text_at(root, *path) for key, path in _IN_XML.items()}
    for pair in inside(root, "Pair"):
        words = [(own.text or "").strip() for own in pair]
        if len(words) == 2 and not header.get(words[0].lstrip("*")):
            header[words[0].lstrip("*")] = words[1]
    axes = at(root, "Axes")
    for i, axis in enumerate(children(axes, "Axis") if axes is not None else ()):
        for key, name in (("NAME_INTERNAL", "Name"), ("POSITION", "Position"), ("UNIT", "Unit")):
            header[f"MEAS_COND_AXIS_{key}-{i}"] = axis.get(name, "") or text_at(axis, name)
    return header


def _columns(rows: list[str]) -> FloatArray:
    """Angle, intensity and factor, shape (point, 3); a missing factor is 1."""
    if not 1 <= len(rows) <= MOST_POINTS:
        raise ValueError(f"{len(rows)} points; there must be 1 to {MOST_POINTS}.")
    numbers = [numbers_of(row, what="a point") for row in rows]
    sizes = {row.size for row in numbers}
    if len(sizes) > 1 or not 2 <= min(sizes) <= 3:
        raise ValueError(
            "its points must all have an angle, an intensity and perhaps a factor; export it again."
        )
    columns = np.array(numbers)
    return columns if columns.shape[1] == 3 else np.column_stack([columns, np.ones(len(rows))])


def _scan(header: Mapping[str, str], columns: FloatArray, form: str) -> RecordedScan:
    angle, intensity, factor = columns.T
    name = header.get("MEAS_SCAN_AXIS_X_INTERNAL") or header.get("MEAS_SCAN_AXIS_X") or ""
    if header.get("MEAS_SCAN_UNIT_X", "deg") not in ("deg", ""):
        raise ValueError(f"its angles are in {header['MEAS_SCAN_UNIT_X'][:40]!r}; they must be in deg.")
    positions, fixed, leading = _axes(header, name, angle)
    time = _counting_time(header)
    times = None if time is None else np.full(angle.size, time)
    rate, notes = _is_rate(header, intensity, times)
    weakened = column_is_weakened(intensity, factor) if (factor > 0).all() else None
    if np.ptp(factor):
        how = "are multiplied by" if weakened is not False else "have in them"
        notes = (*notes, f"the intensities {how} the attenuation factors of the third column")
        notes += ("whether they have them in them the curve does not tell",) if weakened is None else ()
    lines = {
        own: value for line, own in LINES.items() if (value := _number(header, f"HW_XG_WAVE_LENGTH_{line}"))
    }
    if {"Ka1", "Ka2"} <= set(lines):
        lines["Ka"] = (2 * lines["Ka1"] + lines["Ka2"]) / 3
    used = header.get("MEAS_COND_XG_WAVE_TYPE", "")
    return RecordedScan(
        format=form,
        scanned=name,
        leading=leading,
        positions=positions,
        fixed=fixed,
        intensity=intensity,
        rate=rate,
        counting_time_s=times,
        attenuation=factor if (factor > 0).all() else None,
        attenuated=weakened is not False,
        wavelength_A=lines.get(used, lines.get("Ka1")),
        lines_A=lines,
        anode=header.get("HW_XG_TARGET_NAME", ""),
        title=header.get("FILE_SAMPLE", ""),
        notes=notes,
    )


# Angles that the header gives where a drive stood.
_DRIVES = {"omega": "omega", "twotheta": "two-theta", "chi": "chi", "phi": "phi"}


def _axes(
    header: Mapping[str, str], name: str, angle: FloatArray
) -> tuple[dict[str, FloatArray], dict[str, float], str]:
    """Angles of what moved, of what stood still [deg], and the axis of the scan."""
    word = plain(name.replace("θ", "theta").replace("ω", "omega"))
    leading, coupled = AXES.get(word, ("", False))
    stood: dict[str, float] = {}
    for i in range(200):
        own = header.get(f"MEAS_COND_AXIS_NAME_INTERNAL-{i}", header.get(f"MEAS_COND_AXIS_NAME-{i}"))
        key = _DRIVES.get((own or "").casefold())
        value = _number(header, f"MEAS_COND_AXIS_POSITION-{i}") if key else None
        if key and value is not None:
            stood[key] = value
    if not leading:
        return {word or "unnamed axis": angle}, stood, ""
    other = "two-theta" if leading == "omega" else "omega"
    moved = {leading: angle}
    if coupled and {"omega", "two-theta"} <= set(stood):
        # Positions are those at some moment of the scan; their difference stays.
        away = stood["omega"] - stood["two-theta"] / 2
        moved[other] = angle / 2 + away if other == "omega" else 2 * (angle - away)
    fixed = {
        key: value for key, value in stood.items() if key not in moved and not (coupled and key == other)
    }
    return moved, fixed, leading


def _counting_time(header: Mapping[str, str]) -> float | None:
    """Of each point [s]: given, or a step over the speed; None where neither can be told."""
    speed, step = _number(header, "MEAS_SCAN_SPEED"), _number(header, "MEAS_SCAN_STEP")
    unit = header.get("MEAS_SCAN_SPEED_UNIT", "").casefold().rstrip(".")
    if speed is None or speed <= 0:
        return None
    if unit in ("sec", "s", "seconds"):
        return speed
    seconds = 60.0 if unit.endswith("/min") else 1.0 if unit.endswith(("/sec", "/s")) else None
    return None if seconds is None or step is None or step <= 0 else step / speed * seconds


def _is_rate(
    header: Mapping[str, str], intensity: FloatArray, times: FloatArray | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether intensities are counts per second, and what there is to say of it."""
    if header.get("MEAS_SCAN_UNIT_Y", "").casefold() in ("cps", "counts/s", "counts/sec"):
        return True, ()
    plain = whole_counts(intensity, time_s=None, factor=None, rate=False)
    timed = None if times is None else whole_counts(intensity, time_s=times, factor=None, rate=True)
    if plain is None and timed is not None:
        return True, (
            "the file calls the intensities counts, but they are whole numbers only times the counting time: they are "
            "taken as counts per second",
        )
    return False, ()


def _number(header: Mapping[str, str], key: str) -> float | None:
    """A number of the header; None where it has none, as for slits called by name."""
    try:
        return number_of(header[key], what=key)
    except (KeyError, ValueError):
        return None
