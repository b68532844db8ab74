"""NeXus files (HDF5): each NXdata group with one-dimensional data over an angle is a scan.

Nothing outside the file is read: external links, external and virtual storage are refused. This is done in a process
of its own (`strainscope.readers.aside`), as damaged files bring the library to a halt or to an end.
"""

import io
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import HC_KEV_ANGSTROM
from strainscope.readers.axis_names import MONITORS, TIMES, axis_of, plain, split_axes
from strainscope.readers.recorded import MOST_POINTS, RecordedScan

FloatArray = NDArray[np.float64]

MOST_OBJECTS, DEEPEST = 5000, 16
LARGEST_CHUNK_BYTES = 100_000_000
# Units of angles in degrees, of lengths in Å, of energies in keV, of times in seconds.
ANGLES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": 180 / np.pi, "radian": 180 / np.pi}
ANGLES |= {"radians": 180 / np.pi, "mrad": 0.18 / np.pi, "arcsec": 1 / 3600, "": 1.0}
LENGTHS = {"angstrom": 1.0, "å": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10, "pm": 0.01}
ENERGIES = {"kev": 1.0, "ev": 1e-3}
DURATIONS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "": 1.0}
RATES = ("1/s", "counts/s", "cps", "hz", "counts/second", "s^-1")


def read_here(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of a NeXus file, the default one first, read in this process.

    Raises:
        ValueError: it is none, damaged, or holds no scan.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            return _scans(file)
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, OverflowError, UnicodeError) as error:
        raise ValueError(
            f"the HDF5 file is damaged ({' '.join(str(error).split())[:120]}); export it again."
        ) from None


def _scans(file: Any) -> tuple[RecordedScan, ...]:  # noqa: ANN401 (h5py is not typed)
    groups = list(_groups(file))
    found: list[RecordedScan] = []
    failed: list[str] = []
    for path, group in groups:
        if attribute_text(group.attrs.get("NX_class")) != "NXdata":
            continue
        try:
            found.append(_scan(file, path, group))
        except ValueError as error:
            failed.append(f"{path}: {error}")
    if not found:
        raise ValueError(failed[0] if failed else "there is no NXdata group, so no scan, in the HDF5 file.")
    # Data over something else are left out where there are data over an angle.
    found = [scan for scan in found if scan.positions] or found
    first = _default(file)
    found.sort(key=lambda scan: scan.scanned != first)
    return tuple(found)


