"""What is wrong, in one line for clients: neither files of the server nor options of the command line in it."""

import re
from collections.abc import Iterable
from pathlib import Path

from fastapi.exceptions import RequestValidationError

from strainscope.sample.messages import did_you_mean, first_problem, sentence


def line_of(error: Exception) -> str:
    """The error's message in one line."""
    return without_options(" ".join(str(error).split()))


def without_options(text: str) -> str:
    """A text with options such as --axis by the names of their keys, without what is for batches or for Python."""
    text = re.sub(r" \(in (a batch|Python) [^)]*\)", "", text)
    # A request's `scan` is the file.
    text = re.sub(r"(?<![\w-])--scan\b", "number", text)
    return re.sub(r"(?<![\w-])--([a-z][a-z-]*)", r"\1", text)


def line_of_request(error: RequestValidationError) -> str:
    """What is wrong with a request's parameters, in one line."""
    errors = error.errors()
    first = errors[0]
    if first["type"] == "json_invalid":
        return f"the body is no JSON: {first['ctx']['error']} at character {first['loc'][-1]}."
    if first["loc"] == ("body",):
        return "the body must be a JSON object, sent with content-type: application/json; see /api/openapi.json."
    unknown = [str(own["loc"][-1]) for own in errors if own["type"] == "extra_forbidden"]
    if unknown:
        missing = [str(own["loc"][-1]) for own in errors if own["type"] == "missing"]
        close = did_you_mean(unknown[0], missing) or "."
        return f"{unknown[0]} is no key of this request; see /api/openapi.json{close}"
    text = first_problem(error)  # type: ignore[arg-type]
    return sentence(re.sub(r"^(body|query|path)\.", "", text))


def with_names(line: str, files: Iterable[tuple[str, str | Path]]) -> str:
    """A message with what the client calls its files in place of the server's paths.

    Args:
        line: The message.
        files: The client's names, which several may share, and paths.
    """
    for name, path in files:
        line = line.replace(str(path), name)
    return line
