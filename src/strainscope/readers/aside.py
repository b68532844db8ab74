"""Reading in a process of its own, which may hang or end without harm."""

import io
import json
import subprocess
import sys
from dataclasses import fields
from typing import Any

import numpy as np

from strainscope.readers.recorded import RecordedScan

LONGEST_S = 30.0
MEMORY_BYTES = 4_000_000_000


def read_nexus(content: bytes) -> tuple[RecordedScan, ...]:
    """Scans in the content of a NeXus file, the default one first.

    Raises:
        ValueError: it is none, damaged, or holds no scan.
    """
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "strainscope.readers.aside"],
            input=content,
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"the HDF5 file could not be read within {LONGEST_S:g} s, as damaged ones are; export it again."
        ) from None
    if ran.returncode:
        raise ValueError("the HDF5 file is damaged: reading it ended the library; export it again.")
    return _unpacked(ran.stdout)


def _packed(scans: tuple[RecordedScan, ...]) -> bytes:
    """Scans as arrays and JSON, which say nothing but themselves."""
    arrays: dict[str, Any] = {}
    plain: list[dict[str, Any]] = []
    for i, scan in enumerate(scans):
        own = {entry.name: getattr(scan, entry.name) for entry in fields(scan)}
        own |= {f"position {name}": values for name, values in own.pop("positions").items()}
        arrays |= {f"{i} {name}": value for name, value in own.items() if isinstance(value, np.ndarray)}
        plain.append({name: value for name, value in own.items() if not isinstance(value, np.ndarray)})
    return _file(arrays, {"scans": plain})


def _file(arrays: dict[str, Any], words: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.savez(file, words=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8), **arrays)
    return file.getvalue()


def _unpacked(content: bytes) -> tuple[RecordedScan, ...]:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        words = json.loads(found["words"].tobytes())
        if "error" in words:
            raise ValueError(words["error"])
        scans: list[RecordedScan] = []
        for i, own in enumerate(words["scans"]):
            named = {name.partition(" ")[2]: found[name] for name in found.files if name.startswith(f"{i} ")}
            positions = {
                name.removeprefix("position "): named.pop(name)
                for name in list(named)
                if name.startswith("position ")
            }
            own["notes"] = tuple(own["notes"])
            scans.append(RecordedScan(positions=positions, **named, **own))
        return tuple(scans)


def _main() -> None:
    from strainscope.readers.nexus import read_here

    _limit_memory()
    try:
        result = _packed(read_here(sys.stdin.buffer.read()))
    except (ValueError, MemoryError, RecursionError) as error:
        result = _file({}, {"error": str(error) or "the HDF5 file wants too much memory; export it again."})
    sys.stdout.buffer.write(result)


def _limit_memory() -> None:
    """Where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


if __name__ == "__main__":
    _main()
