"""Stacks of scans over a sample: a curve at every place (y, x), read row by row from HDF5."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.axis_names import axis_of, plain
from strainscope.readers.nexus import attribute_text
from strainscope.sample.parts import ScanSettings
from strainscope.scan import AXES, INTENSITIES, WHOLE_NUMBER_TOLERANCE, check_range

Floats = NDArray[np.float64]

STACK_SUFFIXES = (".nxs", ".h5", ".hdf5", ".hdf", ".nx")
MOST_PIXELS = 1_000_000
# Values of the stack that are read at a time.
_VALUES_AT_ONCE = 4_000_000
_ERRORS = ("errors", "error", "sigma", "uncertainties")
# Units that make an angle degrees, and the factor to them.
_DEGREES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": 180 / np.pi, "radian": 180 / np.pi}
_ARCSEC = ("arcsec", "arcsecond", "arcseconds", '"')
_RELATIVE = ("deltatheta", "deltaomega", "relativeangle")
_ONE_ROW = "A single row of pixels is a map of the shape 1 x pixels x angles."
_UNSAID = ScanSettings()
_AXIS_NAMES = {"omega": "omega-deg", "two-theta": "two-theta-deg"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """A stack of curves on one axis of angles; what it holds is checked as it is read.

    Attributes:
        path: The file.
        dataset: Path of the intensities in it.
        errors: Path of their standard deviations; None where there are none.
        order: Which dimension of the dataset is y, x and the angle.
        shape: Of the map (y, x).
        angle: In the axis's unit, ascending, shape (angle,).
        sort: From the file's order of angles to the ascending one, shape (angle,).
        axis: One of `strainscope.scan.AXES`.
        intensity_kind: One of `strainscope.scan.INTENSITIES`.
        places: Positions of rows and of columns, and their unit.
    """

    path: Path
    dataset: str
    errors: str | None
    order: tuple[int, int, int]
    shape: tuple[int, int]
    angle: Floats
    sort: NDArray[np.intp]
    axis: str
    intensity_kind: str
    places: tuple[Floats, Floats, str]

    @property
    def rows_at_once(self) -> int:
        """Rows of pixels that fit into memory without ado."""
        return max(1, _VALUES_AT_ONCE // max(self.shape[1] * len(self.angle), 1))

    def read(self, y: slice, x: slice) -> tuple[Floats, Floats | None]:
        """Intensities (pixel row, pixel column, angle) of a part of the map, NaN where there are none, and their sd.

        Raises:
            OSError: the file cannot be read.
            ValueError: a value that no scan can have; the message names the pixel.
        """
        with opened(self.path) as file:
            found = self._read(file[self.dataset], y, x)
            errors = None if self.errors is None else self._read(file[self.errors], y, x)
        self._check(found, errors, y, x)
        return found, errors

    def _read(self, dataset: Any, y: slice, x: slice) -> Floats:  # noqa: ANN401 (h5py is not typed)
        part: list[slice] = [slice(None)] * 3
        part[self.order[0]], part[self.order[1]] = y, x
        values = np.transpose(np.asarray(dataset[tuple(part)], dtype=np.float64), self.order)
        return np.ascontiguousarray(values[..., self.sort])

    def _check(self, found: Floats, errors: Floats | None, y: slice, x: slice) -> None:
        known = ~np.isnan(found)
        bad = {
            "must be >= 0; undo the background subtraction": known & (found < 0),
            "must be finite; where there is no value write NaN": np.isinf(found),
        }
        if self.intensity_kind == "counts":
            finite = np.where(np.isfinite(found), found, 0.0)
            bad["is no whole number of counts; for rates or scaled intensities: --intensity normalised"] = (
                np.abs(finite - np.rint(finite)) > WHOLE_NUMBER_TOLERANCE
            )
        for words, where in bad.items():
            if where.any():
                self._raise(found, where, y, x, f"intensity = {{:.9g}} {words}")
        if errors is not None:
            where = known & ~(errors > 0)
            if where.any():
                self._raise(errors, where, y, x, "standard deviation = {:g} must be > 0")

    def _raise(self, values: Floats, where: NDArray[np.bool_], y: slice, x: slice, words: str) -> None:
        i, j, k = (int(index[0]) for index in np.nonzero(where))
        value = words.format(values[i, j, k])
        raise ValueError(
            f"{self.path}: pixel y {i + (y.start or 0)}, x {j + (x.start or 0)}, angle {self.angle[k]:g}: {value}."
        )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file to read.

    Raises:
        OSError: it is missing.
        ValueError: it is none, or damaged.
    """
    import h5py

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (RuntimeError, KeyError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(
            f"{path}: the HDF5 file cannot be read ({' '.join(str(error).split())[:120]}); export it again."
        ) from None


def open_stack(
    path: Path,
    *,
    dataset: str | None = None,
    axis: str | None = None,
    intensity: str | None = None,
    said: ScanSettings = _UNSAID,
) -> Stack:
    """The stack in an HDF5 file.

    Args:
        path: The file.
        dataset: Path of the intensities in it; by default the only three-dimensional numbers, or NeXus' signal.
        axis: What the angles are; by default from their name and unit.
        intensity: "counts" or "normalised"; by default counts where the numbers are whole ones by their type.
        said: What the sample file says, where neither the file nor these do.

    Raises:
        OSError: the file is missing.
        ValueError: it holds no stack, or it is not said what it holds; the message is one line.
    """
    with opened(path) as file:
        try:
            return _stack(path, file, dataset, axis, intensity, said)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def _stack(
    path: Path,
    file: Any,  # noqa: ANN401
    dataset: str | None,
    axis: str | None,
    intensity: str | None,
    said: ScanSettings,
) -> Stack:
    name = dataset or _signal(file)
    found = file.get(name)
    if found is None or getattr(found, "ndim", 0) != 3 or found.dtype.kind not in "iuf":
        raise ValueError(
            f"--dataset {name}: is no numbers over y, x and angle; the file holds {_listed(file)}. {_ONE_ROW}"
        )
    if found.external or found.is_virtual:
        raise ValueError(f"{name} lies in another file; give one file that holds everything.")
    group = found.parent
    angle_name, order = _order(group, found)
    angles = group[angle_name]
    values = np.asarray(angles[()], dtype=np.float64)
    frames = found.shape[order[2]]
    if len(values) != frames:
        raise ValueError(
            f"{angle_name} has {len(values)} angles, but {name} has {frames} frames; frames are missing: write NaN "
            "for those, or cut the angles to what was measured."
        )
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        raise ValueError(f"{angle_name}[{broken[0]}] = {values[broken[0]]}; every angle must be finite.")
    known, counts = np.unique(values, return_counts=True)
    if len(known) < len(values):
        twice = f"{known[np.argmax(counts)]:g} is there {counts.max()} times"
        raise ValueError(f"{angle_name}: {twice}; every angle must be there once.")
    shape = (int(found.shape[order[0]]), int(found.shape[order[1]]))
    if not 1 <= shape[0] * shape[1] <= MOST_PIXELS:
        raise ValueError(f"{shape[0]} x {shape[1]} pixels; there must be 1 to {MOST_PIXELS:,}.")
    unit = attribute_text(angles.attrs.get("units")).casefold()
    kind, factor = _axis(angle_name, unit, axis, said.axis)
    otherwise = said.intensity if found.dtype.kind == "f" else None
    intensity = intensity or attribute_text(found.attrs.get("kind")) or otherwise
    if intensity is None and found.dtype.kind == "f":
        raise ValueError("it is not said what the intensities are; give --intensity counts or normalised.")
    if intensity is not None and intensity not in INTENSITIES:
        raise ValueError(f"--intensity {intensity}: must be one of {', '.join(INTENSITIES)}.")
    errors = next((n for n in (f"{name.rpartition('/')[2]}_errors", *_ERRORS) if n in group), None)
    if errors is not None and group[errors].shape != found.shape:
        raise ValueError(f"{errors} has the shape {group[errors].shape}, the intensities have {found.shape}.")
    sort = np.argsort(factor * values, kind="stable")
    check_range(factor * values[sort], kind)
    return Stack(
        path=path,
        dataset=found.name,
        errors=None if errors is None else group[errors].name,
        order=order,
        shape=shape,
        angle=factor * values[sort],
        sort=sort,
        axis=kind,
        intensity_kind=intensity or "counts",
        places=_places(group, found, order),
    )


def _signal(file: Any) -> str:  # noqa: ANN401
    """Path of the only numbers of three dimensions, or of the one that a NeXus file shows first."""
    import h5py

    found: list[str] = []

    def visit(name: str, item: Any) -> None:  # noqa: ANN401
        if isinstance(item, h5py.Dataset) and item.ndim == 3 and item.dtype.kind in "iuf":
            found.append(f"/{name}")

    file.visititems(visit)
    signals = [n for n in found if attribute_text(file[n].parent.attrs.get("signal")) == n.rpartition("/")[2]]
    for some in (signals, [n for n in found if plain(n.rpartition("/")[2]) not in _ERRORS]):
        if len(some) == 1:
            return some[0]
    if not found:
        raise ValueError(f"it holds no numbers over y, x and angle, only {_listed(file)}. {_ONE_ROW}")
    raise ValueError(
        f"it holds {len(found)} stacks over y, x and angle ({', '.join(found[:5])}); choose one by --dataset."
    )


def _order(group: Any, found: Any) -> tuple[str, tuple[int, int, int]]:  # noqa: ANN401
    """Name of the angles, and which dimension is y, x and angle."""
    axes = [attribute_text(name) for name in np.ravel(group.attrs.get("axes", []))]
    rows = {name: group[name] for name in group if getattr(group[name], "ndim", 0) == 1}
    angles = [n for n in rows if axis_of(n) in _AXIS_NAMES or plain(n) in _RELATIVE or plain(n) == "angle"]
    if len(axes) == 3:
        named = [n for n in axes if n in angles]
        if len(named) == 1:
            place = axes.index(named[0])
            y, x = (i for i in range(3) if i != place)
            return named[0], (y, x, place)
    if len(angles) != 1:
        raise ValueError(
            f"beside {found.name} there are {len(angles)} columns of angles ({', '.join(angles) or 'none'}); there "
            "must be one, named delta_theta, omega, two_theta or angle."
        )
    length = rows[angles[0]].shape[0]
    fitting = [i for i in range(3) if found.shape[i] == length]
    # The last dimension is the angle's by custom; frames come first where detectors write them.
    place = 2 if 2 in fitting or not fitting else fitting[0]
    if len(fitting) > 1 and place != 2:
        raise ValueError(f"{len(fitting)} dimensions are as long as {angles[0]}; name them by the attribute axes.")
    y, x = (i for i in range(3) if i != place)
    return angles[0], (y, x, place)


def _axis(name: str, unit: str, given: str | None, said: str | None) -> tuple[str, float]:
    """The axis of the angles, and the factor to its unit."""
    if given is not None and given not in AXES:
        raise ValueError(f"--axis {given}: must be one of {', '.join(AXES)}.")
    own = axis_of(name)
    kind = given or ("delta-theta-arcsec" if plain(name) in _RELATIVE else _AXIS_NAMES.get(own or "") or said)
    if kind is None:
        raise ValueError(f"it is not said what {name} is; give --axis {', '.join(AXES[:-1])} or {AXES[-1]}.")
    arcsec = kind == "delta-theta-arcsec"
    if unit in _ARCSEC:
        return kind, 1.0 if arcsec else 1 / 3600
    if unit in _DEGREES:
        return kind, _DEGREES[unit] * (3600.0 if arcsec else 1.0)
    if unit:
        raise ValueError(f"{name} is in {unit!r}; it must be in arcsec, deg or rad.")
    # Without a unit the angles are in that of the axis that was named.
    if given is None and said is None:
        raise ValueError(f"{name} has no attribute units; write it, or name the axis by --axis.")
    return kind, 1.0


def _places(group: Any, found: Any, order: tuple[int, int, int]) -> tuple[Floats, Floats, str]:  # noqa: ANN401
    """Positions of rows and columns and their unit; numbers from 0 where the file has none."""
    axes = [attribute_text(name) for name in np.ravel(group.attrs.get("axes", []))]
    places, units = [], []
    for dimension, usual in zip(order[:2], ("y", "x"), strict=True):
        names = [axes[dimension]] if len(axes) == 3 else [usual]
        name = names[0] if names[0] in group else None
        row = None if name is None else group[name]
        if row is not None and row.shape == (found.shape[dimension],) and row.dtype.kind in "iuf":
            places.append(np.asarray(row[()], dtype=np.float64))
            units.append(attribute_text(row.attrs.get("units")))
        else:
            places.append(np.arange(found.shape[dimension], dtype=np.float64))
            units.append("")
    return places[0], places[1], units[0] if units[0] == units[1] else ""


def _listed(file: Any) -> str:  # noqa: ANN401
    found: list[str] = []
    file.visititems(lambda name, item: found.append(f"/{name}") if hasattr(item, "ndim") else None)
    return ", ".join(found[:8]) or "nothing"
