"""What is done with each scan: the same as with one alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from strainscope import inversion
from strainscope.inversion import Result, SearchSettings
from strainscope.inversion.derived import DERIVED
from strainscope.inversion.proposal import Proposal
from strainscope.inversion.settings import PosteriorSettings
from strainscope.readers import is_instrument_file
from strainscope.sample import (
    Sample,
    as_measured,
    at_key,
    did_you_mean,
    load_instrument,
    load_sample,
    with_instrument,
)
from strainscope.scan import AXES, INTENSITIES, Scan

GOLD_LIVE_POINTS = 1000
# Columns of a series's table that say what the columns of a scan are, and what they may say.
COLUMN_WORDS = {"axis": AXES, "intensity": INTENSITIES}
# Columns that results have besides those of parameters and derived quantities.
RESULT_COLUMNS = (
    "verdict",
    "reasons",
    "rms_log10",
    "reduced_chi2",
    "mode_weights",
    "effective_draws",
    "pareto_k",
    "known_to",
    "undetermined",
)
# What ends the columns of the ends of intervals, of derived quantities and of parameters.
DERIVED_ENDS, PARAMETER_ENDS = ("_p16", "_p84"), ("_p5", "_p95")


@dataclass(frozen=True, kw_only=True)
class Job:
    """How scans are inverted; plain data, so that another process can be told.

    Attributes:
        sample: A preset's name, or a sample file.
        axis: Of the scans; None for the sample's, and for the one scanned in an instrument's file.
        intensity: "counts" or "normalised"; None for the sample's, and for an instrument's file.
        scan: Which scan of an instrument's file, from 1: one number for all files, or one for each; empty where each
            file holds one.
        model_error: Relative error [1] granted to the model; None for the sample's.
        search: Settings of the search by name; the others are the usual ones.
        estimator: What proposes in place of the search: one that ships, or a weights file; None for the search.
        seed: Of every scan.
        gold: Nested sampling in place of the weighted draws.
        instruments: Files of calibrated instruments, one for each reflection at most.
    """

    sample: str
    axis: str | None = None
    intensity: str | None = None
    scan: tuple[int, ...] = ()
    model_error: float | None = None
    search: tuple[tuple[str, int], ...] = ()
    estimator: str | None = None
    seed: int = 0
    gold: bool = False
    instruments: tuple[str, ...] = ()

    def described(self) -> Sample:
        """The sample with these settings."""
        described = load_sample(self.sample)
        calibrated: dict[tuple[int, ...], str] = {}
        for path in self.instruments:
            reflection = tuple(load_instrument(path).reflection)
            if reflection in calibrated:
                raise ValueError(
                    f"--instrument {path}: is of reflection {list(reflection)}, as {calibrated[reflection]} is; give "
                    "one file for each reflection."
                )
            calibrated[reflection] = path
            described = with_instrument(described, path)
        return described.with_options(axis=self.axis, intensity=self.intensity, model_error=self.model_error)

    def files(self) -> list[Path]:
        """Files that the sample, the estimator and the instruments are read from, those that are files."""
        named = (self.sample, self.estimator, *self.instruments)
        return [Path(name) for name in named if name is not None and Path(name).is_file()]

    def check_columns(self, scans: Sequence[Path]) -> None:
        """Raise unless it is said what the columns of those scans are that are text.

        Raises:
            ValueError: what is missing.
        """
        if all(is_instrument_file(path) for path in scans):
            return
        axes = "--axis delta-theta-arcsec, omega-deg or two-theta-deg"
        kinds = [own.scan for own in self.described().by_reflection()]
        wanted = {
            axes: all(kind.axis for kind in kinds),
            "--intensity counts or normalised": all(kind.intensity for kind in kinds),
        }
        missing = " and ".join(option for option, known in wanted.items() if not known)
        if missing:
            raise ValueError(f"{self.sample}: what the scan's columns are is not said; give {missing}.")

    def scan_numbers(self, files: int) -> list[int | None]:
        """Which scan is taken of each of several files.

        Raises:
            ValueError: there are as many numbers as fit neither all files nor each.
        """
        if len(self.scan) not in (0, 1, files):
            raise ValueError(
                f"--scan is given {len(self.scan)} times for {files} file(s); give it once, or once for each."
            )
        return list(self.scan * files if len(self.scan) == 1 else self.scan or [None] * files)

    def settings(self) -> SearchSettings:
        """Those of the search.

        Raises:
            ValueError: one is out of its range.
        """
        usual = SearchSettings(model_error=self.described().model_error)
        try:
            return replace(usual, **dict(self.search))
        except ValueError as error:
            # It begins with the setting's name, which is the option's.
            raise ValueError(f"--{error}") from None


def jobs_for(
    scans: Sequence[Path], job: Job, columns: Mapping[str, Sequence[str]]
) -> tuple[list[Job], dict[str, list[str]]]:
    """How each scan is inverted where a table says on which axes they are, and the table's columns with what holds.

    Args:
        scans: Files.
        job: How, where the table says nothing.
        columns: Of the table, by name, text for each scan; `axis` and `intensity` go before those of the job.

    Raises:
        ValueError: the table says something else, a column has the name of a result's, or it is not said what the
            columns of a scan are.
    """
    named = {name: columns[name] for name in COLUMN_WORDS if name in columns}
    jobs: list[Job] = []
    described: dict[Job, Sample] = {}
    checked: set[Job] = set()
    for i, path in enumerate(scans):
        said = {name: texts[i] for name, texts in named.items() if texts[i]}
        for name, word in said.items():
            if word not in COLUMN_WORDS[name]:
                raise ValueError(
                    f"{path}: the table's column {name!r} says {word!r}; it must be one of "
                    f"{', '.join(COLUMN_WORDS[name])}, or empty{did_you_mean(word, COLUMN_WORDS[name]) or '.'}"
                )
        own = replace(job, axis=said.get("axis", job.axis), intensity=said.get("intensity", job.intensity))
        if own not in described:
            with at_key(str(path)) if named else nullcontext():
                described[own] = own.described()
        if own not in checked and not is_instrument_file(path):
            with at_key(str(path)) if named else nullcontext():
                own.check_columns([path])
            checked.add(own)
        jobs.append(own)
    quantities = {*DERIVED, *(name for own in described.values() for name in own.prior().names)}
    results = {*RESULT_COLUMNS, *(name + end for name in quantities for end in ("", *DERIVED_ENDS, *PARAMETER_ENDS))}
    for name in columns:
        if name in results:
            raise ValueError(f"--table: its column {name!r} has the name of a result's; give it another.")
    filled = {name: list(texts) for name, texts in columns.items()}
    for name in named:
        # What an instrument's file says of itself is not the sample's.
        filled[name] = [
            text if is_instrument_file(path) else str(getattr(described[own].scan, name))
            for own, path, text in zip(jobs, scans, columns[name], strict=True)
        ]
    return jobs, filled


def invert_file(
    path: Path,
    job: Job,
    *,
    beside: Sequence[Path] = (),
    proposal: Proposal | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Result:
    """The inversion of a file, or of the files of one sample's reflections together.

    Args:
        path: The scan, of the first reflection.
        job: How.
        beside: Those of the sample's further reflections, in their order.
        proposal: What `job.estimator` names, loaded.
        progress: Called with a stage and the share done.

    Raises:
        ValueError: the file is no scan of this kind; the message is one line that names it.
        OSError: it cannot be read.
    """
    described, settings = job.described(), job.settings()
    paths = (path, *beside)
    scans = [
        own.read_scan(path, number=number, axis=job.axis)
        for own, path, number in zip(described.for_scans(len(paths)), paths, job.scan_numbers(len(paths)), strict=True)
    ]
    # What only the inversion sees of a scan is said of the file, too; of several it cannot be told which.
    with nullcontext() if beside else at_key(str(path)):
        return invert_scans(
            scans,
            described,
            settings=settings,
            seed=job.seed,
            gold=job.gold,
            estimator=job.estimator,
            proposal=proposal,
            progress=progress,
        )


def invert_scans(
    scans: Sequence[Scan],
    sample: Sample,
    *,
    settings: SearchSettings,
    seed: int,
    gold: bool = False,
    estimator: str | None = None,
    proposal: Proposal | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Result:
    """The inversion of scans of a sample, one for each of its reflections, in their order.

    Args:
        scans: Checked against the sample.
        sample: What was measured with what.
        settings: How hard to search.
        seed: The same seed gives the same result.
        gold: Nested sampling in place of the weighted draws.
        estimator: What `proposal` is called.
        proposal: What proposes in place of the search.
        progress: Called with a stage and the share done.

    Raises:
        ValueError: a scan does not fit the sample, or bounds leave no room.
    """
    first, *others = sample.by_reflection()
    return inversion.invert(
        scans[0],
        first.experiment(),
        bounds=first.bounds(),
        held=first.held(),
        start=first.start(),
        settings=settings,
        seed=seed,
        draws=PosteriorSettings(nested=GOLD_LIVE_POINTS if gold else 0),
        sample_settings=as_measured(sample, scans).settings()
        | {"search": asdict(settings) | {"estimator": estimator, "gold": gold}},
        proposal=proposal,
        progress=progress,
        beside=[
            inversion.Companion(
                label=own.label,
                scan=scan,
                experiment=own.experiment(),
                bounds=own.bounds(),
                held=own.held(),
                start=own.start(),
            )
            for own, scan in zip(others, scans[1:], strict=True)
        ],
    )
