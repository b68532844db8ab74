"""From a scan and a sample, by name, file or object, to a result."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from os import PathLike, fspath
from pathlib import Path

from strainscope.estimator.named import proposal_of
from strainscope.inversion import SearchSettings, require_nested
from strainscope.readers import is_instrument_file
from strainscope.sample import Sample, at_key, load_sample, with_instrument
from strainscope.scan import AXES, INTENSITIES, Scan
from strainscope.scripting.result import Result
from strainscope.series import invert_scans

ScanLike = Scan | str | PathLike[str]


def invert(
    scan: ScanLike | Sequence[ScanLike],
    sample: Sample | str | PathLike[str],
    *,
    axis: str | None = None,
    intensity: str | None = None,
    instrument: str | PathLike[str] | Sequence[str | PathLike[str]] = (),
    model_error: float | None = None,
    draws: int | None = None,
    starts: int | None = None,
    splines: int | None = None,
    number: int | Sequence[int] | None = None,
    estimator: str | None = None,
    gold: bool = False,
    seed: int = 0,
    progress: Callable[[str, float], None] | None = None,
) -> Result:
    """Every strain and disorder profile that explains a scan, without a starting guess.

    Args:
        scan: Measured: a `Scan`, or a file. Of several reflections of one sample a list, in the sample's order.
        sample: What was measured with what: a `Sample`, a preset's name, or a sample file.
        axis: "delta-theta-arcsec", "omega-deg" or "two-theta-deg"; by default the sample's, or the instrument's file's.
        intensity: Of text files: "counts" or "normalised"; by default the sample's.
        instrument: File of `strainscope calibrate`, or one for each reflection.
        model_error: Relative error [1] granted to the model; by default the sample's.
        draws: Curves simulated in the search; by default 8192.
        starts: Draws that are refined; by default 12.
        splines: Weights of a refinement by free splines on top; by default none.
        number: Which scan of an instrument's file that holds several, from 1; of several files a list.
        estimator: What proposes in place of the search: one that ships, or a weights file.
        gold: Nested sampling in place of the weighted draws: minutes instead of seconds.
        seed: The same seed gives the same result.
        progress: Called with a stage and the share of the whole that is done.

    Returns:
        Distinct solutions, best first, with bands and a verdict.

    Raises:
        ValueError: what is wrong with scan, sample or a setting, in one line with its remedy.
        TypeError: scan or sample is none.
        OSError: a file is missing or cannot be read.
    """
    given = list(scan) if isinstance(scan, Sequence) and not isinstance(scan, str) else [scan]
    described = _described(sample, given, axis, intensity, instrument, model_error)
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"seed = {seed}; it must be a whole number >= 0.")
    named = {"draws": draws, "starts": starts, "splines": splines}
    settings = replace(
        SearchSettings(model_error=described.model_error),
        **{name: value for name, value in named.items() if value is not None},
    )
    if gold:
        require_nested()
    proposal = None if estimator is None else proposal_of(estimator, described)
    scans = _scans(given, described, axis, number)
    with nullcontext() if len(scans) > 1 else at_key(_name(given[0])):
        found = invert_scans(
            scans,
            described,
            settings=settings,
            seed=seed,
            gold=gold,
            estimator=estimator,
            proposal=proposal,
            progress=progress,
        )
    return Result.of(found)


def _described(
    sample: Sample | str | PathLike[str],
    given: Sequence[ScanLike],
    axis: str | None,
    intensity: str | None,
    instrument: str | PathLike[str] | Sequence[str | PathLike[str]],
    model_error: float | None,
) -> Sample:
    """The sample with what the arguments and the scan itself say of axis and intensity."""
    if not isinstance(sample, Sample | str | PathLike):
        raise TypeError(
            f"sample is of the type {type(sample).__name__}; give a preset's name (as 'ggg444'), a sample file or a "
            "Sample."
        )
    for one in given:
        if not isinstance(one, Scan | str | PathLike):
            raise TypeError(
                f"scan is of the type {type(one).__name__}; give a file or a Scan: Scan(angle=, intensity=, axis=, "
                "intensity_kind=, name=)."
            )
    described = sample if isinstance(sample, Sample) else load_sample(fspath(sample))
    instruments = [instrument] if isinstance(instrument, str | PathLike) else instrument
    for path in instruments:
        described = with_instrument(described, fspath(path))
    first = given[0] if len(given) == 1 else None
    if isinstance(first, Scan):
        for name, asked, is_ in (("axis", axis, first.axis), ("intensity", intensity, first.intensity_kind)):
            if asked not in (None, is_):
                raise ValueError(
                    f"{name} = {asked!r}, but the scan's is {is_!r}; leave it out, or read the file again."
                )
        axis, intensity = first.axis, first.intensity_kind
    described = described.with_options(axis=axis, intensity=intensity, model_error=model_error)
    for own, one in zip(described.by_reflection(), given, strict=False):
        if not isinstance(one, Scan) and is_instrument_file(Path(one)):
            continue
        for name, said, words in (
            ("axis", own.scan.axis, AXES),
            ("intensity", own.scan.intensity, INTENSITIES),
        ):
            if said is None:
                raise ValueError(f"the scan's {name} is not said; give {name}=, one of {', '.join(words)}.")
    return described


def _scans(
    given: Sequence[ScanLike], described: Sample, axis: str | None, number: int | Sequence[int] | None
) -> list[Scan]:
    """The scans, read and checked, one for each reflection."""
    reflections = described.for_scans(len(given))
    numbers = [number] * len(given) if number is None or isinstance(number, int) else list(number)
    if len(numbers) != len(given):
        raise ValueError(f"number: {len(numbers)} are given for {len(given)} scan(s); give one for each.")
    return [_scan(*own, axis) for own in zip(given, reflections, numbers, strict=True)]


def _scan(given: ScanLike, described: Sample, number: int | None, axis: str | None) -> Scan:
    if not isinstance(given, Scan):
        return described.read_scan(Path(given), number=number, axis=axis)
    said = (described.scan.axis, described.scan.intensity)
    if (given.axis, given.intensity_kind) != said:
        raise ValueError(
            f"{given.name}: the scan has {given.axis} and {given.intensity_kind}, the sample {said[0]} and "
            f"{said[1]}; change scan: in the sample."
        )
    with at_key(given.name):
        described.check_scan(given)
    return given


def _name(given: ScanLike) -> str:
    return given.name if isinstance(given, Scan) else fspath(given)
