"""What is done with each scan: the same as with one alone."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from strainscope import inversion
from strainscope.inversion import Result, SearchSettings
from strainscope.inversion.proposal import Proposal
from strainscope.inversion.settings import PosteriorSettings
from strainscope.sample import Sample, at_key, did_you_mean, load_sample, with_instrument
from strainscope.scan import AXES, INTENSITIES

GOLD_LIVE_POINTS = 1000
# Columns of a series's table that say what the columns of a scan are, and what they may say.
COLUMN_WORDS = {"axis": AXES, "intensity": INTENSITIES}
# Columns that results have besides those of parameters and derived quantities.
RESULT_COLUMNS = ("verdict", "reasons", "rms_log10", "reduced_chi2", "mode_weights")


@dataclass(frozen=True, kw_only=True)
class Job:
    """How scans are inverted; plain data, so that another process can be told.

    Attributes:
        sample: A preset's name, or a sample file.
        axis: Of the scans; None for the sample's.
        intensity: "counts" or "normalised"; None for the sample's.
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
    model_error: float | None = None
    search: tuple[tuple[str, int], ...] = ()
    estimator: str | None = None
    seed: int = 0
    gold: bool = False
    instruments: tuple[str, ...] = ()

    def described(self) -> Sample:
        """The sample with these settings.

        Raises:
            ValueError: it is not said what the columns of the scans are.
        """
        described = load_sample(self.sample)
        for path in self.instruments:
            described = with_instrument(described, path)
        described = described.with_options(
            axis=self.axis, intensity=self.intensity, model_error=self.model_error
        )
        axes = "--axis delta-theta-arcsec, omega-deg or two-theta-deg"
        kinds = [own.scan for own in described.by_reflection()]
        wanted = {
            axes: all(kind.axis for kind in kinds),
            "--intensity counts or normalised": all(kind.intensity for kind in kinds),
        }
        missing = " and ".join(option for option, known in wanted.items() if not known)
        if missing:
            raise ValueError(f"{self.sample}: what the scan's columns are is not said; give {missing}.")
        return described

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
        ValueError: the table says something else, or it is not said what the columns of a scan are.
    """
    named = {name: columns[name] for name in COLUMN_WORDS if name in columns}
    jobs: list[Job] = []
    described: dict[Job, Sample] = {}
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
        jobs.append(own)
    results = {*RESULT_COLUMNS, *(name for own in described.values() for name in own.prior().names)}
    for name in columns:
        if name in results:
            raise ValueError(f"--table: its column {name!r} has the name of a result's; give it another.")
    filled = {name: list(texts) for name, texts in columns.items()}
    for name in named:
        filled[name] = [str(getattr(described[own].scan, name)) for own in jobs]
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
    reflections = described.by_reflection()
    paths = (path, *beside)
    if len(paths) != len(reflections):
        names = ", ".join(own.label for own in reflections)
        raise ValueError(
            f"{job.sample}: has {len(reflections)} reflection(s), {names}, but {len(paths)} scan(s) are given; "
            "give one scan for each, in this order."
        )
    scans = [own.read_scan(path) for own, path in zip(reflections, paths, strict=True)]
    # What only the inversion sees of a scan is said of the file, too; of several it cannot be told which.
    with nullcontext() if beside else at_key(str(path)):
        return inversion.invert(
            scans[0],
            described.experiment(),
            bounds=described.bounds(),
            held=described.held(),
            start=described.start(),
            settings=settings,
            seed=job.seed,
            draws=PosteriorSettings(nested=GOLD_LIVE_POINTS if job.gold else 0),
            sample_settings=described.settings()
            | {"search": asdict(settings) | {"estimator": job.estimator, "gold": job.gold}},
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
                for own, scan in zip(reflections[1:], scans[1:], strict=True)
            ],
        )
