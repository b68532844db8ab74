"""What a node must have to give the same results: the same Python, the same packages, of the same versions."""

import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# Whatever a curve, its bytes on the disk or a result goes through.
DECISIVE = (
    "strainscope",
    "gemmi",
    "h5py",
    "llvmlite",
    "numba",
    "numcodecs",
    "numpy",
    "scipy",
    "xraylib",
    "zarr",
)


def own_versions() -> dict[str, str]:
    """Versions on this machine, by package; "" where one is not installed."""
    found = {"Python": ".".join(map(str, sys.version_info[:3]))}
    for name in DECISIVE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def unit_for(expected: dict[str, str], folder: str) -> Callable[..., Any]:
    """A function that a node without the package can load, too, and say so.

    Args:
        expected: Versions by package, as of :func:`own_versions`.
        folder: Where relative paths begin.

    Returns:
        Called with the name of a module, that of a function in it, and its arguments pickled, it gives "unlike" and
        what differs, "failed" and the error, or "done" and what the function returns.
    """

    checked: list[bool] = []  # once for each worker, which keeps the function

    # Defined in here it travels by its code, not by the name of a module that may not be there.
    def unit(module: str, name: str, *arguments: bytes) -> tuple[str, Any]:
        import contextlib
        import importlib
        import os
        import pickle
        import platform
        import sys
        from importlib.metadata import PackageNotFoundError, version

        for package, wanted in expected.items() if not checked else ():
            try:
                own = ".".join(map(str, sys.version_info[:3])) if package == "Python" else version(package)
            except PackageNotFoundError:
                own = ""
            if own != wanted:
                has = f"has {package} {own}" if own else f"has no {package}"
                here = f"this machine has {wanted}" if wanted else "this machine has none"
                return "unlike", f"node {platform.node()} of the cluster {has}, and {here}"
        checked.append(True)
        # Where the folder is not there, a relative path will not be, and is named by who reads it.
        with contextlib.suppress(OSError):
            os.chdir(folder)
        try:
            return "done", getattr(importlib.import_module(module), name)(*map(pickle.loads, arguments))
        except ModuleNotFoundError as error:
            return "unlike", f"node {platform.node()} of the cluster cannot import {error.name}"
        except (ValueError, OSError) as error:
            return "failed", error

    return unit
