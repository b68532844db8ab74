"""A folder with every file of a result: all of them or, whatever happens, nothing."""

import contextlib
import os
import re
import shutil
import uuid
from pathlib import Path

from strainscope import plots
from strainscope.inversion.result import Result
from strainscope.report.document import json_text, result_document
from strainscope.report.html import report_html
from strainscope.report.nexus import result_nexus
from strainscope.report.tables import fit_csv, profile_csv
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
TEMPORARY = ".strainscope-"  # hidden; in the target's parent, so that a rename suffices


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
    target = Path(os.path.realpath(folder))
    made_parents = [parent for parent in target.parents if not parent.exists()]
    name = f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
    fresh, former = target.parent / name, target.parent / f"{name}-old"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        _write_files(result, fresh, command, width)
        _swap(fresh, target, former)
    except OSError as error:
        raise OSError(
            f"{folder}: the result could not be written ({_reason(error)}); choose another place."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        for parent in made_parents:
            # Refused where it holds the result, as it does unless something went wrong.
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_target(folder: Path, force: bool = False) -> None:
    """Refuse a folder that :func:`write_result` could not write, before an inversion is spent on it.

    Args:
        folder: The folder that is to be made.
        force: Replace the folder if it is a former result.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a result.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.exists():
            _check_former(folder, target, force)
        ancestor = next(parent for parent in (target.parent, *target.parents) if parent.exists())
        if not ancestor.is_dir():
            raise NotADirectoryError(f"{folder}: {ancestor} is a file, not a folder; choose another place.")
        # Tried, as permissions alone do not tell of read-only or full file systems.
        probe = ancestor / f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            probe.mkdir()
        finally:
            shutil.rmtree(probe, ignore_errors=True)
    except OSError as error:
        if error.strerror is None:
            raise
        raise OSError(
            f"{folder}: no result can be written here ({_reason(error)}); choose another place."
        ) from error


def _check_former(folder: Path, target: Path, force: bool) -> None:
    if not target.is_dir():
        raise FileExistsError(f"{folder}: is a file; name a folder that does not exist yet.")
    names = sorted(entry.name for entry in target.iterdir())
    foreign = [name for name in names if name not in FILES and not OF_A_REFLECTION.fullmatch(name)]
    if names and "result.json" not in names:
        raise FileExistsError(
            f"{folder}: holds {names[0]} and no result.json, so it is no former result and is not replaced; "
            "choose another folder."
        )
    if not force:
        raise FileExistsError(f"{folder}: exists; name another folder, or replace it (--force; in Python force=True).")
    if foreign:
        raise FileExistsError(
            f"{folder}: holds {foreign[0]} besides a former result, which replacing would delete; "
            "move it away or choose another folder."
        )
    if not os.access(target, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: no permission to replace this folder; choose another one.")


def _write_files(result: Result, folder: Path, command: str | None, width: float) -> None:
    def put(name: str, text: str) -> None:
        # A scan can be named after a file whose name is no valid UTF-8.
        (folder / name).write_bytes(text.encode("utf-8", "replace"))

    put("result.json", json_text(result_document(result, command=command)))
    put("profile.csv", profile_csv(result))
    put("fit.csv", fit_csv(result))
    (folder / "result.nxs").write_bytes(result_nexus(result))
    put("report.html", report_html(result, command=command))
    figures = {
        "fit": plots.fit_figure(result, width_in=width),
        "profile": plots.profile_figure(result, width_in=width),
    }
    for i, beside in enumerate(result.beside):
        own = result.seen_at(i)
        put(f"fit_{beside.label}.csv", fit_csv(own))
        figures[f"fit_{beside.label}"] = plots.fit_figure(own, width_in=width)
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(plots.picture(figure, kind="png"))
        (folder / f"{name}.svg").write_bytes(plots.picture(figure, kind="svg"))


def _swap(fresh: Path, target: Path, former: Path) -> None:
    """Put the complete new folder in place; the former one steps aside first and comes back on failure."""
    try:
        if target.exists():
            target.rename(former)
        fresh.rename(target)
    except BaseException:
        if former.exists() and not target.exists():
            former.rename(target)
        raise


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
