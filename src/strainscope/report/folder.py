"""A folder with every file of a result: all of them or, whatever happens, nothing."""

import re
from pathlib import Path
from typing import Literal

from strainscope import plots
from strainscope.inversion.result import Result
from strainscope.report.document import json_text, result_document
from strainscope.report.html import report_html
from strainscope.report.nexus import result_nexus
from strainscope.report.tables import fit_csv, profile_csv
from strainscope.report.whole import check_whole, write_whole
from strainscope.report.width import width_in

FILES = (
    "result.json",
    "profile.csv",
    "fit.csv",
    "result.nxs",
    "report.html",
    "fit.png",
    "fit.svg",
    "profile.png",
    "profile.svg",
)
# For each further reflection, by its label.
OF_A_REFLECTION = re.compile(r"fit_\w+\.(csv|png|svg)")
_KIND = "result"
_PICTURES: tuple[Literal["png", "svg"], ...] = ("png", "svg")


def write_result(
    result: Result,
    folder: str | Path,
    *,
    force: bool = False,
    command: str | None = None,
    figure_width: str | float = "single",
) -> None:
    """Write the FILES into a new folder: all of them or, whatever happens, nothing.

    Args:
        result: The inversion.
        folder: The folder to make; missing parents are made, too.
        force: Replace the folder if it is a former result.
        command: What to type to repeat the inversion, for report and document.
        figure_width: Of the pictures: "single" (85 mm), "double" (175 mm), or millimetres.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a result.
        OSError: it cannot be written.
        ValueError: a width that no page has.
    """
    width = width_in(figure_width)
    folder = Path(folder)
    check_target(folder, force=force)
    contents = _contents(result, command, width)
    write_whole(folder, contents, FILES, what=_KIND, force=force, others=OF_A_REFLECTION)


def check_target(folder: Path, force: bool = False) -> None:
    """Refuse a folder that :func:`write_result` could not write, before an inversion is spent on it.

    Args:
        folder: The folder that is to be made.
        force: Replace the folder if it is a former result.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a result.
        OSError: it cannot be written.
    """
    check_whole(folder, FILES, what=_KIND, force=force, others=OF_A_REFLECTION)


def _contents(result: Result, command: str | None, width: float) -> dict[str, bytes]:
    """The files by name."""
    figures = {
        "fit": plots.fit_figure(result, width_in=width),
        "profile": plots.profile_figure(result, width_in=width),
    }
    seen = {beside.label: result.seen_at(i) for i, beside in enumerate(result.beside)}
    figures |= {f"fit_{label}": plots.fit_figure(own, width_in=width) for label, own in seen.items()}
    pictures = {
        f"{name}.{kind}": plots.picture(figure, kind=kind)
        for name, figure in figures.items()
        for kind in _PICTURES
    }
    narrow = {name: pictures[f"{name}.svg"] for name in ("fit", "profile")}
    texts = {
        "result.json": json_text(result_document(result, command=command)),
        "profile.csv": profile_csv(result),
        "fit.csv": fit_csv(result),
        "report.html": report_html(
            result, command=command, narrow=narrow if width == plots.COLUMN_IN else None
        ),
    }
    texts |= {f"fit_{label}.csv": fit_csv(own) for label, own in seen.items()}
    # A scan can be named after a file whose name is no valid UTF-8.
    contents = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    contents["result.nxs"] = result_nexus(result)
    return contents | pictures
