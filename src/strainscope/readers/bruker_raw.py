"""Bruker's .raw: binary, versions 3 ("RAW1.01") and 4 ("RAW4.00"), as far as public readers of it agree.

Both hold ranges of equal steps, each with a header that says where its axes began. Which axis was scanned is told from
the kind of scan and, in version 4, from the drive that is marked and begins where the range does.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

MOST_RANGES = 10_000
# Kinds of scan by their number in version 3.
KINDS = {
    0: "locked coupled",
    1: "unlocked coupled",
    2: "detector scan",
    3: "rocking curve",
    4: "chi scan",
    5: "phi scan",
    20: "unlocked coupled hr xrd",
}
LINES = ("Ka", "Ka1", "Ka2", "Kb")
DRIVES = {"theta": "omega", "omega": "omega", "2theta": "two-theta", "twotheta": "two-theta"}
_KINDS_OF_DRIVE = {
    "rocking": "omega",
    "coupled": "two-theta",
    "detector": "two-theta",
    "chi": "chi",
    "phi": "phi",
}


def read_raw(content: bytes) -> tuple[RecordedScan, ...]:
    """Ranges in the content of a .raw, in its order.

    Raises:
        ValueError: it is of another version, or damaged.
    """
    data = _Bytes(content)
    if content.startswith(b"RAW1.01"):
        return _version_3(data)
    if content.startswith(b"RAW4.00"):
        return _version_4(data)
    raise ValueError("it is a .raw of version 1 or 2; save it as version 3 or 4, as .brml, or as text.")


def _finite(numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(numbers).all():
        raise ValueError("an intensity is not finite; copy or export it again.")
    return numbers


@dataclass(frozen=True)
class _Bytes:
    content: bytes

    def value(self, kind: str, at: int) -> float:
        """A number: `I`, `f` or `d`, little-endian."""
        if at < 0 or at + struct.calcsize(kind) > len(self.content):
            raise ValueError(
                f"it ends at byte {len(self.content)}, within a number at byte {at}; copy or export it again."
            )
        return float(struct.unpack_from(f"<{kind}", self.content, at)[0])

    def whole(self, at: int) -> int:
        return int(self.value("I", at))

    def text(self, at: int, length: int) -> str:
        return self.content[at : at + length].split(b"\0")[0].decode("latin-1").strip()

    def records(self, at: int, count: int, size: int) -> FloatArray:
        """The first number of each of so many records, in float32."""
        if not 1 <= count <= MOST_POINTS:
            raise ValueError(f"{count} points in a range; there must be 1 to {MOST_POINTS}.")
        if not 4 <= size <= 4096 or at + count * size > len(self.content):
            raise ValueError(
                f"{count} points of {size} bytes from byte {at} do not lie in a file of {len(self.content)} bytes; "
                "copy or export it again."
            )
        words = np.frombuffer(self.content, dtype=np.uint8, count=count * size, offset=at).reshape(
            count, size
        )
        return np.asarray(_finite(words[:, :4].copy().view("<f4")[:, 0]), dtype=np.float64)


def _version_3(data: _Bytes) -> tuple[RecordedScan, ...]:
    lines = _lines([data.value("d", at) for at in (616, 624, 632, 640)])
    ranges, at = data.whole(12), 712
    if not 1 <= ranges <= MOST_RANGES:
        raise ValueError(f"{ranges} ranges; there must be 1 to {MOST_RANGES}.")
    found: list[RecordedScan] = []
    for _ in range(ranges):
        header, points, kind = data.whole(at), data.whole(at + 4), data.whole(at + 196)
        varying, size, extra = (data.whole(at + offset) for offset in (248, 252, 256))
        if not 260 <= header <= 65536 or extra > len(data.content):
            raise ValueError(
                f"a range's header of {header} bytes, with {extra} more; copy or export it again."
            )
        if varying:
            raise ValueError(
                "positions of single points are stored, which is not read; save it as text or .brml."
            )
        starts = {
            name: data.value("d", at + offset)
            for name, offset in (("omega", 8), ("two-theta", 16), ("chi", 24), ("phi", 32))
        }
        words = KINDS.get(kind, f"kind {kind}")
        positions, fixed, leading = _axes(words, None, starts, None, data.value("d", at + 176), points)
        found.append(
            RecordedScan(
                format="Bruker RAW, version 3",
                scanned=words,
                leading=leading,
                positions=positions,
                fixed=fixed,
                intensity=data.records(at + header + extra, points, size),
                counting_time_s=_constant(data.value("f", at + 192), points),
                wavelength_A=_wavelength(data.value("d", at + 240)) or lines.get("Ka1"),
                lines_A=lines,
                anode=data.text(608, 4),
                title=data.text(326, 60),
            )
        )
        at += header + extra + points * size
    return tuple(found)


def _version_4(data: _Bytes) -> tuple[RecordedScan, ...]:
    lines: dict[str, float] = {}
    anode, title = "", ""
    found: list[RecordedScan] = []
    at = 61
    while at + 8 <= len(data.content) and len(found) < MOST_RANGES:
        kind, length = data.whole(at), data.whole(at + 4)
        if kind in (0, 160):
            scan, at = _range_4(data, at, lines, anode, title)
            found.append(scan)
            continue
        if not 8 <= length <= len(data.content) - at:
            raise ValueError(f"a record of {length} bytes at byte {at}; copy or export it again.")
        if kind == 10 and data.text(at + 12, 24).upper() == "SAMPLEID":
            title = data.text(at + 36, max(0, length - 36))
        elif kind == 30:
            lines = _lines([data.value("d", at + offset) for offset in (72, 80, 88, 96)])
            anode = data.text(at + 116, 4)
        at += length
    if not found:
        raise ValueError("there is no range in the .raw.")
    return tuple(found)


def _range_4(
    data: _Bytes, at: int, lines: Mapping[str, float], anode: str, title: str
) -> tuple[RecordedScan, int]:
    """The range at a byte, and where it ends."""
    start, step = data.value("d", at + 72), data.value("d", at + 80)
    points, size, header = (data.whole(at + offset) for offset in (88, 136, 140))
    marked, starts = _drives(data, at + 160, header)
    words = data.text(at + 32, 24)
    intensity = data.records(at + 160 + header, points, size)
    # Marked, and beginning where the range does: either alone may be another drive.
    scanned = next((name for name in marked if np.isclose(starts[name], start, atol=1e-6)), None)
    positions, fixed, leading = _axes(words, scanned, starts, start, step, points)
    scan = RecordedScan(
        format="Bruker RAW, version 4",
        scanned=words,
        leading=leading,
        positions=positions,
        fixed=fixed,
        intensity=intensity,
        # In milliseconds.
        counting_time_s=_constant(data.value("f", at + 92) / 1000, points),
        wavelength_A=_wavelength(data.value("d", at + 112)) or lines.get("Ka1"),
        lines_A=lines,
        anode=anode,
        title=title,
    )
    return scan, at + 160 + header + points * size


def _drives(data: _Bytes, at: int, size: int) -> tuple[list[str], dict[str, float]]:
    """Drives that are marked, and where each stood when the range began."""
    if at + size > len(data.content):
        raise ValueError(f"a range's header of {size} bytes at byte {at}; copy or export it again.")
    end, marked = at + size, list[str]()
    starts: dict[str, float] = {}
    while at + 8 <= end:
        kind, length = data.whole(at), data.whole(at + 4)
        if not 8 <= length <= end - at:
            raise ValueError(f"a record of {length} bytes at byte {at}; copy or export it again.")
        if kind == 50 and length >= 64:
            name = data.text(at + 12, 24).casefold().replace("-", "").replace(" ", "")
            name = DRIVES.get(name, name)
            starts[name] = data.value("d", at + 56)
            if data.whole(at + 8):
                marked.append(name)
        at += length
    return marked, starts


def _axes(
    kind: str,
    scanned: str | None,
    starts: Mapping[str, float],
    start: float | None,
    step: float,
    points: int,
) -> tuple[dict[str, FloatArray], dict[str, float], str]:
    """Angles of what moved, of what stood still, and the axis of the scan.

    Args:
        kind: Of scan, in words.
        scanned: The drive that was scanned, if the file marks it.
        starts: Where each drive was at the first point [deg].
        start: Where the scanned one was [deg]; by default from `starts`.
        step: Of the scanned one [deg].
        points: How many.
    """
    by_kind = next((name for word, name in _KINDS_OF_DRIVE.items() if word in kind.casefold()), None)
    leading = scanned or by_kind
    if leading is None or (start is None and leading not in starts):
        raise ValueError(
            f"which axis was scanned is not told from its kind, {kind[:40]!r}; save it as .brml."
        )
    if not (np.isfinite(step) and step and abs(step) <= 360 and 1 <= points <= MOST_POINTS):
        raise ValueError(f"{points} steps of {step:g}° make no scan; copy or export it again.")
    way: FloatArray = np.arange(points, dtype=np.float64) * np.float64(step)
    moved: dict[str, FloatArray] = {leading: way + (starts[leading] if start is None else start)}
    if "coupled" in kind.casefold() and leading in ("omega", "two-theta"):
        other, share = ("omega", 0.5) if leading == "two-theta" else ("two-theta", 2.0)
        if other in starts:
            moved[other] = share * way + starts[other]
    # Positions that are no angles of the goniometer are left out.
    fixed = {name: starts[name] for name in ("omega", "two-theta", "chi", "phi") if name in starts}
    fixed = {name: value for name, value in fixed.items() if name not in moved and np.isfinite(value)}
    return moved, fixed, leading if leading in ("omega", "two-theta") else ""


def _lines(values: list[float]) -> dict[str, float]:
    named = zip(LINES, map(_wavelength, values), strict=True)
    return {name: value for name, value in named if value is not None}


def _wavelength(value: float) -> float | None:
    """A wavelength [Å]; None where the number is none."""
    return value if 0.1 <= value <= 10 else None


def _constant(value: float, points: int) -> FloatArray | None:
    """A time for all points; None where the number is none."""
    return np.full(points, value) if 0 < value < 1e7 and points <= MOST_POINTS else None
