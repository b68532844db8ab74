"""Whether intensities are counts of photons, and how sensitive each point was."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# How far a count may be from a whole number: files print few digits of rates and of attenuated intensities.
EXACT, ROUNDING = 1e-6, 0.02
LARGEST_ROUNDING = 0.1


def whole_counts(
    intensity: FloatArray, *, time_s: FloatArray | None, factor: FloatArray | None, rate: bool
) -> FloatArray | None:
    """Counts behind intensities, if they are whole numbers.

    Args:
        intensity: As the file has it, shape (point,).
        time_s: Counting times that a rate is multiplied by, shape (point,), or None.
        factor: Attenuation that is in the intensities and has to come out, shape (point,), or None.
        rate: Whether the intensities are counts per second.

    Returns:
        Whole numbers, shape (point,); None where they are none, or the counting time of a rate is not known.
    """
    if rate and time_s is None:
        return None
    counts = intensity if time_s is None else intensity * time_s
    leeway = np.full(intensity.shape, EXACT if time_s is None and factor is None else ROUNDING)
    if factor is not None:
        counts = counts / factor
        # Such intensities are often rounded to whole numbers.
        leeway = np.minimum(LARGEST_ROUNDING, np.maximum(leeway, 0.5 / factor))
    # Nothing counted is printed as 0; what is less than one count is no count.
    if ((counts > 0) & (counts < 0.5)).any():
        return None
    whole = np.rint(counts)
    if (np.abs(counts - whole) > leeway + 1e-7 * whole).any():
        return None
    return np.asarray(whole, dtype=np.float64)


def relative_efficiency(
    *, time_s: FloatArray | None, attenuation: FloatArray | None, monitor: FloatArray | None, points: int
) -> FloatArray:
    """Counts that a point has for one unit of intensity: counting time over attenuation, by the monitor.

    Args:
        time_s: Counting times [s], shape (point,), or None.
        attenuation: Factors that the beam was weakened by, shape (point,), or None.
        monitor: Readings of the beam, shape (point,), or None; of use only where all are above 0.
        points: How many.

    Returns:
        Efficiencies, > 0, shape (point,).
    """
    efficiency = np.ones(points)
    if time_s is not None:
        efficiency = efficiency * time_s
    if attenuation is not None:
        efficiency = efficiency / attenuation
    if monitor is not None and (monitor > 0).all():
        efficiency = efficiency * monitor / monitor.mean()
    return efficiency


def column_is_weakened(intensity: FloatArray, factor: FloatArray) -> bool | None:
    """Whether intensities still have to be multiplied by factors that change along the scan.

    A curve runs on where an attenuator goes in or out. So the one of the two readings is right whose steps are smaller
    there.

    Args:
        intensity: As the file has it, shape (point,).
        factor: Of the attenuator, shape (point,).

    Returns:
        True where multiplied ones run on, False where the ones of the file do; None where the factor never changes,
        or the steps do not tell.
    """
    both = (intensity[1:] > 0) & (intensity[:-1] > 0) & (factor[1:] != factor[:-1])
    if not both.any():
        return None
    step = np.log(intensity[1:][both] / intensity[:-1][both])
    change = np.log(factor[1:][both] / factor[:-1][both])
    raw, multiplied = float(np.sum(np.abs(step))), float(np.sum(np.abs(step + change)))
    # Changes of less than a tenth are no attenuators.
    if abs(raw - multiplied) < 0.25 * float(np.sum(np.abs(change))):
        return None
    return multiplied < raw
