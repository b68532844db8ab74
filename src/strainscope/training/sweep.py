"""A sweep: short trainings of one plan with other values of some keys, chosen by what those before them reached."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from strainscope.dataset.alone import alone
from strainscope.estimator.plan import TrainingPlan
from strainscope.estimator.shipped import WEIGHTS
from strainscope.estimator.weights import load_weights
from strainscope.sample.messages import at_key
from strainscope.training.checkpoint import replace_text
from strainscope.training.claim import differences, held, sources
from strainscope.training.loop import Habits, source_of, task_of, train_in
from strainscope.training.settings import FullPlan, full_plan
from strainscope.training.space import Space, combinations, plain, with_values
from strainscope.training.study import TRIALS, By, Outcome, Study, Trial, check_optuna
from strainscope.training.team import fabric_of

SWEEP = "sweep.json"
_CHECKPOINT_EVERY = 400_000


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep is.

    Attributes:
        plan: Of which some keys are tried.
        space: Which, with which values.
        trials: Number of them.
        samples: Curves that each trial sees, in place of the plan's.
        minutes: That each may take, in place of the plan's.
        by: What is to be small: "error", the mean of the parameters' mean absolute errors in % of their ranges, or
            "loss", the validation loss.
        seed: Of the search.
    """

    plan: TrainingPlan
    space: Space
    trials: int
    samples: int | None = None
    minutes: float | None = None
    by: By = "error"
    seed: int = 0

    def trial_plan(self) -> TrainingPlan:
        """The plan of a trial, its values left out: one network, and no more than what tells trials apart."""
        own: dict[str, Any] = {"ensemble": 1, "recalibrate": 0, "annealed_at": None}
        own |= {key: value for key in ("samples", "minutes") if (value := getattr(self, key)) is not None}
        return self.plan.model_copy(update=own)

    def check(self) -> None:
        """Fail on what cannot be tried, before anything is begun.

        Raises:
            ValueError: values that do not fit the data, fewer combinations than trials, or losses that do not compare.
        """
        unlike = [key for key in ("coordinates", "loss") if key in self.space]
        if self.by == "loss" and unlike:
            raise ValueError(f"--by loss: losses of other {' or '.join(unlike)} do not compare; use --by error.")
        most = combinations(self.space)
        if self.trials > most:
            raise ValueError(f"--trials {self.trials}; the space has {most:g} combinations. Ask for at most so many.")
        plan = self.trial_plan()
        _build(with_values(plan, {}, source="plan"))
        for key, own in self.space.items():
            for value in own if isinstance(own, tuple) else (own.low, own.high):
                changed = with_values(plan, {key: value}, source="--space")
                with at_key("--space"):
                    _build(changed)

    def document(self) -> dict[str, Any]:
        """All that decides the trials, as plain data; their number apart, which may grow."""
        return {
            "plan": self.trial_plan().model_dump(mode="json", exclude={"title": True, "data": True, "lab": {"sample"}}),
            "sources": sources(full_plan(self.plan)),
            "space": plain(self.space),
            "by": self.by,
            "seed": self.seed,
        }


def _build(plan: TrainingPlan) -> None:
    """Raise ValueError where a network and its data do not fit together."""
    whole = full_plan(plan)
    task_of(whole, source_of(whole)).build()


@contextmanager
def begun(sweep: Sweep, folder: Path, *, resume: bool) -> Iterator[Study]:
    """The trials of a sweep in its folder, which is made or gone on with, and held; where none came of it, it is gone.

    Raises:
        FileExistsError: it holds a sweep and `resume` is off, or something else.
        OSError: it cannot be made, or another process holds it.
        ValueError: it holds another sweep.
    """
    check_optuna()
    sweep.check()
    if folder.is_file():
        raise FileExistsError(f"{folder}: is a file; name a folder.")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with alone(folder):
            fresh = _claim(sweep, folder, resume=resume)
            try:
                yield Study(folder, sweep.space, sweep.plan, trials=sweep.trials, by=sweep.by, seed=sweep.seed)
            except BaseException:
                if fresh:
                    _leave_empty(folder)
                raise
    except BaseException:
        for place in made:
            # Refused where it holds anything.
            with suppress(OSError):
                place.rmdir()
        raise


