"""Members of zip files that anybody may have packed: only so much is unpacked, and only in memory."""

import io
import zipfile
import zlib

LARGEST_MEMBER_BYTES = 50_000_000
LARGEST_TOTAL_BYTES = 200_000_000
MOST_MEMBERS = 20_000
# Text of an instrument shrinks to a tenth; what shrinks to less than this share was made to fill the memory.
LARGEST_RATIO, RATIO_FROM_BYTES = 200, 1_000_000


class Archive:
    """A zip file in memory."""

    def __init__(self, content: bytes, *, what: str) -> None:
        self._what, self._left = what, LARGEST_TOTAL_BYTES
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self._members = {entry.filename: entry for entry in self._zip.infolist()}
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
            raise ValueError(f"the {what} is no whole zip file ({error}); copy or export it again.") from None
        if len(self._members) > MOST_MEMBERS:
            raise ValueError(f"the {what} has {len(self._members)} members; at most {MOST_MEMBERS} are read.")

    @property
    def names(self) -> list[str]:
        """Of the members, in the order of the file."""
        return list(self._members)

    def read(self, name: str) -> bytes:
        """What a member unpacks to.

        Raises:
            ValueError: there is no such member, it is damaged, encrypted, or larger than the limits.
        """
        entry = self._members.get(name)
        if entry is None:
            raise ValueError(f"{name[:80]} is not in the {self._what}; copy or export it again.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:80]} is packed in an unusual way; export it again.")
        limit = min(LARGEST_MEMBER_BYTES, self._left)
        if entry.file_size > RATIO_FROM_BYTES and entry.file_size > LARGEST_RATIO * entry.compress_size:
            raise ValueError(
                f"{name[:80]} unpacks to {entry.file_size / 1e6:.3g} MB, more than {LARGEST_RATIO} times its size; "
                "no instrument's data do."
            )
        try:
            # What the file says of a member's size need not be so.
            with self._zip.open(entry) as member:
                content = member.read(limit + 1)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise ValueError(f"{name[:80]} cannot be unpacked ({error}); copy or export it again.") from None
        if len(content) > limit:
            raise ValueError(f"{name[:80]} unpacks to more than {limit / 1e6:g} MB, the limit.")
        self._left -= len(content)
        return content
