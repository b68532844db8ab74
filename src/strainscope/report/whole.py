"""A folder of files that appears complete or not at all, and replaces only a former one of its own kind."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

TEMPORARY = ".strainscope-"  # hidden; in the target's parent, so that a rename suffices


def check_whole(
    folder: Path,
    names: Sequence[str],
    *,
    what: str,
    force: bool = False,
    others: re.Pattern[str] | None = None,
) -> None:
    """Refuse a folder that :func:`write_whole` could not write, before work is spent on it.

    Args:
        folder: The folder that is to be made.
        names: Files that a former one can hold; the first tells that a folder is one.
        what: It is called in messages, such as "comparison".
        force: Replace a former one.
        others: What further files of a former one are called.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something else.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.exists():
            _check_former(folder, target, names, what, force, others)
        ancestor = next(parent for parent in target.parents if parent.exists())
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
            f"{folder}: no {what} can be written here ({error.strerror}); choose another place."
        ) from error


def write_whole(
    folder: Path,
    contents: Mapping[str, bytes],
    names: Sequence[str],
    *,
    what: str,
    force: bool = False,
    others: re.Pattern[str] | None = None,
) -> None:
    """Write files into a new folder: all of them or, whatever happens, nothing.

    Args:
        folder: The folder to make; missing parents are made, too.
        contents: Files by name.
        names: Files that a former one can hold; the first tells that a folder is one.
        what: It is called in messages, such as "comparison".
        force: Replace a former one.
        others: What further files of a former one are called.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something else.
        OSError: it cannot be written.
    """
    check_whole(folder, names, what=what, force=force, others=others)
    target = Path(os.path.realpath(folder))
    made_parents = [parent for parent in target.parents if not parent.exists()]
    name = f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
    fresh, former = target.parent / name, target.parent / f"{name}-old"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        for file, content in contents.items():
            (fresh / file).write_bytes(content)
        if target.exists():
            target.rename(former)
        fresh.rename(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"{folder}: the {what} could not be written ({reason}); choose another place."
        ) from error
    finally:
        # The former one comes back where the new one did not take its place.
        if former.exists() and not target.exists():
            former.rename(target)
        shutil.rmtree(fresh, ignore_errors=True)
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        for parent in made_parents:
            # Refused where it holds the folder, as it does unless something went wrong.
            with contextlib.suppress(OSError):
                parent.rmdir()


def _check_former(
    folder: Path,
    target: Path,
    names: Sequence[str],
    what: str,
    force: bool,
    others: re.Pattern[str] | None,
) -> None:
    if not target.is_dir():
        raise FileExistsError(f"{folder}: is a file; name a folder that does not exist yet.")
    present = sorted(entry.name for entry in target.iterdir())
    foreign = [name for name in present if name not in names and not (others and others.fullmatch(name))]
    if present and names[0] not in present:
        raise FileExistsError(
            f"{folder}: holds {present[0]} and no {names[0]}, so it is no former {what} and is not replaced; "
            "choose another folder."
        )
    if not force:
        raise FileExistsError(f"{folder}: exists; name another folder, or replace it (--force; in Python force=True).")
    if foreign:
        raise FileExistsError(
            f"{folder}: holds {foreign[0]} besides a former {what}, which replacing would delete; "
            "move it away or choose another folder."
        )
    if not os.access(target, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: no permission to replace this folder; choose another one.")
