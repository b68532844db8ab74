"""What is wrong, in one line: what pydantic and YAML found, hints at what is known, the key before it."""

import difflib
import re
import reprlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import yaml
from pydantic import ValidationError

# How pydantic says what is allowed, and how this program does.
_WORDS = {
    "Input should be": "it must be",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping (lines of key: value)",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
}
# How YAML's parser says what is wrong, and what it means in a sample file.
_YAML_WORDS = {
    "mapping values are not allowed": "a colon too many; put text with a colon in quotes, or mend the indentation",
    "could not find expected ':'": "a colon after the key is missing, or the indentation is off",
    "found character '\\t'": "a tab; indent with spaces",
    "expected <block end>": "the indentation differs from that of the lines above; mend it",
    "while parsing a flow": "a bracket is not closed, or a comma is missing",
    "expected the node content": "a bracket is not closed, or a comma is missing",
    "could not determine a constructor": "tags (!) are not allowed; write plain values",
    "while scanning a quoted scalar": "a quotation mark is not closed",
}


@contextmanager
def at_key(key: str) -> Iterator[None]:
    """Put the key before what is wrong with it, or with the file that it names."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
    except OSError as error:
        raise type(error)(f"{key}: {error}") from None


def hint(word: object, known: Any) -> str:  # noqa: ANN401
    """What is known, and what is close to the word."""
    return f"; there are {', '.join(known)}{did_you_mean(word, known)}"


def did_you_mean(word: object, known: Any) -> str:  # noqa: ANN401
    """The known word that is close to this one, as a question; nothing where none is."""
    found = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f". Did you mean {found[0]}?" if found else ""


def with_unit(number: str, unit: str) -> str:
    """A number and its unit, which is left out where it is "1"."""
    return number if unit == "1" else f"{number} {unit}"


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends with a mark."""
    return text if text.endswith((".", "?")) else f"{text}."


def yaml_problem(error: yaml.YAMLError) -> str:
    """Where and why a text is no YAML, in a line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"this is not YAML ({' '.join(str(error).split())}); save it as plain text"
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    theirs = " ".join(f"{error.problem or ''} {error.context or ''}".split())
    ours = next((words for key, words in _YAML_WORDS.items() if key in theirs), theirs)
    return f"{place}this is not YAML: {ours}"


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found, in a line: key, value, what is allowed."""
    errors = error.errors()
    first, more = errors[0], len(errors) - 1
    key = _key(first["loc"])
    rest = f" (and {more} more)" if more else ""
    if first["type"] == "value_error":
        text = str(first["ctx"]["error"]).rstrip(".")
        own = key.rpartition(".")[2]
        if not key or text.startswith(f"{own} = "):
            return f"{key}{text.removeprefix(own)}{rest}" if key else f"{text}{rest}"
        # Where the message begins with the number, it wants "key = " before it.
        joint = " = " if re.match(r"\[|-?\d|'", text) else ": "
        return f"{key}{joint}{text}{rest}"
    if first["type"] == "missing":
        return f"{key} is missing{rest}"
    if first["type"] in ("too_short", "too_long"):
        least = first["type"] == "too_short"
        number = first["ctx"]["min_length" if least else "max_length"]
        limit = f"at {'least' if least else 'most'} {number} numbers"
        return f"{key} = {reprlib.repr(first['input'])}; it must have {limit}"
    if first["type"].startswith("union_tag"):
        return f"{_family_problem(key, first['type'], first['ctx'], first['input'])}{rest}"
    # What a parser of numbers stumbled over is no help.
    message = first["msg"].partition(", unable to")[0]
    for theirs, ours in _WORDS.items():
        message = message.replace(theirs, ours)
    unit = _unit(key)
    message = re.sub(r"((?:greater|less) than (?:or equal to )?\S+)$", rf"\1{unit}", message)
    message = re.sub(r"a mapping \(.*?\) or .*", "a mapping (lines of key: value)", message)
    expected = re.findall(r"'([^']*)'", str(first.get("ctx", {}).get("expected", "")))
    close = did_you_mean(first["input"], expected)
    shown = f"{reprlib.repr(first['input'])}{unit if isinstance(first['input'], int | float) else ''}"
    return f"{key} = {shown}; {message[0].lower()}{message[1:]}{close}{rest}"


def _unit(key: str) -> str:
    """The unit of a key, after a space, where its name holds one."""
    if re.search(r"_A\b", key):
        return " Å"
    return " arcsec" if re.search(r"_arcsec\b", key) else ""


def _family_problem(key: str, kind: str, context: Mapping[str, Any], value: object) -> str:
    own = str(context["discriminator"]).strip("'")
    # Where a function decides, the file's key is family.
    own = own if own.isidentifier() else "family"
    if kind == "union_tag_not_found":
        if isinstance(value, Mapping):
            near = difflib.get_close_matches(own, [str(k) for k in value], n=1, cutoff=0.6)
            return f"{key}.{near[0]} is unknown. Did you mean {own}?" if near else f"{key}.{own} is missing"
        return f"{key} = {reprlib.repr(value)}; give the name of a {own}, or {own} and its settings"
    known = re.findall(r"'([^']*)'", context["expected_tags"])
    close = did_you_mean(context["tag"], known)
    return f"{key}.{own} = {context['tag']!r}; it must be one of {', '.join(known)}{close}"


def _key(place: tuple[int | str, ...]) -> str:
    """A place such as ("films", 0, "crystal") as films[0].crystal, without the names of families."""
    parts = list(place)
    # Below a family's key pydantic names the family, which is no key of the file.
    if len(parts) > 1 and parts[0] in ("strain", "disorder", "resolution", "sampling"):
        del parts[1]
    if parts[:1] == ["parameters"]:
        del parts[2:3]
    if parts[:1] == ["stratify"]:
        del parts[2:]
    if parts[:1] == ["wavelength"]:
        del parts[1:]
    parts = [part for part in parts if part != "[key]"]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")
