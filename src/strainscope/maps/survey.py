"""What a stack holds as a whole: which pixels and frames are there, and one problem for all pixels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.features import Features, read_features
from strainscope.inversion.likelihood import counts_per_unit
from strainscope.inversion.problem import Problem, prepare
from strainscope.maps.stack import Stack
from strainscope.sample import Sample
from strainscope.sample.scan_checks import check_peak, relative_incidence
from strainscope.scan import MIN_POINTS, Scan

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Frames without a single count beside or between such of so many are none that were measured.
_DARK_BETWEEN = 100.0
# Pixels between these quantiles set the bounds that all share; pixels that tell the counts of one unit at most.
_QUANTILES, _TELLING = (0.01, 0.99), 64
# Curves from as many pixels, spread over how far their strain reaches, stand behind the first guesses.
_KINDS = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What a stack holds.

    Attributes:
        pixels: Which have a scan with a peak, shape (y, x).
        peakless: Which have a scan in which nothing stands out of the noise, shape (y, x).
        frames: Angles that were measured, shape (angle,).
        points: Values among these that a pixel has, shape (y, x).
        features: Of every pixel that has a scan, in the order of the map.
        notes: What was left out, in words.
    """

    pixels: Flags
    peakless: Flags
    frames: Flags
    points: NDArray[np.int64]
    features: tuple[Features, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A map ready to be inverted.

    Attributes:
        problem: Of one pixel, with bounds that hold for all.
        survey: What the stack holds.
        kinds: Problems of some pixels, from least to most strain, for first guesses.
    """

    problem: Problem
    survey: Survey
    kinds: tuple[Problem, ...]


def blocks(stack: Stack) -> Iterator[slice]:
    """Rows of the map in parts that fit into memory."""
    for first in range(0, stack.shape[0], stack.rows_at_once):
        yield slice(first, min(first + stack.rows_at_once, stack.shape[0]))


def look_through(stack: Stack, sample: Sample, progress: Callable[[float], None]) -> Survey:
    """Read a stack once, and say what it holds.

    Raises:
        ValueError: a value that no scan can have, or no pixel with a scan.
    """
    kept, dark, totals, found = [], [], np.zeros(len(stack.angle)), np.zeros(len(stack.angle), dtype=np.int64)
    # Bits: which frames count is known at the end alone.
    known: list[NDArray[np.uint8]] = []
    features: list[Features] = []
    blank = Scan(
        angle=stack.angle,
        intensity=np.ones(len(stack.angle)),
        axis=stack.axis,
        intensity_kind="counts",
        name="stack",
    )
    position = relative_incidence(blank, sample.substrate)
    for part in blocks(stack):
        intensity, _ = stack.read(part, slice(None))
        seen = ~np.isnan(intensity)
        totals += np.where(seen, intensity, 0.0).sum(axis=(0, 1))
        found += seen.sum(axis=(0, 1))
        known.append(np.packbits(seen, axis=2))
        there = (seen.sum(axis=2) >= MIN_POINTS) & (np.where(seen, intensity, 0.0).max(axis=2) > 0)
        dark.append(np.zeros_like(there))
        for i, j in np.argwhere(there):
            own = seen[i, j]
            if not _has_peak(stack, stack.angle[own], intensity[i, j, own]):
                dark[-1][i, j] = True
                continue
            features.append(read_features(position[own], intensity[i, j, own], 1.0))
        kept.append(there & ~dark[-1])
        progress(part.stop / stack.shape[0])
    pixels, peakless = np.concatenate(kept), np.concatenate(dark)
    if not (pixels | peakless).any():
        raise ValueError(
            f"{stack.path}: no pixel has {MIN_POINTS} values and one above 0; is the dataset the right one?"
        )
    frames, notes = _frames(stack, totals, found)
    counted = np.packbits(frames)
    points = np.concatenate([np.bitwise_count(own & counted).sum(axis=2, dtype=np.int64) for own in known])
    if not pixels.any():
        raise ValueError(
            f"{stack.path}: at none of its pixels does a peak stand out of the noise; is the dataset the right one?"
        )
    dim = int(peakless.sum())
    if dim:
        notes.append(f"no peak stands out of the noise at {dim} of {pixels.size} pixels; nothing was fitted there.")
    missing = int((~pixels & ~peakless).sum())
    if missing:
        notes.append(
            f"{missing} of {pixels.size} pixels have no scan: fewer than {MIN_POINTS} values, or none above 0."
        )
    partly = int((pixels & (points < frames.sum())).sum())
    if partly:
        notes.append(f"{partly} pixels lack values at some angles; they are fitted without them.")
    return Survey(
        pixels=pixels,
        peakless=peakless,
        frames=frames,
        points=points,
        features=tuple(features),
        notes=tuple(notes),
    )


def _has_peak(stack: Stack, angle: Floats, intensity: Floats) -> bool:
    """Whether one pixel's scan passes as a single one."""
    scan = Scan(angle=angle, intensity=intensity, axis=stack.axis, intensity_kind=stack.intensity_kind, name="pixel")
    try:
        check_peak(scan)
    except ValueError:
        return False
    return True


def _frames(stack: Stack, totals: Floats, found: NDArray[np.int64]) -> tuple[Flags, list[str]]:
    """Which angles were measured, and words about the others."""
    notes = []
    empty = found == 0
    dark = (totals == 0) & (_nearest(totals) > _DARK_BETWEEN) & (_nearest(totals[::-1])[::-1] > _DARK_BETWEEN)
    for where, words in (
        (empty, "Frames without a value at any pixel"),
        (dark & ~empty, "Frames that are 0 at every pixel beside bright ones"),
    ):
        if where.any():
            shown = ", ".join(f"{angle:g}" for angle in stack.angle[where][:5])
            more = ", ..." if where.sum() > 5 else ""
            notes.append(f"{words}, taken as missing and left out: {shown}{more} ({where.sum()} of {len(where)}).")
    frames = ~(empty | dark)
    if frames.sum() < MIN_POINTS:
        raise ValueError(f"{stack.path}: {frames.sum()} frames hold values; a scan needs at least {MIN_POINTS}.")
    return frames, notes


def _nearest(totals: Floats) -> Floats:
    """For every frame the total of the last one before it that is not 0, infinite where there is none."""
    last = np.maximum.accumulate(np.where(totals > 0, np.arange(len(totals)), -1))
    return np.where(last >= 0, totals[last], np.inf)


def scan_of(stack: Stack, y: int, x: int, frames: Flags) -> Scan:
    """One pixel's scan, without the angles at which it has no value."""
    intensity, sigma = stack.read(slice(y, y + 1), slice(x, x + 1))
    own = intensity[0, 0]
    seen = frames & ~np.isnan(own)
    return Scan(
        angle=stack.angle[seen],
        intensity=own[seen],
        sigma=None if sigma is None else sigma[0, 0, seen],
        axis=stack.axis,
        intensity_kind=stack.intensity_kind,
        name=f"pixel y {y}, x {x}",
    )


def prepared(stack: Stack, sample: Sample, survey: Survey, *, model_error: float) -> Prepared:
    """One problem for all pixels: bounds of offset, scale and background that hold for nearly all of them.

    Raises:
        ValueError: the scans do not fit the sample, or bounds leave no room.
    """
    places = np.argwhere(survey.pixels)
    peak = np.array([own.peak_arcsec for own in survey.features])
    height = np.log10([own.peak_intensity for own in survey.features])
    floor = np.array([own.floor for own in survey.features])
    whole = survey.points[survey.pixels] == survey.frames.sum()
    # The pixel in the middle of those with every value.
    among = np.flatnonzero(whole) if whole.any() else np.arange(len(places))
    reference = int(among[np.argsort(height[among], kind="stable")[len(among) // 2]])
    y, x = places[reference]
    scan = scan_of(stack, int(y), int(x), survey.frames)
    try:
        sample.check_scan(scan)
    except ValueError as error:
        raise ValueError(f"{stack.path}: {scan.name}: {error}") from None
    own = survey.features[reference]
    floors = np.log10(np.maximum(floor, 1e-300) / max(own.floor, 1e-300)) if own.floor > 0 else np.zeros(1)
    shifts = {
        "offset_arcsec": peak - peak[reference],
        "log10_scale": height - height[reference],
        "log10_background": floors[np.isfinite(floors) & (np.abs(floors) < 10)],
    }
    given = sample.bounds()
    first = _prepare(scan, sample, given, model_error)
    bounds = dict(given)
    for name, shift in shifts.items():
        spec = first.prior.parameters[first.prior.names.index(name)]
        if name not in given and name not in first.prior.held:
            low, high = np.quantile(shift if len(shift) else np.zeros(1), _QUANTILES)
            bounds[name] = (spec.lower + min(float(low), 0.0), spec.upper + max(float(high), 0.0))
    problem = _prepare(scan, sample, bounds, model_error)
    if stack.intensity_kind != "counts" and stack.errors is None:
        problem = _with_counts(problem, stack, places, survey.frames)
    return Prepared(problem=problem, survey=survey, kinds=_kinds(problem, survey))


def _prepare(scan: Scan, sample: Sample, bounds: dict[str, tuple[float, float]], model_error: float) -> Problem:
    return prepare(
        scan,
        sample.experiment(),
        bounds=bounds,
        held=sample.held(),
        start=sample.start(),
        model_error=model_error,
    )


def _with_counts(problem: Problem, stack: Stack, places: NDArray[np.intp], frames: Flags) -> Problem:
    """With the counts of one unit of intensity that the scatter of some pixels tells."""
    chosen = places[np.unique(np.linspace(0, len(places) - 1, _TELLING).astype(int))]
    found = [counts_per_unit(scan_of(stack, int(y), int(x), frames)) for y, x in chosen]
    seen = [own for own in found if own is not None]
    (own,) = problem.measurements
    if not seen:
        return problem
    likelihood = replace(own.likelihood, counts_per_unit=float(np.median(seen)))
    return replace(problem, measurements=(replace(own, likelihood=likelihood),))


def _kinds(problem: Problem, survey: Survey) -> tuple[Problem, ...]:
    """The problem as some pixels show it, from those whose strain reaches least to those where it reaches most."""
    (own,) = problem.measurements

    def reach(features: Features) -> float:
        ends = (features.low_shoulder_arcsec, features.high_shoulder_arcsec)
        return max((abs(end - features.peak_arcsec) for end in ends if end is not None), default=0.0)

    order = np.argsort([reach(features) for features in survey.features], kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, _KINDS).astype(int))]
    return tuple(
        replace(problem, measurements=(replace(own, features=survey.features[k]),)) for k in chosen
    )


def peaks_of(survey: Survey) -> tuple[Floats, Floats]:
    """Position of the peak [arcsec] and log10 of its intensity at every pixel, NaN where there is no scan, (y, x)."""
    peak, height = (np.full(survey.pixels.shape, np.nan) for _ in range(2))
    peak[survey.pixels] = [own.peak_arcsec for own in survey.features]
    height[survey.pixels] = np.log10([own.peak_intensity for own in survey.features])
    return peak, height
