"""What is wrong, in one line for clients: neither files of the server nor options of the command line in it."""

import re

from fastapi.exceptions import RequestValidationError

from strainscope.sample.messages import first_problem, sentence


def line_of(error: Exception) -> str:
    """The error's message in one line; options such as --axis by their names alone."""
    return re.sub(r"(?<![\w-])--([a-z][a-z-]*)", r"\1", " ".join(str(error).split()))


def line_of_request(error: RequestValidationError) -> str:
    """What is wrong with a request's parameters, in one line."""
    text = first_problem(error)  # type: ignore[arg-type]
    return sentence(re.sub(r"^(body|query|path)\.", "", text))
