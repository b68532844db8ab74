"""One visible loop, resumable at any step."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from strainscope.estimator.ensemble import save_ensemble
from strainscope.estimator.plan import TrainingPlan
from strainscope.estimator.shipped import WEIGHTS
from strainscope.interrupts import kept_back
from strainscope.training.baseline_task import BaselineTask
from strainscope.training.board import Board
from strainscope.training.checkpoint import (
    CHECKPOINT,
    LOG,
    append_log,
    cut_log,
    load_checkpoint,
    save_checkpoint,
)
from strainscope.training.claim import claim, held
from strainscope.training.data import DatasetSource
from strainscope.training.fresh_data import FreshSource
from strainscope.training.lab_data import LabSource
from strainscope.training.posterior_task import PosteriorTask
from strainscope.training.run import Run
from strainscope.training.settings import FullPlan, full_plan
from strainscope.training.source import Source
from strainscope.training.task import VALIDATION_LOSS, Task
from strainscope.training.team import fabric_of, from_first, together


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is.

    Attributes:
        seen: Curves so far.
        total: Curves of the whole training; where its time is given, what they are going to be at this pace.
        loss: Mean loss of the last stretch: negative log density, or the published network's loss.
        validation: Mean absolute error of each parameter in % of its range, and `validation_loss`.
        learning_rate: Of the last step.
        curves_per_second: Since the last look, the looks left out.
        member: Of an ensemble, from 0 on.
        members: Of the ensemble; 1 for a single network.
    """

    seen: int
    total: int
    loss: float
    validation: dict[str, float]
    learning_rate: float
    curves_per_second: float
    member: int = 0
    members: int = 1


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How often a run is saved, who hears of it, and whether its data are there and whole already."""

    checkpoint_every: int
    tell: Callable[[Progress], None]
    tell_step: Callable[[int, int], None]
    tell_data: Callable[[str, int, int], None]
    tell_resumed: Callable[[int, int], None]
    data_are_made: bool = False


# However slow the network: no more than this is lost [s].
_CHECKPOINT_SECONDS = 600.0
_OUT_OF_MEMORY = re.compile("out of memory|not enough memory|allocate memory", re.IGNORECASE)


def train(
    plan: TrainingPlan,
    folder: Path,
    *,
    resume: bool = False,
    data_folder: Path | str | None = None,
    devices: int = 1,
    checkpoint_every: int = 400_000,
    tell: Callable[[Progress], None] = lambda progress: None,
    tell_step: Callable[[int, int], None] = lambda seen, total: None,
    tell_data: Callable[[str, int, int], None] = lambda name, done, total: None,
    tell_resumed: Callable[[int, int], None] = lambda seen, total: None,
) -> Path:
    """Train an estimator, or go on with one; data that are missing are simulated first.

    Args:
        plan: What to train.
        folder: Of the run: checkpoint, log, weights; those of an ensemble's members in `member-0`, … there.
        resume: Go on from the checkpoint in the folder.
        data_folder: Where datasets lie or are made, or an address such as s3://bucket/data; by default in the run's
            folder.
        devices: GPUs that share each batch, or processes where there is none.
        checkpoint_every: Curves between two checkpoints; there is one every ten minutes in any case.
        tell: Called after each validation.
        tell_step: Called after each step with the curves seen, and those of the whole training.
        tell_data: Called with a dataset's name, samples done and their total.
        tell_resumed: Called, where it goes on from a checkpoint, with the curves seen and those of the whole training.

    Returns:
        Path of the weights.

    Raises:
        FileExistsError: the folder holds a run and `resume` is off.
        KeyboardInterrupt: as Ctrl-C was pressed; a checkpoint of the last finished step is written.
        ValueError: it holds another plan's run or a damaged checkpoint, the loss is no number, there are not so many
            devices, or too little memory.
        OSError: it cannot be written, or another process is writing it.
    """
    whole = full_plan(plan)
    habits = Habits(
        checkpoint_every=checkpoint_every,
        tell=tell,
        tell_step=tell_step,
        tell_data=tell_data,
        tell_resumed=tell_resumed,
    )
    with _memory_explained(whole):
        source = source_of(whole)
        task = task_of(whole, source)
        task.build()  # fails on what does not fit together before anything is written or simulated
        check_devices(whole, devices)
        fabric = fabric_of(whole.precision, devices)
        with together(fabric), held(folder, whole, resume=resume) if fabric.is_global_zero else nullcontext():
            train_in(whole, folder, data_folder or folder / "data", habits, fabric, resume=resume)
    return folder / WEIGHTS


def check_devices(plan: FullPlan, devices: int) -> None:
    """Refuse a number of devices that batches cannot be shared by."""
    if plan.batch % devices:
        raise ValueError(f"batch = {plan.batch}; it must be a multiple of the devices, {devices}.")


def train_in(
    plan: FullPlan, folder: Path, data: Path | str, habits: Habits, fabric: Fabric, *, resume: bool
) -> None:
    """Train as one of the processes that have begun, in a folder that is held."""
    with _memory_explained(plan):
        if plan.ensemble == 1:
            source = source_of(plan)
            _train_one(plan, source, task_of(plan, source), folder, data, habits, fabric)
        else:
            _train_members(plan, folder, data, habits, fabric, resume=resume)


@contextmanager
def _memory_explained(plan: FullPlan) -> Iterator[None]:
    """Say what to change where memory is too small."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not _OUT_OF_MEMORY.search(reason):
            raise
        sizes = f" and network.inner = {plan.network.inner:,}" if plan.model == "posterior" else ""
        raise ValueError(
            f"out of memory ({reason or 'no more to be had'}), with batch = {plan.batch:,}{sizes}. Begin anew with a "
            "smaller batch or network, or on a larger machine."
        ) from None


