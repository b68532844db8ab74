"""Numbers as people read them: rounded, with ±, a true minus sign and raised exponents."""

import math

from strainscope import plots

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def value_text(value: float, sd: float | None) -> str:
    """A value with its standard deviation to two digits, both to the same decimal: "0.01200 ± 0.00023"."""
    if not math.isfinite(value) or sd is None or not math.isfinite(sd) or sd <= 0:
        return number_text(value, digits=5)
    exponent = math.floor(math.log10(max(abs(value), sd)))
    scientific = not -4 <= exponent < 6
    shift = exponent if scientific else 0
    # Ten digits of the value are the most that is shown, however small the deviation.
    decimals = min(1 - math.floor(math.log10(sd)), 9 - exponent) + shift
    # Adding nought turns a rounded −0 into 0.
    shown = [round(x / 10.0**shift, decimals) + 0.0 for x in (value, sd)]
    text = " ± ".join(f"{x:.{max(decimals, 0)}f}" for x in shown).replace("-", "−")
    return f"({text})×10{str(shift).translate(SUPERSCRIPTS)}" if scientific else text


def band_text(value: float, low: float, high: float) -> tuple[str, str, str]:
    """A value and its limits, all to a third of half the band's width: "1.320", "1.315" and "1.327"."""
    width = 0.5 * (high - low)
    if not (math.isfinite(value) and math.isfinite(width) and width > 0):
        first, second, third = (number_text(x, digits=4, trailing=True) for x in (value, low, high))
        return first, second, third
    # More than six digits no scan has.
    decimals = -math.floor(math.log10(width / 3))
    decimals = max(0, min(decimals, 5 - math.floor(math.log10(abs(value) or 1.0))))
    first, second, third = (_fixed(x, decimals) for x in (value, low, high))
    return first, second, third


def depth_text(depth: float) -> str:
    """A depth [nm] to a tenth, which is finer than any scan tells."""
    return _fixed(depth, 1) if math.isfinite(depth) else "unknown"


def strain_text(strain: float, low: float, high: float, depth: float) -> tuple[str, str, str, str]:
    """A strain [1] and its limits, in %, and its depth [Å], in nm."""
    shown = band_text(*(plots.PERCENT * x for x in (strain, low, high)))
    return *shown, depth_text(depth / plots.ANGSTROM_PER_NM)


def shown_unit(name: str, unit: str) -> tuple[float, str]:
    """Factor and unit in which people read a parameter: nm in place of Å, unless its name carries the unit."""
    if unit == "Å" and not name.endswith("_A"):
        return 1 / plots.ANGSTROM_PER_NM, "nm"
    return 1.0, "" if unit == "1" else unit


def _fixed(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def number_text(value: float | None, *, digits: int = 4, trailing: bool = False) -> str:
    """A number to so many digits, with a true minus sign and a raised exponent; "unknown" for NaN.

    Args:
        value: The number.
        digits: How many at most.
        trailing: Whether zeros at the end stay: "2.00" for measured numbers, "2" for settings.
    """
    if value is None or not math.isfinite(value):
        return "unknown"
    mantissa, _, exponent = f"{value + 0.0:{'#' if trailing else ''}.{digits}g}".partition("e")
    mantissa = mantissa.removesuffix(".")
    # Whole numbers up to a million are easier to read than powers of ten.
    if exponent and digits <= int(exponent) < 6:
        mantissa, exponent = f"{float(f'{value:.{digits}g}'):.0f}", ""
    raised = f"×10{str(int(exponent)).translate(SUPERSCRIPTS)}" if exponent else ""
    return mantissa.replace("-", "−") + raised


def time_text(seconds: float) -> str:
    """A duration in the unit that suits it: "4.2 s", "3 min 5 s", "1 h 12 min"; "unknown" for NaN."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
