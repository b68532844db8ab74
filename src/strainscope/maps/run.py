"""A map inverted tile by tile, a tile a processor at a time; each is written as soon as it is done."""

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from strainscope.dataset.alone import alone
from strainscope.diffraction.engine import use_threads, worker_count
from strainscope.maps.job import MapJob, Tile, tiles_of
from strainscope.maps.library import Library
from strainscope.maps.output import write_map
from strainscope.maps.pixels import Pixels
from strainscope.maps.stack import Stack
from strainscope.maps.survey import Prepared, Survey, look_through, peaks_of, prepared
from strainscope.maps.tile import TilePixels, invert_tile
from strainscope.processes import KILLED, Workers, done_side_by_side

STATE, TILES = "map.json", "tiles"
Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class MapOutcome:
    """What became of a map.

    Attributes:
        survey: What the stack holds.
        kept: Tiles that were there from an earlier run.
        tiles: In all.
        core_s: Processor time of the tiles that were inverted [s].
        jacobians: That these took.
        verdicts: Pixels of each level, by name.
    """

    survey: Survey
    kept: int
    tiles: int
    core_s: float
    jacobians: int
    verdicts: dict[str, int]


def _silent(stage: str, share: float) -> None:
    """No progress is told."""


def invert_map(
    stack: Stack, job: MapJob, out: Path, *, resume: bool = False, progress: Progress = _silent
) -> MapOutcome:
    """Invert every pixel of a stack, and write the maps.

    Args:
        stack: The scans.
        job: How.
        out: Folder for the result.
        resume: Go on with the map in the folder.
        progress: Called with a stage and the share of it that is done.

    Raises:
        FileExistsError: the folder exists, and it is not to be gone on with.
        OSError: another process writes it.
        ValueError: the stack does not fit the sample, or the folder holds another map.
    """
    sample = job.described(stack)
    about = job.about(stack, sample)
    _check_folder(out, about, resume)
    survey = look_through(stack, sample, lambda share: progress("looking through", share))
    # What does not fit the sample is said before anything is written.
    ready = prepared(stack, sample, survey, model_error=sample.model_error)
    with alone(out):
        (out / TILES).mkdir(exist_ok=True)
        # Of a process that was killed while it wrote.
        for begun in (out / TILES).glob("*.new"):
            begun.unlink()
        _put(out / STATE, json.dumps(about).encode())
        tiles = tiles_of(stack.shape)
        waiting = [tile for tile in tiles if not _is_whole(out / TILES / tile.name, tile)]
        kept = len(tiles) - len(waiting)
        core_s, jacobians = 0.0, 0
        progress("inverting", kept / len(tiles))
        for done, (own_s, own) in enumerate(_invert(waiting, stack, job, survey, ready, out), start=kept + 1):
            core_s += own_s
            jacobians += own
            progress("inverting", done / len(tiles))
        progress("writing", 0.0)
        verdicts = write_map(out, stack, sample, ready, tiles, out / TILES)
        progress("writing", 1.0)
    return MapOutcome(
        survey=survey,
        kept=kept,
        tiles=len(tiles),
        core_s=core_s,
        jacobians=jacobians,
        verdicts=verdicts,
    )


