"""Who is who: a session for each browser or program, its uploaded files in a temporary folder that goes with it."""

import re
import secrets
import shutil
import tempfile
import threading
import time
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from strainscope.crystal import crystal_from_cif
from strainscope.web.samples import Cifs
from strainscope.web.settings import LARGEST_CIF_BYTES, MB, SCAN_SUFFIXES, ServerSettings
from strainscope.web.store import owner_of

LONGEST_NAME = 80
# Names of CIFs are written on the disk, as reports show them: one plain word each, which is no path.
CIF_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\.cif")


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A scan or a CIF that a client sent.

    Attributes:
        id: Names it within its session; of a CIF its name.
        name: As the client calls it: letters for people, never a path.
        suffix: Its ending.
        path: Where the server keeps it.
        size: Bytes.
        simulated: Whether the server made it.
    """

    id: str
    name: str
    suffix: str
    path: Path
    size: int
    simulated: bool = False


@dataclass(kw_only=True, eq=False)
class Session:
    """A client.

    Attributes:
        owner: By what the database knows it.
        folder: Of its files.
        uploads: Its scans by their ids, in the order in which they came.
        cifs: Its CIFs by their names.
        seen: When it last asked for something.
    """

    owner: str
    folder: Path
    uploads: dict[str, Upload] = field(default_factory=dict)
    cifs: dict[str, Upload] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def cif_paths(self) -> Cifs:
        """What samples may name, and where it is."""
        return tuple((own.name, own.path) for own in list(self.cifs.values()))


class Sessions:
    """All clients. Their secrets come in cookies; a secret that the server did not make itself is not taken for one.

    Args:
        settings: How much each may have.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="strainscope-scans-"))
        self._lock = threading.Lock()
        self._known: dict[str, Session] = {}

    def of(self, secret: str) -> Session:
        """The session of a secret."""
        owner = owner_of(secret)
        with self._lock:
            found = self._known.get(owner)
            if found is None:
                folder = self._folder / secrets.token_hex(12)
                found = self._known[owner] = Session(owner=owner, folder=folder)
            found.seen = time.monotonic()
        return found

    def keep(self, session: Session, name: str, content: bytes, *, simulated: bool = False) -> Upload:
        """Keep a scan.

        Raises:
            ValueError: its ending is none that is taken, it is empty or too large, or there are too many.
        """
        shown, suffix = checked_name(name)
        if not content:
            raise ValueError(f"{shown}: the scan file is empty.")
        if len(content) > self._settings.largest_upload_bytes:
            raise ValueError(too_large(self._settings))
        if len(session.uploads) >= self._settings.most_scans:
            raise ValueError(
                f"{shown}: there are {len(session.uploads)} scans, as many as a session may have; remove one."
            )
        self._check_room(shown, content)
        number = secrets.token_urlsafe(9)
        session.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = session.folder / f"{secrets.token_hex(12)}{suffix}"
        path.write_bytes(content)
        upload = Upload(
            id=number, name=shown, suffix=suffix, path=path, size=len(content), simulated=simulated
        )
        session.uploads[number] = upload
        return upload

    def keep_cif(self, session: Session, name: str, content: bytes) -> Upload:
        """Keep a CIF; one of the same name is replaced.

        Raises:
            ValueError: a name that is no plain word, it is too large or no CIF of one crystal, or there are too many.
        """
        if not CIF_NAME.fullmatch(name):
            raise ValueError(
                f"{_last(name)[:LONGEST_NAME]}: CIFs are called by one word of at most 40 letters (a to z), digits, - "
                "and _, then .cif; rename it."
            )
        if len(content) > LARGEST_CIF_BYTES:
            raise ValueError(f"{name}: the CIF is larger than {LARGEST_CIF_BYTES / MB:g} MB, the limit.")
        if len(session.cifs) >= self._settings.most_cifs and name not in session.cifs:
            raise ValueError(
                f"{name}: there are {len(session.cifs)} CIFs, as many as a session may have; remove one."
            )
        self._check_room(name, content)
        crystal_from_cif(content.decode("utf-8", "replace"), name=Path(name).stem)
        self.remove_cif(session, name)
        folder = session.folder / secrets.token_hex(12)
        folder.mkdir(mode=0o700, parents=True)
        path = folder / name
        path.write_bytes(content)
        session.cifs[name] = Upload(id=name, name=name, suffix=path.suffix, path=path, size=len(content))
        return session.cifs[name]

    def remove_cif(self, session: Session, name: str) -> bool:
        """Remove a CIF; whether there was one."""
        found = session.cifs.pop(name, None)
        if found is None:
            return False
        shutil.rmtree(found.path.parent, ignore_errors=True)
        return True

    def _check_room(self, name: str, content: bytes) -> None:
        """Raise unless the server has room for another file."""
        with self._lock:
            known = list(self._known.values())
        kept = [own for session in known for own in (*session.uploads.values(), *session.cifs.values())]
        if sum(own.size for own in kept) + len(content) > MB * self._settings.most_scans_mb:
            raise ValueError(f"{name}: the server has no room for more files now; try again later.")

    def remove(self, session: Session, upload: str) -> bool:
        """Remove a scan; whether there was one."""
        found = session.uploads.pop(upload, None)
        if found is None:
            return False
        found.path.unlink(missing_ok=True)
        return True

    def remove_idle(self) -> None:
        """Remove the files of clients that have not asked for anything for long."""
        limit = time.monotonic() - 3600 * self._settings.session_hours
        with self._lock:
            idle = [owner for owner, session in self._known.items() if session.seen < limit]
            gone = [self._known.pop(owner) for owner in idle]
        for session in gone:
            shutil.rmtree(session.folder, ignore_errors=True)

    def close(self) -> None:
        """Remove all files."""
        shutil.rmtree(self._folder, ignore_errors=True)


def checked_name(name: str) -> tuple[str, str]:
    """What to call a client's file, and its ending, one of SCAN_SUFFIXES or none.

    Raises:
        ValueError: it ends in something else.
    """
    shown = _last(name) or "scan"
    suffix = Path(shown).suffix.lower()
    if suffix and suffix not in SCAN_SUFFIXES:
        known = ", ".join(SCAN_SUFFIXES)
        raise ValueError(
            f"{shown[:LONGEST_NAME]}: ends in {suffix[:20]}; scans end in {known}, or have no ending. Export it "
            "as text."
        )
    return f"{Path(shown).stem[:LONGEST_NAME]}{Path(shown).suffix}", suffix


def _last(name: str) -> str:
    """The last part of a client's path, in letters that can be shown."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    return "".join(c if c.isprintable() and c not in '<>:"|?*' else "_" for c in last).strip(" .")


def too_large(settings: ServerSettings) -> str:
    """What is said of a scan beyond the limit."""
    return (
        f"the file is larger than {settings.largest_upload_mb:g} MB, the limit of this server; cut the scan, "
        "or use the command line."
    )
