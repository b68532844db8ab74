"""Files that commands write: all or none, and nothing replaced without being asked."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

PICTURES: dict[str, Literal["png", "svg", "pdf"]] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def check_picture(path: Path | None) -> None:
    """Raise unless the file's name says which kind of picture it is."""
    if path is not None and path.suffix.lower() not in PICTURES:
        raise ValueError(f"--plot {path}: the name must end in {', '.join(PICTURES)}.")


def check_new(path: Path | None, force: bool) -> None:
    """Raise unless a file may be written there."""
    if path is not None and path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file.")
    if path is not None and path.exists() and not force:
        raise FileExistsError(f"{path}: exists; name another file, or replace it with --force.")


def put(files: Sequence[tuple[Path, bytes]], force: bool) -> None:
    """Write files, all or none; missing folders are made."""
    if len({os.path.realpath(path) for path, _ in files}) < len(files):
        raise ValueError(f"{files[0][0]}: is named twice; give every file a name of its own.")
    made: list[Path] = []
    written: dict[Path, Path] = {}
    try:
        for path, content in files:
            check_new(path, force)
            made += [parent for parent in path.parents if not parent.exists()]
            with _in_words(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, name = tempfile.mkstemp(prefix=".strainscope-", dir=path.parent)
                written[path] = Path(name)
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                mask = os.umask(0)
                os.umask(mask)
                written[path].chmod(0o666 & ~mask)
        for path, temporary in written.items():
            with _in_words(path):
                temporary.replace(path)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
        for folder in made:
            # Refused where it holds a file, as it does unless something went wrong.
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """What the system says of a file that cannot be written, in a line."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{path}: cannot be written ({why}); choose a folder that you may write to.") from None
