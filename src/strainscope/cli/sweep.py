"""The command `strainscope sweep`. Torch and Optuna are imported when it runs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from strainscope.cli.options import RayOption, local
from strainscope.cli.progress import progress_bar
from strainscope.estimator.named import require_torch


def sweep(
    plan_name: Annotated[str, typer.Argument(metavar="PLAN", help="A preset's name, or a training plan.")],
    space: Annotated[Path, typer.Option(help="YAML file: keys of the plan, each with values or two ends.")],
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder of the sweep; it must not exist.")],
    trials: Annotated[int, typer.Option(min=1, max=10_000, help="Trainings in all.")],
    samples: Annotated[int | None, typer.Option(min=1, help="Curves of each, in place of the plan's.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes of each, in place of the plan's.")] = None,
    by: Annotated[
        Literal["error", "loss"],
        typer.Option(help="What is to be small: mean error of the parameters, or the validation loss."),
    ] = "error",
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of the datasets, or s3://bucket/data; made there if missing. By default in the sweep's."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the sweep in the folder.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; by default all, with --ray 1 a trial.")
    ] = None,
    ray: RayOption = None,
) -> None:
    """Try values of a training plan's keys in short trainings, and write the best as a plan.

    Optuna chooses each trial's values by what those before it reached. The folder gets trials.csv (a row a trial),
    best.yaml (for strainscope train), and the trials' runs. With --ray the nodes of a cluster train, by Ray Tune.
    """
    from strainscope.estimator.plan import load_training_plan

    plan = load_training_plan(plan_name)
    require_torch()
    import torch

    from strainscope.training import Study, Sweep, load_space, run_sweep, sweep_on_nodes

    asked = Sweep(
        plan=plan,
        space=load_space(space, plan),
        trials=trials,
        samples=samples,
        minutes=minutes,
        by=by,
        seed=seed,
    )

    def said(study: Study, number: int) -> str:
        values = ", ".join(f"{key} = {_shown(value)}" for key, value in study.values(number).items())
        reason = study.outcomes[number].reason
        unit = " %" if by == "error" else ""
        return f"trial {number}: {values}: {reason or f'{by} {study.score(number):.4g}{unit}'}"

    with progress_bar("training") as bar:

        def tell(study: Study, number: int) -> None:
            typer.echo(f"{len(study.outcomes)} of {study.total}, {said(study, number)}", err=True)

        where = None if data is None else data if "://" in data else Path(data)
        if ray is None:
            if threads is not None:
                torch.set_num_threads(threads)
            study = run_sweep(
                asked,
                out,
                resume=resume,
                data_folder=where,
                tell=tell,
                tell_step=bar,
                tell_data=lambda name, done, total: bar(done, total, f"simulating {name}"),
            )
        else:
            study = sweep_on_nodes(
                asked,
                out,
                ray=ray,
                threads=1 if threads is None else threads,
                resume=resume,
                data_folder=where,
                tell=tell,
                tell_data=lambda name, done, total: bar(done, total, f"simulating {name}"),
            )
    best = study.best()
    assert best is not None
    typer.echo(f"{out / 'best.yaml'}: {said(study, best)}")


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else str(value)
