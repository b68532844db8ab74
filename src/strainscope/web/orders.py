"""An inversion that a session asks for, checked as far as can be before its turn comes."""

import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from strainscope.estimator.named import NO_TORCH
from strainscope.inversion import require_nested
from strainscope.readers import is_instrument_file
from strainscope.sample import Sample, did_you_mean, presets
from strainscope.series.job import Job
from strainscope.web.jobs import Order
from strainscope.web.messages import with_names
from strainscope.web.requests import InvertRequest
from strainscope.web.samples import Cifs, named_cifs, read_sample, sample_text, with_columns
from strainscope.web.sessions import Session, Upload

_SEARCH = ("draws", "starts", "splines")
_OPTIONS = ("axis", "intensity", "model_error", *_SEARCH, "estimator")
_BESIDE = " + "


def order_of(request: InvertRequest, session: Session, scans: Sequence[Upload]) -> Order:
    """What the queue is given; the scans are read once, so that a file that is no scan is refused at once.

    Args:
        request: What is asked.
        session: Who asks.
        scans: Those that the request names.

    Raises:
        ValueError: what is wrong with the sample, the scans or the options, in one line.
    """
    numbers = _numbers(request, len(scans))
    try:
        described = _checked(request, session.cif_paths(), scans, numbers)
    except (ValueError, OSError) as error:
        files = [*((own.name, own.path) for own in scans), *session.cif_paths()]
        raise ValueError(with_names(str(error), files)) from None
    job = Job(
        sample="",
        axis=request.axis,
        intensity=request.intensity,
        # A file without a number holds one scan.
        scan=tuple(number or 1 for number in numbers) if any(numbers) else (),
        model_error=request.model_error,
        search=tuple((name, value) for name in _SEARCH if (value := getattr(request, name)) is not None),
        estimator=request.estimator,
        seed=request.seed,
        gold=request.gold,
    )
    return Order(
        name=_BESIDE.join(map(_shown, scans, numbers)),
        names=tuple(own.name for own in scans),
        scans=tuple(own.path.read_bytes() for own in scans),
        suffixes=tuple(own.suffix for own in scans),
        sample=sample_text(request.sample),
        cifs={name: session.cifs[name].path.read_bytes() for name in sorted(named_cifs(request.sample))},
        job=job,
        command=command_of([own.name for own in scans], request, job.scan),
        request=request.model_dump(exclude={"scan"})
        | {"reflections": [own.label for own in described.by_reflection()]},
    )


def stem_of(name: str) -> str:
    """What files of a result are called, after the name of its inversion."""
    return "-".join(Path(part).stem for part in name.split(_BESIDE))


def command_of(names: Sequence[str], request: InvertRequest, numbers: Sequence[int]) -> str:
    """What to type to repeat an inversion."""
    preset = request.sample.strip() in presets()
    words = ["strainscope", "invert", *names, "--sample", request.sample.strip() if preset else "sample.yaml"]
    for number in numbers:
        words += ["--scan", str(number)]
    for option in _OPTIONS:
        value = getattr(request, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", str(value)]
    words += ["--gold"] if request.gold else []
    return shlex.join([*words, "--seed", str(request.seed), "-o", "NEW_FOLDER"])


def _numbers(request: InvertRequest, scans: int) -> list[int | None]:
    """Which scan of each file; None where it has to hold one."""
    if not isinstance(request.number, list):
        return [request.number] * scans
    if len(request.number) != scans:
        raise ValueError(f"number: {len(request.number)} are given for {scans} scan(s); give one for each.")
    return request.number


def _shown(scan: Upload, number: int | None) -> str:
    return scan.name if number is None else f"{Path(scan.name).stem}-{number}{Path(scan.name).suffix}"


def _checked(
    request: InvertRequest, cifs: Cifs, scans: Sequence[Upload], numbers: Sequence[int | None]
) -> Sample:
    """The sample; raises unless an inversion could begin."""
    recorded = all(is_instrument_file(own.path) for own in scans)
    described = with_columns(
        read_sample(request.sample, cifs), request.axis, request.intensity, recorded=recorded
    )
    reflections = described.for_scans(len(scans))
    if request.splines and len(scans) > 1:
        raise ValueError(
            f"splines = {request.splines}: they refine one scan; leave them out, or invert one reflection."
        )
    if request.gold:
        require_nested()
    if request.estimator is not None:
        _check_estimator(request.estimator, described)
    for own, scan, number in zip(reflections, scans, numbers, strict=True):
        own.read_scan(scan.path, number=number, axis=request.axis)
    return described


def _check_estimator(name: str, sample: Sample) -> None:
    known = covering(sample)
    if name not in known:
        listed = f"those that do: {', '.join(known)}" if known else "none that ships does"
        raise ValueError(
            f"estimator = {name[:40]!r} does not serve this sample; {listed}{did_you_mean(name, known) or '.'}"
        )


def covering(sample: Sample) -> tuple[str, ...]:
    """The estimators that ship and serve a sample.

    Raises:
        ValueError: networks are not installed.
    """
    if find_spec("torch") is None:
        raise ValueError(NO_TORCH)
    from strainscope.estimator.covering import covering_estimators

    return covering_estimators(sample)
