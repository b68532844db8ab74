"""A sweep whose trials the nodes of a cluster train, by Ray Tune; where one dies, its trial goes on elsewhere."""

import importlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from strainscope.cluster import check_shared, connected, on_nodes
from strainscope.dataset.place import place_of
from strainscope.training.loop import source_of
from strainscope.training.on_nodes import check_alike, check_data, check_processors, fitted, packages
from strainscope.training.settings import FullPlan, full_plan
from strainscope.training.study import Outcome, Study
from strainscope.training.sweep import Sweep, begun, so_far, some_trained, trial_plan, tried
from strainscope.training.team import member_of

# Deaths of its workers before a trial is given up.
_TRIES = 5
_OUTCOME, _STOPPED = "outcome", "stopped"


def sweep_on_nodes(
    sweep: Sweep,
    folder: Path,
    *,
    ray: str,
    threads: int = 1,
    resume: bool = False,
    data_folder: Path | str | None = None,
    tell: Callable[[Study, int], None] = lambda study, number: None,
    tell_data: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Study:
    """Sweep as `run_sweep` does, with as many trials at once as the cluster has processors.

    Args:
        ray: Address of the cluster: "auto" or HOST:PORT.
        threads: Of each trial; it takes as many processors.

    The others are those of `run_sweep`. Data that are missing are simulated on this machine first.

    Returns:
        The trials.

    Raises:
        FileExistsError, ValueError, OSError: as by `run_sweep`; no cluster, or one whose nodes are not fit for it.
        KeyboardInterrupt: as Ctrl-C was pressed; trials go on from their checkpoints with `resume`.
    """
    data = data_folder or folder / "data"
    with connected(ray), begun(sweep, folder, resume=resume) as study:
        try:
            check_processors(ray, 1, threads)
            on_nodes(check_alike, packages())
            check_shared(folder)
            source_of(full_plan(sweep.trial_plan())).make(data, tell_data)
            check_data(place_of(data))
            asked = {
                "data": place_of(data).absolute(),
                "threads": threads,
                "packages": packages(),
                "cwd": os.getcwd(),
            }
            _tune(sweep, study, asked, tell)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(so_far(study)) from None
        return some_trained(study, folder)


def _tune(sweep: Sweep, study: Study, asked: dict[str, Any], tell: Callable[[Study, int], None]) -> None:
    """Let Ray Tune have trials done until there are enough."""
    left = study.total - len(study.outcomes)
    if left <= 0:
        return
    tune = importlib.import_module("ray.tune")
    stopped: list[str] = []
    # What comes of a trial is said once, and not by Ray Tune, too.
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="strainscope-ray-") as own:
        tuner = tune.Tuner(
            tune.with_resources(_try, {"CPU": asked["threads"]}),
            tune_config=tune.TuneConfig(
                search_alg=_searcher(sweep, study, asked, tell, stopped), num_samples=left, metric="score", mode="min"
            ),
            run_config=tune.RunConfig(
                storage_path=own,
                name="sweep",
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=_TRIES - 1),
            ),
        )
        fitted(tuner)
    if not stopped and len(study.outcomes) < study.total:  # Ray Tune returns where Ctrl-C is pressed
        raise KeyboardInterrupt
    if stopped:
        raise OSError(f"{stopped[0]} What is written stays; go on with --resume once that is mended.")


def _searcher(
    sweep: Sweep, study: Study, asked: dict[str, Any], tell: Callable[[Study, int], None], stopped: list[str]
) -> Any:  # noqa: ANN401 (of Ray)
    """Asks the study what Ray Tune asks, and tells it what came of it."""
    base: Any = importlib.import_module("ray.tune.search").Searcher
    plan = sweep.trial_plan()

    class Searcher(base):  # type: ignore[misc]
        """The study as Ray Tune has it."""

        def __init__(self) -> None:
            super().__init__(metric="score", mode="min")
            self._numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
            """The next trial's configuration."""
            trial = None if stopped else study.ask()
            if trial is None:
                return base.FINISHED
            self._numbers[trial_id] = trial.number
            own = {
                "plan": trial_plan(plan, trial).model_dump_json(),
                "folder": str(study.run_folder(trial.number).absolute()),
            }
            return asked | own

        def on_trial_complete(
            self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
        ) -> None:
            """Note the outcome; of a trial that did not give one, that its workers died."""
            result = result or {}
            if _STOPPED in result:
                stopped.append(result[_STOPPED])
                return
            lost = Outcome(reason=f"its workers died {_TRIES} times, perhaps for want of memory")
            outcome = lost if error or _OUTCOME not in result else Outcome(**json.loads(result[_OUTCOME]))
            number = self._numbers[trial_id]
            study.tell(number, outcome)
            tell(study, number)

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the folder of the sweep has it all."""
            Path(checkpoint_path).write_bytes(b"")

        def __reduce__(self) -> tuple[type[object], tuple[()]]:
            """Nothing, either, of which Ray Tune would keep a copy."""
            return object, ()

    return Searcher()


def _try(config: dict[str, Any]) -> None:
    """On a node: train a trial, and say what came of it."""
    import torch

    with suppress(OSError):
        os.chdir(config["cwd"])
    torch.set_num_threads(config["threads"])
    plan, data = FullPlan.model_validate_json(config["plan"]), config["data"]
    report = importlib.import_module("ray.tune").report
    try:
        check_alike(config["packages"])  # a node may have joined since
        fabric = member_of(plan.precision, 0, 1)
        outcome = tried(plan, Path(config["folder"]), data if "://" in data else Path(data), fabric)
        # As text, since Ray Tune would take a mapping apart.
        found = {_OUTCOME: json.dumps(asdict(outcome))}
    except (ValueError, OSError) as error:
        found = {_STOPPED: str(error)}
    # Ray Tune wants a number; the study makes its own.
    report({**found, "score": 0.0})
