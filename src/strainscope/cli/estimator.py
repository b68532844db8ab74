"""The commands `strainscope train` and `strainscope evaluate`. Torch is imported by the command that needs it."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from strainscope.cli.options import ForceOption, JsonOption, RayOption, local
from strainscope.cli.progress import progress_bar
from strainscope.estimator.named import require_torch


def train(
    plan_name: Annotated[str, typer.Argument(metavar="PLAN", help="A preset's name, or a training plan.")],
    out: Annotated[Path, typer.Option("-o", "--out", callback=local, help="Folder of the run; it must not exist.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Folder of the datasets, or s3://bucket/data; made there if missing. By default in the run's."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; by default all, with --ray 1 a worker.")
    ] = None,
    devices: Annotated[
        int, typer.Option(min=1, help="GPUs that share each batch (processes where there is none; workers with --ray).")
    ] = 1,
    ray: RayOption = None,
) -> None:
    """Train an estimator on simulated curves, or go on with one.

    The plan says which: the posterior estimator or a published network (v1, v2, v3, cnn2023), for how many curves or
    minutes, on which window of the curves, with which loss, low strain first or not, one network or an ensemble.
    The folder gets log.jsonl and TensorBoard's logs (tensorboard --logdir FOLDER). Ctrl-C leaves a checkpoint there,
    from which --resume goes on.
    """
    from strainscope.estimator.plan import load_training_plan

    plan = load_training_plan(plan_name)
    require_torch()
    import torch

    from strainscope import training

    if threads is not None:
        torch.set_num_threads(threads)
    run = (
        training.train
        if ray is None
        else partial(training.train_on_nodes, ray=ray, threads=1 if threads is None else threads)
    )
    with progress_bar("training") as bar:

        def tell(progress: training.Progress) -> None:
            errors = ", ".join(
                f"{name} {error:.2f}"
                for name, error in progress.validation.items()
                if name != "validation_loss"
            )
            one_of = f"network {progress.member + 1} of {progress.members}, " if progress.members > 1 else ""
            typer.echo(
                f"{one_of}{progress.seen:,} of {progress.total:,} curves ({progress.curves_per_second:,.0f}/s): "
                f"loss {progress.validation['validation_loss']:.4g}, errors in % of the range: {errors}",
                err=True,
            )

        weights = run(
            plan,
            out,
            resume=resume,
            data_folder=None if data is None else data if "://" in data else Path(data),
            devices=devices,
            tell=tell,
            tell_step=bar,
            tell_data=lambda name, done, total: bar(done, total, f"simulating {name}"),
            tell_resumed=lambda seen, total: typer.echo(f"goes on at {seen:,} of {total:,} curves", err=True),
        )
    typer.echo(f"{weights}: {weights.stat().st_size / 1e6:.1f} MB")


def evaluate(
    context: typer.Context,
    estimator: Annotated[
        str,
        typer.Argument(
            metavar="ESTIMATOR", help="Name of one that ships, a weights file, or a run's folder."
        ),
    ],
    test_set: Annotated[str, typer.Option("--set", help="balanced, balanced-film, continuous, lab, or own.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", callback=local, help="Folder for a report; it must not exist.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="The first curves of the set; by default all.")
    ] = None,
    draws: Annotated[
        int, typer.Option(min=2, max=100_000, help="Of each posterior, where the estimator has them.")
    ] = 256,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Say how good an estimator is on a frozen test set, or on fresh curves of its own training plan (own)."""
    require_torch()
    from strainscope import evaluation
    from strainscope.estimator.grids import check_asked
    from strainscope.estimator.load import load_estimator
    from strainscope.estimator.shipped import estimator_path

    if out is not None:
        evaluation.check_evaluation_target(out, force=force)
    weights = estimator_path(estimator)
    loaded = load_estimator(weights)
    asked = evaluation.set_for(test_set, loaded.about)
    check_asked(
        loaded.about,
        angle_arcsec=asked.angle_arcsec,
        sample=asked.identity.get("sample"),
        scans="scans" in asked.identity,
    )
    with progress_bar("simulating") as bar:
        frozen = evaluation.load_test_set(asked, size=size, progress=bar)
    with progress_bar("evaluating") as bar:
        found = evaluation.evaluate(
            loaded,
            frozen,
            name=weights.stem,
            draws=draws,
            cramer_rao=evaluation.bounds_of(frozen),
            progress=bar,
        )
    if out is not None:
        evaluation.write_evaluation(found, out, force=force, command=context.obj)
    if as_json:
        typer.echo(evaluation.evaluation_json(found, command=context.obj))
        return
    document = evaluation.evaluation_document(found, command=context.obj)
    for name, error in document["mae_percent_of_range"].items():
        typer.echo(f"{name:10s} mean absolute error {error:.2f} % of the range")
