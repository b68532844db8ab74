"""The trials of a sweep in its folder: asked of Optuna one after another, and noted before and after each."""

import csv
import importlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml

from strainscope.estimator.plan import TrainingPlan
from strainscope.training.checkpoint import CHECKPOINT, replace_text
from strainscope.training.space import Interval, Space, Value, with_values
from strainscope.training.task import VALIDATION_LOSS

By = Literal["error", "loss"]
TRIALS, TABLE, BEST = "trials", "trials.csv", "best.yaml"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a trial.

    Attributes:
        figures: Validation loss, and each parameter's mean absolute error in % of its range; empty where it failed.
        seen: Curves.
        seconds: Of steps and reading.
        reason: Why it failed; empty where it did not.
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    seen: int = 0
    seconds: float = 0.0
    reason: str = ""

    @property
    def error_percent(self) -> float:
        """Mean over the parameters."""
        return float(np.mean([own for name, own in self.figures.items() if name != VALIDATION_LOSS]))

    def score(self, by: By) -> float:
        """What is to be small; infinite where the trial failed."""
        if self.reason:
            return math.inf
        own = self.error_percent if by == "error" else self.figures[VALIDATION_LOSS]
        return own if math.isfinite(own) else math.inf


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial: its number from 0 on, and the values of the keys that are tried."""

    number: int
    values: Mapping[str, Value]


def check_optuna() -> None:
    """Raise a ValueError that says how to install Optuna where it is missing."""
    if find_spec("optuna") is None:
        raise ValueError("sweep: Optuna is not installed; install it with: pip install 'strainscope[sweep]'")


class Study:
    """Trials of a sweep, those of an earlier start of it included.

    What is asked next follows from the seed, the number and the trials that are done: where trials come one after
    another it is the same however often the sweep is interrupted.

    Args:
        folder: Of the sweep, held.
        space: What is tried.
        plan: Its best values are put into it.
        trials: Number of them in all.
        by: What is to be small.
        seed: Of the search.
    """

    def __init__(
        self, folder: Path, space: Space, plan: TrainingPlan, *, trials: int, by: By, seed: int
    ) -> None:
        self._optuna = importlib.import_module("optuna")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._folder, self._space, self._plan = folder, space, plan
        self.total, self._by, self._seed = trials, by, seed
        self._distributions = {key: self._distribution(own) for key, own in space.items()}
        self._study = self._optuna.create_study(direction="minimize")
        self._asked: dict[int, Any] = {}
        self._values: dict[int, dict[str, Value]] = {}
        self.outcomes: dict[int, Outcome] = {}
        (folder / TRIALS).mkdir(exist_ok=True)
        self._read()

    def _distribution(self, own: tuple[Value, ...] | Interval) -> Any:  # noqa: ANN401 (Optuna is not always there)
        """As Optuna has it."""
        kinds = self._optuna.distributions
        if not isinstance(own, Interval):
            return kinds.CategoricalDistribution(own)
        if own.whole:
            return kinds.IntDistribution(own.low, own.high, log=own.log, step=own.step or 1)
        return kinds.FloatDistribution(own.low, own.high, log=own.log, step=own.step)

    def _file(self, number: int) -> Path:
        return self._folder / TRIALS / f"{number:04d}.json"

    def run_folder(self, number: int) -> Path:
        """Where a trial's training is."""
        return self._file(number).with_suffix("")

    def _read(self) -> None:
        """Take up what earlier starts did; what they left unfinished is asked for first."""
        for number in range(len(list((self._folder / TRIALS).glob("*.json")))):
            place = self._file(number)
            try:
                document = json.loads(place.read_text(encoding="utf-8"))
                self._values[number] = document["values"]
                if document["outcome"] is not None:
                    self.outcomes[number] = Outcome(**document["outcome"])
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{place}: is damaged; delete the sweep's folder, and begin anew.") from None
        for number, outcome in self.outcomes.items():
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    params=self._values[number],
                    distributions=self._distributions,
                    value=outcome.score(self._by),
                )
            )
        self._left = [number for number in self._values if number not in self.outcomes]
        for number in self._left:
            self._study.enqueue_trial(self._values[number])

    def ask(self) -> Trial | None:
        """The next trial, noted in the folder; None where there are enough.

        One whose values were tried already has that trial's outcome at once, and is not given.
        """
        while self._left or len(self._values) < self.total:
            number = self._left.pop(0) if self._left else len(self._values)
            seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
            # Trials that others are at count as bad ones, so that two are not at the same.
            self._study.sampler = self._optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            self._asked[number] = self._study.ask(self._distributions)
            values = dict(self._asked[number].params)
            twin = next((n for n in self.outcomes if self._values[n] == values), None)
            self._values[number] = values
            self._note(number, None)
            if twin is None:
                return Trial(number=number, values=values)
            self.tell(number, self.outcomes[twin])
        return None

    def tell(self, number: int, outcome: Outcome) -> None:
        """Note a trial's outcome, in its file, in the table, and where it is the best as a plan.

        Raises:
            OSError: the folder cannot be written.
        """
        self._note(number, outcome)
        self.outcomes[number] = outcome
        self._study.tell(self._asked.pop(number), outcome.score(self._by))
        # It will not go on.
        (self.run_folder(number) / CHECKPOINT).unlink(missing_ok=True)
        replace_text(self._folder / TABLE, self._table())
        if self.best() == number:
            replace_text(self._folder / BEST, self._best_plan(number))

    def _note(self, number: int, outcome: Outcome | None) -> None:
        document = {"values": self._values[number], "outcome": None if outcome is None else asdict(outcome)}
        replace_text(self._file(number), json.dumps(document, indent=1))

    def best(self) -> int | None:
        """Number of the best trial, of several the first; None where none was trained."""
        scores = {number: own.score(self._by) for number, own in sorted(self.outcomes.items())}
        number = min(scores, key=scores.__getitem__, default=None)
        return number if number is not None and math.isfinite(scores[number]) else None

    def values(self, number: int) -> Mapping[str, Value]:
        """Those of a trial."""
        return self._values[number]

    def score(self, number: int) -> float:
        """What is to be small, of a trial that is done."""
        return self.outcomes[number].score(self._by)

    def _table(self) -> str:
        """CSV, a row for each trial that is done."""
        names = list(dict.fromkeys(name for own in self.outcomes.values() for name in own.figures))
        errors = [name for name in names if name != VALIDATION_LOSS]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = ["trial", *self._space, "error_percent", VALIDATION_LOSS, *(f"error_percent.{n}" for n in errors)]
        writer.writerow([*head, "seen", "seconds", "failed"])
        for number, own in sorted(self.outcomes.items()):
            figures = [own.figures.get(name, "") for name in (VALIDATION_LOSS, *errors)]
            mean = own.error_percent if own.figures else ""
            values = [self._values[number][key] for key in self._space]
            writer.writerow([number, *values, mean, *figures, own.seen, round(own.seconds, 1), own.reason])
        return text.getvalue()

    def _best_plan(self, number: int) -> str:
        """The plan with a trial's values, for `strainscope train`."""
        plan = with_values(self._plan, self._values[number], source=BEST)
        document = plan.model_dump(mode="json", exclude_defaults=True)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