def _leave_empty(folder: Path) -> None:
    """Take back what a sweep began with, unless more came of it."""
    with suppress(OSError):
        (folder / TRIALS).rmdir()
        if [place.name for place in folder.iterdir()] == [SWEEP]:
            (folder / SWEEP).unlink()


def _claim(sweep: Sweep, folder: Path, *, resume: bool) -> bool:
    """Note what the sweep is, or check that what is there is the same; whether the folder was empty."""
    place, own = folder / SWEEP, json.loads(json.dumps(sweep.document()))
    if not place.exists():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder}: holds something else than a sweep; name another folder.")
        replace_text(place, json.dumps(own, indent=1))
        return True
    if not resume:
        raise FileExistsError(f"{folder}: holds a sweep; name another folder, or go on with --resume.")
    try:
        before = dict(json.loads(place.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise ValueError(f"{place}: is damaged; name another folder.") from None
    changes = differences(before, own)
    if changes:
        raise ValueError(
            f"{folder}: holds another sweep ({changes}); name another folder, or use its plan, space and options."
        )
    return False


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    resume: bool = False,
    data_folder: Path | str | None = None,
    tell: Callable[[Study, int], None] = lambda study, number: None,
    tell_step: Callable[[int, int], None] = lambda seen, total: None,
    tell_data: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Study:
    """Train trial after trial on this machine.

    Args:
        sweep: What it is.
        folder: Of the sweep: table, best plan, and each trial's run in `trials`.
        resume: Go on with the sweep in the folder.
        data_folder: Where datasets lie or are made, or an address; by default in the sweep's folder.
        tell: Called after each trial with its number.
        tell_step: Called after each step with the curves seen, and those of the whole trial.
        tell_data: Called with a dataset's name, samples done and their total.

    Returns:
        The trials.

    Raises:
        FileExistsError: the folder holds a sweep and `resume` is off.
        KeyboardInterrupt: as Ctrl-C was pressed; the trial goes on from its checkpoint with `resume`.
        ValueError: it holds another sweep; no trial could be trained.
        OSError: it cannot be written, or another process is writing it.
    """
    data = data_folder or folder / "data"
    with begun(sweep, folder, resume=resume) as study:
        try:
            plan = sweep.trial_plan()
            source_of(full_plan(plan)).make(data, tell_data)
            for trial in iter(study.ask, None):
                whole = trial_plan(plan, trial)
                outcome = tried(whole, study.run_folder(trial.number), data, fabric_of(whole.precision), tell_step)
                study.tell(trial.number, outcome)
                tell(study, trial.number)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(so_far(study)) from None
        return some_trained(study, folder)


def trial_plan(plan: TrainingPlan, trial: Trial) -> FullPlan:
    """The plan of one trial."""
    return full_plan(with_values(plan, trial.values, source=f"trial {trial.number}"))


def so_far(study: Study) -> str:
    """What an interrupted sweep has."""
    return f"after {len(study.outcomes)} of {study.total} trials; --resume goes on from there"


def some_trained(study: Study, folder: Path) -> Study:
    """The study, if any of its trials could be trained.

    Raises:
        ValueError: none could.
    """
    if study.best() is None:
        reason = next((own.reason for own in study.outcomes.values() if own.reason), "no error is a number")
        raise ValueError(f"{folder}: none of {study.total} trials could be trained; the first: {reason}")
    return study


def tried(
    plan: FullPlan,
    folder: Path,
    data: Path | str,
    fabric: Fabric,
    tell_step: Callable[[int, int], None] = lambda seen, total: None,
) -> Outcome:
    """Train one network, from its checkpoint on if it has one, on data that are there.

    A training that cannot be, as its loss is no number, is an outcome, too.

    Raises:
        OSError: it cannot be written, or another process is writing it.
    """
    habits = Habits(
        checkpoint_every=_CHECKPOINT_EVERY,
        tell=lambda progress: None,
        tell_step=tell_step,
        tell_data=lambda name, done, total: None,
        tell_resumed=lambda seen, total: None,
        data_are_made=True,
    )
    try:
        fabric.launch()
        with held(folder, plan, resume=True):
            train_in(plan, folder, data, habits, fabric, resume=True)
    except ValueError as error:
        return Outcome(reason=" ".join(str(error).split()))
    _, about = load_weights(folder / WEIGHTS)
    return Outcome(
        figures=dict(about["validation"]), seen=about["seen"], seconds=about["training_seconds"]
    )
