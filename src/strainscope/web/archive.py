"""Results as ZIP files: one with all of its files, several as a series with report and table."""

import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from strainscope.series import Outcome, series_table, write_series_report, write_table
from strainscope.series.listing import result_names
from strainscope.series.run import SCANS
from strainscope.web.requests import JobReply

LEAST_COMPARED, MOST_COMPARED = 2, 60


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Files by name in one ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files:
            packed.writestr(name, content)
    return buffer.getvalue()


def series_archive(
    jobs: Sequence[JobReply],
    read: Callable[[str, str], bytes],
    *,
    against: str | None,
    numbers: Sequence[float] | None,
) -> bytes:
    """What `strainscope batch` writes of several scans, of results that are there.

    Args:
        jobs: Inversions that are done.
        read: Called with job and file name; returns the content.
        against: What the numbers are, such as dose; None for the order of the scans.
        numbers: One for each.

    Raises:
        ValueError: too few or too many results, or not one number for each.
    """
    if not LEAST_COMPARED <= len(jobs) <= MOST_COMPARED:
        raise ValueError(
            f"jobs = {len(jobs)} results; a series is made of {LEAST_COMPARED} to {MOST_COMPARED} that are done."
        )
    if (against is None) != (numbers is None) or len(numbers or jobs) != len(jobs):
        raise ValueError(
            f"numbers = {len(numbers or ())} for {len(jobs)} results; give against and one number for each, or neither."
        )
    files = [Path(own.name) for own in jobs]
    with tempfile.TemporaryDirectory(prefix="strainscope-series-") as made:
        out = Path(made)
        outcomes = []
        for own, file, name in zip(jobs, files, result_names(files), strict=True):
            folder = out / SCANS / name
            folder.mkdir(parents=True)
            for part in own.files:
                (folder / part).write_bytes(read(own.job, part))
            outcomes.append(Outcome(file=file, folder=folder, reason=None))
        columns = {} if against is None else {against: [repr(number) for number in numbers or ()]}
        table = series_table(outcomes, columns)
        write_series_report(outcomes, table, out, against=against, title=f"{len(jobs)} scans")
        write_table(table, out)
        paths = sorted(path for path in out.rglob("*") if path.is_file())
        return zipped((str(path.relative_to(out)), path.read_bytes()) for path in paths)
