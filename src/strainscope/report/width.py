"""How wide figures are: a journal's columns by name, or millimetres."""

from strainscope.plots import COLUMN_IN, MM_PER_IN, PAGE_IN

COLUMNS_IN = {"single": COLUMN_IN, "double": PAGE_IN}
NARROWEST_MM, WIDEST_MM = 60.0, 250.0


def width_in(width: str | float) -> float:
    """The width of a figure [in].

    Args:
        width: "single" (85 mm), "double" (175 mm), or millimetres.

    Raises:
        ValueError: another word, or a width that no page has.
    """
    if width in COLUMNS_IN:
        return COLUMNS_IN[str(width)]
    try:
        millimetres = float(width)
    except ValueError:
        millimetres = float("nan")
    if not NARROWEST_MM <= millimetres <= WIDEST_MM:
        named = ", ".join(f"{name} ({inches * MM_PER_IN:.0f} mm)" for name, inches in COLUMNS_IN.items())
        raise ValueError(
            f"figure width = {width!r}; use {named}, or {NARROWEST_MM:g} to {WIDEST_MM:g} millimetres."
        )
    return millimetres / MM_PER_IN
