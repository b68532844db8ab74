"""What the image and the unit start is a command of ours, with options that it has."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from strainscope import cli

DEPLOY = Path(__file__).parents[2] / "deploy"


def started():
    """Words of what the image and the unit start."""
    image = re.findall(r"^CMD (.*)$", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    unit = re.findall(
        r"^ExecStart=(.*)$", (DEPLOY / "strainscope.service").read_text(encoding="utf-8"), re.MULTILINE
    )
    return [json.loads(image[0]), shlex.split(unit[0])]


@pytest.mark.parametrize("words", started(), ids=["image", "unit"])
def test_what_is_started_is_a_command_with_its_options(words):
    program, command, *options = words
    assert Path(program).name == "strainscope"
    commands = get_command(cli.app).commands
    assert command in commands
    known = {name for option in commands[command].params for name in (*option.opts, *option.secondary_opts)}
    assert {word for word in options if word.startswith("--")} <= known
