"""Numbers as people read them: rounded, with ±, a true minus sign and raised exponents."""

import math

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
    shown = [round(x / 10.0**shift, decimals) for x in (value, sd)]
    text = " ± ".join(f"{x:.{max(decimals, 0)}f}" for x in shown).replace("-", "−")
    return f"({text})×10{str(shift).translate(SUPERSCRIPTS)}" if scientific else text


def number_text(value: float | None, *, digits: int = 4) -> str:
    """A number to so many digits, with a true minus sign and a raised exponent; "unknown" for NaN."""
    if value is None or not math.isfinite(value):
        return "unknown"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
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
