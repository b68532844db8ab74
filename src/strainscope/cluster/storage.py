"""Storage that all nodes share, tried before any work is spent."""

import os
import platform
import uuid
from collections.abc import Sequence
from pathlib import Path

from strainscope.cluster.connection import on_nodes


def check_shared(folder: Path, files: Sequence[Path] = ()) -> None:
    """Raise unless every node of the connected cluster can write in a folder, and it is this one.

    Args:
        folder: It exists; it is removed where it is empty and a node cannot write there.
        files: What every node has to be able to read, if this machine is.

    Raises:
        OSError: a node does not see one of them, or cannot write.
    """
    token = folder.absolute() / f"{uuid.uuid4().hex}.partial"
    try:
        token.write_bytes(b"")
        on_nodes(_try, str(token), [str(path.absolute()) for path in files if os.access(path, os.R_OK)])
    except BaseException:
        token.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    token.unlink(missing_ok=True)


def _try(token: str, files: list[str]) -> None:
    """On a node: write beside a file that has to be there."""
    folder, node = Path(token).parent, f"node {platform.node()} of the cluster"
    if not Path(token).is_file():
        raise OSError(f"{folder}: {node} does not see it; name a folder that all nodes share.")
    own = Path(f"{token}.{uuid.uuid4().hex}.partial")
    try:
        own.write_bytes(b"")
        own.unlink()
    except OSError as error:
        raise OSError(
            f"{folder}: {node} cannot write there ({error.strerror or error}); mend that, or name another folder that "
            "all nodes share."
        ) from None
    for path in files:
        if not os.access(path, os.R_OK):
            raise OSError(f"{path}: {node} cannot read it; put it into a folder that all nodes share.")