def _train_members(
    plan: FullPlan, folder: Path, data: Path | str, habits: Habits, fabric: Fabric, *, resume: bool
) -> None:
    """Train the networks of an ensemble one after another, each in a folder of its own, and put them together."""
    paths = []
    for i in range(plan.ensemble):
        place = folder / f"member-{i}"
        member = plan.model_copy(update={"ensemble": 1, "seed": plan.seed + i})
        paths.append(place / WEIGHTS)
        if fabric.is_global_zero:
            claim(place, member, resume=resume)
        if not from_first(fabric, paths[-1].exists):
            source = source_of(member)
            told = replace(habits, tell=_told_of(i, plan.ensemble, habits.tell))
            _train_one(member, source, task_of(member, source), place, data, told, fabric)
    if fabric.is_global_zero:
        save_ensemble(folder / WEIGHTS, paths)


def source_of(plan: FullPlan) -> Source:
    """What a plan trains on."""
    if plan.lab is not None:
        return LabSource(plan, plan.lab)
    return FreshSource(plan) if plan.fresh else DatasetSource(plan)


def task_of(plan: FullPlan, source: Source) -> Task:
    """What a plan trains."""
    return PosteriorTask(plan, source) if plan.model == "posterior" else BaselineTask(plan)


def _train_one(
    plan: FullPlan, source: Source, task: Task, folder: Path, data: Path | str, habits: Habits, fabric: Fabric
) -> None:
    """Train one network in a folder that is held, from its checkpoint on if it has one."""
    makes = fabric.is_global_zero and not habits.data_are_made
    if makes:
        source.make(data, habits.tell_data)
    fabric.barrier()
    if not makes:
        source.open(data)
    torch.manual_seed(plan.seed)
    run = Run(plan, task, task.build(), source, fabric)
    checkpoint = folder / CHECKPOINT
    if from_first(fabric, checkpoint.exists):
        run.restore(load_checkpoint(checkpoint))
    if not fabric.is_global_zero:
        _loop(run, None, habits)
        return
    if run.has_checkpoint:
        habits.tell_resumed(run.seen, run.total())
    cut_log(folder / LOG, run.seen)
    with _saved_when_interrupted(run, checkpoint):
        board = Board(folder, seen=run.seen)
        try:
            _loop(run, _Place(folder=folder, board=board), habits)
        finally:
            board.close()
        _save(run, checkpoint)
        about = {"plan": plan.model_dump(mode="json"), **source.about()}
        run.estimator(about).save(folder / WEIGHTS)


@contextmanager
def _saved_when_interrupted(run: Run, checkpoint: Path) -> Iterator[None]:
    """Leave a checkpoint of the last step where Ctrl-C is pressed."""
    try:
        yield
    except KeyboardInterrupt:
        if not run.seen:
            raise KeyboardInterrupt("before the first step; nothing is trained yet") from None
        with kept_back():
            _save(run, checkpoint)
        raise KeyboardInterrupt(
            f"at {run.seen:,} of {run.total():,} curves; --resume goes on from there"
        ) from None


def _save(run: Run, checkpoint: Path) -> None:
    save_checkpoint(checkpoint, run.state())
    run.has_checkpoint = True


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a run is written; only one of several processes has it."""

    folder: Path
    board: Board


def _loop(run: Run, place: _Place | None, habits: Habits) -> None:
    """Steps, looks and checkpoints until the training is over."""
    if run.is_over():
        return
    saved, saved_at = run.seen, time.monotonic()
    run.pause_over()
    for curves, values in run.stream:
        with kept_back():
            run.step(curves, values)
            if place is not None:
                habits.tell_step(run.seen, run.total())
            if run.must_validate():
                _look(run, place, habits.tell)
        if run.is_over():
            return
        if place is None:
            continue
        if run.seen - saved >= habits.checkpoint_every or time.monotonic() - saved_at > _CHECKPOINT_SECONDS:
            _save(run, place.folder / CHECKPOINT)
            saved, saved_at = run.seen, time.monotonic()
            run.pause_over()


def _look(run: Run, place: _Place | None, tell: Callable[[Progress], None]) -> None:
    """Validate, and say so in the log, on the board and to the caller."""
    rate = run.learning_rate()  # the look may lower it
    figures = run.validate()
    if place is None:
        run.pause_over()
        return
    progress = Progress(
        seen=run.seen,
        total=run.total(),
        loss=run.recent_loss(),
        validation=figures,
        learning_rate=rate,
        curves_per_second=run.curves_per_second(),
    )
    rates = {"learning_rate": progress.learning_rate, "curves_per_second": progress.curves_per_second}
    append_log(place.folder / LOG, {"seen": run.seen, "loss": progress.loss, **figures, **rates})
    errors = {f"error_percent/{name}": e for name, e in figures.items() if name != VALIDATION_LOSS}
    losses = {"loss/training": progress.loss, "loss/validation": figures[VALIDATION_LOSS]}
    place.board.write(run.seen, losses | errors | rates)
    tell(progress)
    run.pause_over()


def _told_of(member: int, members: int, tell: Callable[[Progress], None]) -> Callable[[Progress], None]:
    def tell_of_member(progress: Progress) -> None:
        tell(replace(progress, member=member, members=members))

    return tell_of_member
