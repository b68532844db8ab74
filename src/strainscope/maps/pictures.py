"""Pictures of the maps."""

from pathlib import Path


def write_pictures(path: Path, out: Path) -> None:
    """stub"""
