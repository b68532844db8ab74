"""How the server runs: where it listens, who may use it, how much it takes."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from strainscope.readers import INSTRUMENT_SUFFIXES

# Endings of scans that are taken, and none, as files of SPEC often have; what a file holds is decided by its content
# when it is read.
SCAN_SUFFIXES = (".xy", ".dat", ".txt", ".csv", ".asc", *INSTRUMENT_SUFFIXES, ".h5", ".hdf5", ".hdf", ".nx")
LARGEST_SAMPLE_BYTES = 100_000
LARGEST_CIF_BYTES = 2_000_000
MB = 1_000_000
SHORTEST_TOKEN = 16
DATABASE = "web.sqlite"


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How the server runs.

    Attributes:
        host: Address to listen at.
        port: Of it; 0 for any that is free.
        token: Whoever uses the server has to know it; None for everybody that reaches it.
        data: Folder of the database; made where it is missing.
        maps: Folder of maps that are shown to everybody who may use the server; None for none.
        workers: Processes that invert, one scan each at a time.
        largest_upload_mb: Of a scan.
        most_scans: Uploaded scans that a session may have at once.
        most_scans_mb: Of the uploaded files of all sessions.
        most_cifs: Uploaded CIFs that a session may have at once.
        most_waiting: Inversions that may wait, of all sessions.
        most_of_a_session: Inversions that a session may have waiting and running.
        most_results: Inversions of a session that are kept.
        longest_inversion_s: An inversion that takes longer is stopped.
        session_hours: Scans of a session that was idle so long are removed.
        keep_days: Results older than that are removed.

    Raises:
        ValueError: a number out of its range, or an address that needs a token.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    data: Path
    maps: Path | None = None
    workers: int
    largest_upload_mb: float = 10.0
    most_scans: int = 50
    most_scans_mb: float = 2000.0
    most_cifs: int = 10
    most_waiting: int = 32
    most_of_a_session: int = 12
    most_results: int = 200
    longest_inversion_s: float = 3600.0
    session_hours: float = 12.0
    keep_days: float = 30.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"--port = {self.port}; it must lie in 0 to 65535 (0 for any that is free).")
        if self.maps is not None and not self.maps.is_dir():
            raise ValueError(f"--maps {self.maps}: there is no such folder; make it, or leave --maps out.")
        if not 0.001 <= self.largest_upload_mb <= 50:
            raise ValueError(f"--upload-mb = {self.largest_upload_mb:g}; it must lie in 0.001 to 50 MB.")
        if not self.keep_days > 0:
            raise ValueError(f"--keep-days = {self.keep_days:g}; it must be > 0 days.")
        if self.workers < 0:
            raise ValueError(f"--workers = {self.workers}; it must be >= 0.")
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise ValueError(
                f"the token has {len(self.token)} characters; it needs at least {SHORTEST_TOKEN}, "
                'such as python -c "import secrets; print(secrets.token_urlsafe())" prints.'
            )
        if not self.token and not self.loopback:
            raise ValueError(
                f"--host {self.host} can be reached from other machines, and there is no token; set one in the "
                "environment variable STRAINSCOPE_TOKEN, or listen at 127.0.0.1."
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches the address."""
        return is_loopback(self.host.strip("[]"))

    @property
    def largest_upload_bytes(self) -> int:
        """Of a scan."""
        return int(MB * self.largest_upload_mb)


def is_loopback(name: str) -> bool:
    """Whether a host's name or address, without brackets, is that of this machine to itself."""
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def usual_data_folder() -> Path:
    """Where a program keeps what has to outlast it."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification asks to ignore relative paths.
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "strainscope"
