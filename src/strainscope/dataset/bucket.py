"""A part of a bucket in an S3 store, through fsspec: a file that is put there is whole or not there.

Credentials and region are those that AWS's own tools take, from the environment (AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION) or ~/.aws; the store's address is AWS_ENDPOINT_URL, or AWS. None of them is passed on
to other machines.
"""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from zarr.abc.store import Store
from zarr.storage import FsspecStore

_CODE = re.compile(r"AWS Error ([A-Z_]+)")
_REFUSED = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID"}
_REFUSED |= {"MISSING_AUTHENTICATION_TOKEN", "EXPIRED_TOKEN", "UNRECOGNIZED_CLIENT"}
_CONNECT_S = 10.0


class StoreError(OSError):
    """An object store does not do what it is asked; the words say which, why, and what helps."""


class Bucket:
    """Files in a bucket whose names begin alike.

    Args:
        address: s3://BUCKET/NAME.

    Raises:
        ValueError: no bucket, or no name in it; what S3 needs is not installed.
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        inside = parts.path.strip("/")
        if not parts.netloc or not inside or parts.query or parts.fragment or "//" in inside:
            raise ValueError(f"{address}: is no place in a bucket; write s3://BUCKET/NAME.zarr.")
        if find_spec("fsspec") is None:
            raise ValueError(f"{address}: S3 needs fsspec; install it with: pip install 'strainscope[s3]'")
        self._bucket, self._path = parts.netloc, f"{parts.netloc}/{inside}"

    def __str__(self) -> str:
        return f"s3://{self._path}"

    @property
    def name(self) -> str:
        """Last part of the address."""
        return self._path.rpartition("/")[2]

    @property
    def _files(self) -> Any:  # noqa: ANN401 (fsspec has no types)
        return _file_system(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", ""))

    def absolute(self) -> str:
        """The address."""
        return str(self)

    def exists(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.names())

    def names(self) -> list[str]:
        """Files and folders in it, what trials of the store left apart."""
        with self.explained():
            try:
                found = self._files.ls(self._path, detail=False)
            except FileNotFoundError:
                return []
        names = (name.rpartition("/")[2] for name in found if name.rstrip("/") != self._path)
        return [name for name in names if not name.endswith(".partial")]

    def size(self) -> int:
        """Bytes of all its files."""
        with self.explained():
            return sum(own["size"] or 0 for own in self._files.find(self._path, detail=True).values())

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        with self.explained():
            try:
                content: bytes = self._files.cat_file(f"{self._path}/{name}")
            except FileNotFoundError:
                return None
        return content

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        with self.explained():
            # Not isfile, which takes whatever goes wrong for a file that is not there.
            try:
                return bool(self._files.info(f"{self._path}/{name}")["type"] == "file")
            except FileNotFoundError:
                return False

    def put(self, name: str, content: bytes) -> None:
        """Write a file; the store shows it once it has all of it."""
        with self.explained():
            self._files.pipe_file(f"{self._path}/{name}", content)

    def remove(self, name: str) -> None:
        """Remove a file where it is there."""
        with self.explained(), suppress(FileNotFoundError):
            self._files.rm_file(f"{self._path}/{name}")

    def store(self, *, read_only: bool) -> Store:
        """As Zarr takes it."""
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        files = AsyncFileSystemWrapper(self._files, asynchronous=True)
        return FsspecStore(files, path=self._path, read_only=read_only)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say in a line what the store refuses.

        Raises:
            StoreError: in place of what Arrow says in many; a file that is not there stays FileNotFoundError.
        """
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            said = " ".join(str(error).split())
            found = _CODE.search(said)
            if found is None and isinstance(error, FileNotFoundError):
                raise
            raise StoreError(f"{self}: {self._reason(found[1] if found else '', said)}") from None

    def _reason(self, code: str, said: str) -> str:
        """Why, and what helps."""
        store = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "AWS"
        if code == "NO_SUCH_BUCKET":
            return f"there is no bucket {self._bucket} at {store}; make it, or name another."
        if code in _REFUSED:
            return (
                f"the store at {store} refuses ({code.lower().replace('_', ' ')}); set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials, to a key that may read and write there."
            )
        if code == "NETWORK_CONNECTION":
            return f"no store answers at {store}; mend the network, or set AWS_ENDPOINT_URL to its address."
        # Requests are numbered in the end, which helps nobody here.
        return f"the store at {store} fails ({re.sub(r' [(]Request ID.*', '', said)}); try again, or ask who runs it."

    def alone(self) -> AbstractContextManager[None]:
        """Nothing holds a bucket: two processes with one plan write the same bytes."""
        return nullcontext()

    def clear_partial(self) -> None:
        """Nothing to do: an interrupted write leaves no file."""


@lru_cache(maxsize=2)
def _file_system(endpoint: str) -> Any:  # noqa: ANN401 (fsspec has no types)
    """The S3 store at an address such as http://localhost:9000; "" for AWS."""
    from fsspec.implementations.arrow import ArrowFSWrapper
    from pyarrow.fs import S3FileSystem

    class S3Files(ArrowFSWrapper):  # type: ignore[misc]
        """Arrow's S3 as fsspec has it."""

        # The wrapper's own asks for a host, which only Hadoop has.
        fsid = f"s3_{endpoint}"

        def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
            """A stretch of a file, one from its beginning, too."""
            part = start is not None or end is not None
            content: bytes = super().cat_file(path, start, end, seekable=part)
            return content

    where: dict[str, Any] = {"connect_timeout": _CONNECT_S}
    if endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        where |= {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    return S3Files(S3FileSystem(**where))
