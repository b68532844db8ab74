"""Settings of a session as text in a link, so that another browser, or the same one later, goes on with them."""

import base64
import binascii
import json
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

from strainscope.scan import AXES, INTENSITIES

LONGEST_LINK = 16_000
_LARGEST = 200_000
OPTIONS = ("seed", "draws", "starts", "splines", "model_error")


@dataclass(kw_only=True)
class DeskSettings:
    """What a visitor has chosen.

    Attributes:
        sample: A preset's name, or the text of a sample file.
        axis, intensity: What the scan's columns are; None for what the sample says.
        values: Of the sliders, by parameter.
        options: Of the inversion, those of OPTIONS that were set.
        estimator: What proposes in place of the search; None for the search.
        gold: Whether nested sampling is asked for.
    """

    sample: str = "ggg444"
    axis: str | None = None
    intensity: str | None = None
    values: dict[str, float] = field(default_factory=dict)
    options: dict[str, float] = field(default_factory=dict)
    estimator: str | None = None
    gold: bool = False


def settings_text(settings: DeskSettings) -> str:
    """The settings as text for a link."""
    packed = zlib.compress(json.dumps(asdict(settings), separators=(",", ":")).encode(), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def settings_of(text: str) -> DeskSettings:
    """The settings in a link's text.

    Raises:
        ValueError: the link is damaged.
    """
    try:
        if len(text) > LONGEST_LINK:
            raise ValueError("too long")
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, _LARGEST)
        if not unpacker.eof:
            raise ValueError("cut off")
        return checked_settings(json.loads(content))
    except (ValueError, binascii.Error, zlib.error, RecursionError) as error:
        raise ValueError(f"the link's settings cannot be read ({error}); copy the whole link.") from None


def checked_settings(data: Any) -> DeskSettings:  # noqa: ANN401 (whatever JSON holds)
    """Settings of plain data.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(data, dict) or set(data) - set(DeskSettings.__dataclass_fields__):
        raise ValueError("no settings")
    found = DeskSettings(**data)
    numbers = [*_items(found.values), *_items(found.options)]
    if (
        not isinstance(found.sample, str)
        or found.axis not in (None, *AXES)
        or found.intensity not in (None, *INTENSITIES)
        or not all(isinstance(name, str) and type(value) in (int, float) for name, value in numbers)
        or set(found.options) - set(OPTIONS)
        or not isinstance(found.estimator, str | None)
        or not isinstance(found.gold, bool)
    ):
        raise ValueError("no settings")
    return found


def _items(mapping: object) -> list[tuple[Any, Any]]:
    if not isinstance(mapping, dict):
        raise ValueError("no settings")
    return list(mapping.items())