def _check_folder(out: Path, about: Mapping[str, Any], resume: bool) -> None:
    if not resume:
        if out.exists():
            raise FileExistsError(f"{out}: exists; name another folder, or go on with it by --resume.")
        return
    state = out / STATE
    if not state.is_file():
        raise FileNotFoundError(f"{out}: holds no map to go on with; leave --resume out.")
    try:
        found = dict(json.loads(state.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{state}: is damaged ({error}); remove the folder to begin anew.") from None
    others = [name for name, value in about.items() if found.get(name) != value]
    if others:
        raise ValueError(
            f"{out}: was begun with another {', '.join(others)}; give the same, or name another folder."
        )


def _put(path: Path, content: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _is_whole(path: Path, tile: Tile) -> bool:
    try:
        with np.load(path, allow_pickle=False) as found:
            # Each is read: one damaged byte is seen by its checksum alone.
            read = {name: found[name] for name in found.files}
        return read["tile"].tolist() == [*tile.y, *tile.x] and "level" in read
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, BadZipFile, zlib.error):
        return False


def _invert(
    waiting: Sequence[Tile], stack: Stack, job: MapJob, survey: Survey, ready: Prepared, out: Path
) -> Iterator[tuple[float, int]]:
    """Processor time and Jacobians of each tile as it is done."""
    workers = min(worker_count(), len(waiting))
    if workers <= 1:
        if waiting:
            work = _Work(stack, job, survey, ready, out)
            yield from (work(tile) for tile in waiting)
        return
    processes = Workers(number=workers, begin=_begin, given=(stack, job, survey, out))
    for i, spent in done_side_by_side(_in_worker, [(tile,) for tile in waiting], processes):
        if spent is KILLED:
            y, x = waiting[i].y, waiting[i].x
            raise ValueError(
                f"the process that inverted rows {y[0]} to {y[1] - 1}, columns {x[0]} to {x[1] - 1} was ended from "
                "outside twice, perhaps for want of memory; free some, and go on with --resume."
            )
        yield spent


_work: list["_Work"] = []


def _begin(stack: Stack, job: MapJob, survey: Survey, out: Path) -> None:
    use_threads(1)
    sample = job.described(stack)
    ready = prepared(stack, sample, survey, model_error=sample.model_error)
    _work[:] = [_Work(stack, job, survey, ready, out)]


def _in_worker(tile: Tile) -> tuple[float, int]:
    return _work[0](tile)


class _Work:
    """What a process needs to invert tiles."""

    def __init__(self, stack: Stack, job: MapJob, survey: Survey, ready: Prepared, out: Path) -> None:
        self._stack, self._survey, self._problem, self._out = stack, survey, ready.problem, out
        self._peaks = peaks_of(survey)
        with threadpool_limits(limits=1):
            self._library = Library(ready.problem, ready.kinds, draws=job.draws, seed=job.seed)

    def __call__(self, tile: Tile) -> tuple[float, int]:
        """Invert a tile and write it; processor time [s] and Jacobians."""
        began = time.process_time()
        y, x = slice(*tile.y), slice(*tile.x)
        there = self._survey.pixels[y, x]
        found: dict[str, Any] = {"tile": np.array([*tile.y, *tile.x])}
        jacobians = 0
        if there.any():
            intensity, sigma = self._stack.read(y, x)
            frames = self._survey.frames
            intensity = intensity[there][:, frames]
            own = Pixels(
                self._problem,
                intensity,
                ~np.isnan(intensity),
                None if sigma is None else sigma[there][:, frames],
            )
            peak, height = (values[y, x][there] for values in self._peaks)
            with threadpool_limits(limits=1):
                result = invert_tile(
                    TilePixels(pixels=own, place=np.argwhere(there), peak_arcsec=peak, log10_height=height),
                    self._library,
                )
            jacobians = result.jacobians
            known = result.moments
            found |= {
                "mean": known.mean,
                "sd": known.sd,
                "derived": known.derived,
                "derived_sd": known.derived_sd,
                "best": own.values(known.best),
                "fitted": own.expected(known.best).astype(np.float32),
                "effective": known.effective,
                "level": result.doubts.level,
                "reasons": result.doubts.reasons,
                "reduced_chi2": result.doubts.reduced_chi2,
                "rms_log10": result.doubts.rms_log10,
                "points": result.points,
            }
        else:
            found["level"] = np.empty(0, dtype=np.uint8)
        path = self._out / TILES / tile.name
        fresh = path.with_name(f"{path.stem}.{os.getpid()}.new")
        with fresh.open("wb") as file:
            np.savez(file, **found)
        os.replace(fresh, path)
        return time.process_time() - began, jacobians
