"""Where a dataset lies: a folder, or a part of a bucket; each of its files is written whole or not at all."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

from zarr.abc.store import Store
from zarr.storage import LocalStore

from strainscope.dataset.alone import alone
from strainscope.dataset.bucket import Bucket

_PARTIAL = "*.partial"


class Place(Protocol):
    """Files by name, such as curve/zarr.json; as a string it is what users call it."""

    @property
    def name(self) -> str:
        """Last part of what it is called."""

    def absolute(self) -> str:
        """What names it from everywhere."""

    def exists(self) -> bool:
        """Whether there is anything."""

    def names(self) -> list[str]:
        """Some of the files and folders in it, at least one if there are any."""

    def size(self) -> int:
        """Bytes of all its files."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""

    def remove(self, name: str) -> None:
        """Remove a file where it is there."""

    def store(self, *, read_only: bool) -> Store:
        """As Zarr takes it."""

    def explained(self) -> AbstractContextManager[None]:
        """What goes wrong inside with Zarr on it is said in users' words."""

    def alone(self) -> AbstractContextManager[None]:
        """Held against a second process that would write it, where that is possible."""

    def clear_partial(self) -> None:
        """Remove what interrupted writes left."""


def place_of(where: Place | Path | str) -> Place:
    """The place of a path, or of an address such as s3://bucket/d.zarr.

    Raises:
        ValueError: an address of another kind, or without a bucket or a name in it.
    """
    if isinstance(where, Path):
        return Folder(where)
    if not isinstance(where, str):
        return where
    kind, is_address, _ = where.partition("://")
    if not is_address:
        return Folder(Path(where))
    if kind != "s3":
        raise ValueError(f"{where}: is in no store that is known; name a folder, or s3://BUCKET/NAME.zarr.")
    return Bucket(where)


def below(where: Path | str, name: str) -> Path | str:
    """A name in a folder, or in a part of a bucket."""
    return where / name if isinstance(where, Path) else f"{where.rstrip('/')}/{name}"


class Folder:
    """A folder of a file system.

    Args:
        path: Of it; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.name

    def absolute(self) -> str:
        """The path from the root."""
        return str(self.path.absolute())

    def exists(self) -> bool:
        """Whether there is anything, a folder or not."""
        return self.path.exists()

    def names(self) -> list[str]:
        """Files and folders in it, what interrupted writes left apart."""
        return [entry.name for entry in self.path.iterdir() if not entry.name.endswith(".partial")]

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(place.stat().st_size for place in self.path.rglob("*") if place.is_file())

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        place = self.path / name
        return place.read_bytes() if place.is_file() else None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).is_file()

    def put(self, name: str, content: bytes) -> None:
        """Write a file beside its place, then move it there."""
        place = self.path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        fresh = place.with_suffix(".new.partial")
        try:
            fresh.write_bytes(content)
            fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Remove a file where it is there."""
        (self.path / name).unlink(missing_ok=True)

    def store(self, *, read_only: bool) -> Store:
        """As Zarr takes it; it writes a file beside its place, then moves it there."""
        return LocalStore(self.path, read_only=read_only)

    def explained(self) -> AbstractContextManager[None]:
        """The system's own words do."""
        return nullcontext()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Make it and hold it; see `strainscope.dataset.alone`."""
        with alone(self.path):
            yield

    def clear_partial(self) -> None:
        """Remove what interrupted writes left."""
        for place in self.path.rglob(_PARTIAL):
            place.unlink(missing_ok=True)