def _groups(file: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Groups of the file by path, each once; raises at what lies outside the file."""
    import h5py

    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    seen: set[Any] = set()
    objects = 0
    while waiting:
        path, group, depth = waiting.pop(0)
        yield path or "/", group
        for name in group:
            objects += 1
            if objects > MOST_OBJECTS or depth > DEEPEST:
                raise ValueError(
                    f"it holds more than {MOST_OBJECTS} objects, or nests deeper than {DEEPEST}."
                )
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ValueError(f"{path}/{name} lies in another file; give one file that holds everything.")
            # What a soft link names is met where it is.
            if not isinstance(link, h5py.HardLink) or group.get(name, getclass=True) is not h5py.Group:
                continue
            inner = group[name]
            mark = h5py.h5o.get_info(inner.id).addr
            if mark not in seen:
                seen.add(mark)
                waiting.append((f"{path}/{name}", inner, depth + 1))


def _scan(file: Any, path: str, group: Any) -> RecordedScan:  # noqa: ANN401
    signal = _signal_name(group)
    intensity, units = _column(group, signal)
    columns = {}
    for name in group:
        axis = axis_of(name)
        if axis and name != signal and _size(group, name) == intensity.size:
            values, unit = _column(group, name)
            columns[axis] = values * _factor(ANGLES, unit, name)
    named = [axis for name in _names(group.attrs.get("axes")) if (axis := axis_of(name))]
    entry = file[path.rpartition("/")[0] or "/"]
    fixed = {axis: value for axis in ("omega", "two-theta") if (value := _alone(group, axis)) is not None}
    moved, stood = split_axes(columns, fixed)
    leading = next(
        (axis for axis in (*named, *moved) if axis in moved and axis in ("omega", "two-theta")), ""
    )
    return RecordedScan(
        format="NeXus (HDF5)",
        scanned=path,
        leading=leading,
        positions=moved,
        fixed=stood,
        intensity=intensity,
        rate=units.replace(" ", "") in RATES,
        counting_time_s=_beside(group, intensity.size, TIMES, DURATIONS),
        monitor=_monitor(group, entry, intensity.size),
        wavelength_A=_wavelength(entry),
        title=_title(entry),
    )


def _signal_name(group: Any) -> str:  # noqa: ANN401
    name = attribute_text(group.attrs.get("signal"))
    if name:
        return name
    # As files of before 2014 have it.
    marked = [name for name in group if _attribute(group, name, "signal") in ("1", b"1", 1)]
    if not marked:
        raise ValueError("it does not say which of its data is the signal.")
    return str(marked[0])


def _dataset(group: Any, name: str) -> Any:  # noqa: ANN401
    """A dataset in a group; None where there is none of that name, or it is no dataset."""
    import h5py

    if "/" in name or name not in group:
        return None
    found = group[name]
    return found if isinstance(found, h5py.Dataset) else None


def _attribute(group: Any, name: str, key: str) -> object:  # noqa: ANN401
    found = _dataset(group, name)
    return None if found is None else np.asarray(found.attrs.get(key, "")).tolist()


def _size(group: Any, name: str) -> int:  # noqa: ANN401
    found = _dataset(group, name)
    return int(found.size) if found is not None and found.ndim == 1 else -1


def _column(group: Any, name: str) -> tuple[FloatArray, str]:  # noqa: ANN401
    """Numbers and unit of a one-dimensional dataset."""
    found = _dataset(group, name)
    if found is None or found.ndim != 1 or found.dtype.kind not in "iuf":
        raise ValueError(f"{name[:80]} is no row of numbers; maps and images are not read.")
    _check_storage(found, name)
    return np.asarray(found[()], dtype=np.float64), attribute_text(found.attrs.get("units")).casefold()


def _check_storage(found: Any, name: str) -> None:  # noqa: ANN401
    if not 1 <= found.size <= MOST_POINTS:
        raise ValueError(f"{name[:80]} has {found.size} points; there must be 1 to {MOST_POINTS}.")
    if found.external or found.is_virtual:
        raise ValueError(f"{name[:80]} lies in another file; give one file that holds everything.")
    chunk = int(np.prod(found.chunks or (1,), dtype=np.float64)) * found.dtype.itemsize
    if chunk > LARGEST_CHUNK_BYTES:
        raise ValueError(
            f"{name[:80]} is stored in pieces of {chunk / 1e6:.3g} MB; write it again in smaller ones."
        )


def _factor(units: Mapping[str, float], unit: str, name: str) -> float:
    if unit not in units:
        raise ValueError(
            f"{name[:80]} is in {unit[:40]!r}; it must be in one of {', '.join(filter(None, units))}."
        )
    return units[unit]


def _alone(group: Any, axis: str) -> float | None:  # noqa: ANN401
    """Where an axis stood that has one number [deg]."""
    for name in group:
        found = _dataset(group, name)
        if axis_of(name) == axis and found is not None and found.size == 1 and found.dtype.kind in "iuf":
            _check_storage(found, name)
            factor = ANGLES.get(attribute_text(found.attrs.get("units")).casefold())
            return None if factor is None else factor * float(np.ravel(found[()])[0])
    return None


def _beside(
    group: Any,  # noqa: ANN401
    size: int,
    names: tuple[str, ...],
    units: Mapping[str, float],
) -> FloatArray | None:
    """A column of those names with so many numbers, or one number for all; None where there is none."""
    for name in group:
        found = _dataset(group, name)
        if (
            plain(name) not in names
            or found is None
            or found.size not in (1, size)
            or found.dtype.kind not in "iuf"
        ):
            continue
        _check_storage(found, name)
        factor = _factor(units, attribute_text(found.attrs.get("units")).casefold(), name)
        values = factor * np.broadcast_to(np.ravel(found[()]).astype(np.float64), (size,))
        return values if (values > 0).all() else None
    return None


def _monitor(group: Any, entry: Any, size: int) -> FloatArray | None:  # noqa: ANN401
    import h5py

    for name in group:
        if plain(name) in MONITORS and _size(group, name) == size:
            return _column(group, name)[0]
    for name in entry:
        found = entry[name] if entry.get(name, getclass=True) is h5py.Group else None
        if (
            found is not None
            and attribute_text(found.attrs.get("NX_class")) == "NXmonitor"
            and _size(found, "data") == size
        ):
            return _column(found, "data")[0]
    return None


def _wavelength(entry: Any) -> float | None:  # noqa: ANN401
    """Of the beam [Å]: of the first wavelength or energy that is found in the entry."""
    for _, group in _groups(entry):
        for name in group:
            found = _dataset(group, name)
            word = plain(name)
            if found is None or found.size != 1 or found.dtype.kind not in "iuf":
                continue
            if word not in ("wavelength", "incidentwavelength", "energy", "incidentenergy"):
                continue
            _check_storage(found, name)
            value, unit = float(np.ravel(found[()])[0]), attribute_text(found.attrs.get("units")).casefold()
            if word.endswith("wavelength") and unit in LENGTHS:
                value *= LENGTHS[unit]
            elif word.endswith("energy") and unit in ENERGIES and value > 0:
                value = HC_KEV_ANGSTROM / (ENERGIES[unit] * value)
            else:
                continue
            if 0.1 <= value <= 10:
                return value
    return None


def _title(entry: Any) -> str:  # noqa: ANN401
    found = _dataset(entry, "title")
    return (
        attribute_text(found[()])[:200] if found is not None and found.size == 1 and found.dtype.kind in "OS" else ""
    )


def _default(file: Any) -> str:  # noqa: ANN401
    """Path of the group that the file would have shown first."""
    path, group = "", file
    for _ in range(DEEPEST):
        name = attribute_text(group.attrs.get("default"))
        if not name or "/" in name or name not in group:
            return path
        path, group = f"{path}/{name}", group[name]
    return path


def _names(value: object) -> list[str]:
    if isinstance(value, np.ndarray):
        return [attribute_text(word) for word in value.ravel().tolist()]
    # Older files have them in one text.
    text = attribute_text(value).strip("[]").replace(",", ":")
    return [word.strip() for word in text.split(":") if word.strip()]


def attribute_text(value: object) -> str:
    """An attribute of HDF5 as text; empty where it is none."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size == 1 else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
