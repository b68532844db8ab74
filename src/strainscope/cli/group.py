"""What all commands have in common: expected errors are one line and an exit code."""

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from strainscope.cli.indices import with_joined_indices

USAGE_ERROR, INTERRUPTED = 2, 130
# What typer, or the click under it, calls a wrong use of a command.
_UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """Commands whose expected errors are one line and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's or click's own)
        ctx.obj = shlex.join(["strainscope", *args])
        with _usage_errors_in_a_line():
            return list(super().parse_args(ctx, with_joined_indices(args)))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        try:
            with _usage_errors_in_a_line():
                result = super().invoke(ctx)
            # A closed pipe shows here rather than when Python ends.
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            raise
        except KeyboardInterrupt as interrupt:
            typer.echo(" ".join(["strainscope: interrupted", *interrupt.args]).replace(" ;", ";"), err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, OSError) as error:
            if os.environ.get("STRAINSCOPE_DEBUG") == "1":
                raise
            typer.echo(f"strainscope: error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(USAGE_ERROR) from None


@contextmanager
def _usage_errors_in_a_line() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        # A command without arguments asks for its help, which is no error.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        text = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "strainscope"
        typer.echo(f"strainscope: error: {text}; see {command} --help.", err=True)
        raise typer.Exit(USAGE_ERROR) from None
