"""A scan for an inversion from a file, whatever its format."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strainscope.readers.files import chosen_scan, is_instrument_file
from strainscope.readers.recorded import RecordedScan
from strainscope.readers.text import read_columns
from strainscope.scan import Scan


def read_scan(
    path: str | PathLike[str],
    *,
    axis: str | None = None,
    intensity_kind: str | None = None,
    number: int | None = None,
    check_columns: Callable[[np.ndarray, np.ndarray], None] = lambda angle, intensity: None,
    check_recorded: Callable[[RecordedScan], None] = lambda recorded: None,
) -> Scan:
    """The scan in a file: text of two or three columns, or what an instrument wrote.

    Args:
        path: The file, at most 50 MB.
        axis: Of text, what the first column is, one of `strainscope.scan.AXES`; of an instrument's file one of the
            axes in it, by default the one that was scanned.
        intensity_kind: Of text, what the second column is, one of `strainscope.scan.INTENSITIES`; an instrument's
            file knows.
        number: Which scan of an instrument's file, from 1; needed where there are several.
        check_columns: Called with angles and intensities of text before they are taken for a scan; raises ValueError
            where it knows better than the scan what is wrong with them.
        check_recorded: The same, with what an instrument's file holds.

    Returns:
        The scan, named after the file and sorted by angle.

    Raises:
        OSError: the file is missing, not a file, or cannot be read.
        ValueError: its content is not a scan, or it is not said which; the message is one line that begins with path.
    """
    if is_instrument_file(path):
        return _instrument_scan(path, axis, intensity_kind, number, check_recorded)
    columns = read_columns(path)
    try:
        if number not in (None, 1):
            raise ValueError(f"there is no scan {number}: text holds one scan; leave the number out.")
        if axis is None or intensity_kind is None:
            raise ValueError("text does not say what its columns are; give axis and intensity.")
        _check_order(columns)
        check_columns(columns[:, 0], columns[:, 1])
        return Scan(
            angle=columns[:, 0],
            intensity=columns[:, 1],
            sigma=columns[:, 2] if columns.shape[1] == 3 else None,
            axis=axis,
            intensity_kind=intensity_kind,
            name=Path(path).stem,
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_order(columns: NDArray[np.float64]) -> None:
    """Raise where it is the second column that runs from end to end."""
    if _runs(columns[:, 1]) and not _runs(columns[:, 0]):
        raise ValueError("the second column runs from end to end and the first does not; angles come first: swap them.")


def _runs(values: NDArray[np.float64]) -> bool:
    return bool((values[1:] > values[:-1]).all() or (values[1:] < values[:-1]).all())


def _instrument_scan(
    path: str | PathLike[str],
    axis: str | None,
    intensity_kind: str | None,
    number: int | None,
    check: Callable[[RecordedScan], None],
) -> Scan:
    recorded = chosen_scan(path, number)
    name = Path(path).stem if number is None else f"{Path(path).stem}-{number}"
    try:
        check(recorded)
        scan = recorded.scan(name=name, axis=axis)
        if intensity_kind not in (None, scan.intensity_kind):
            raise ValueError(
                f"--intensity {intensity_kind}: the file's are {scan.intensity_kind}; leave --intensity out."
            )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return scan
