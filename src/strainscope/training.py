"""Training of estimators: one visible loop, resumable at any step."""

import copy
import json
import math
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray

from strainscope.dataset.generate import generate
from strainscope.dataset.reader import ShuffledReader
from strainscope.dataset.simulate import Simulator
from strainscope.estimator.coordinates import Coordinates, coordinates_of
from strainscope.estimator.plan import TrainingPlan
from strainscope.estimator.posterior import Architecture, PosteriorEstimator, PosteriorNetwork
from strainscope.evaluation import excluded

Floats = NDArray[np.float64]
Batch = tuple[torch.Tensor, torch.Tensor]

WEIGHTS, CHECKPOINT, LOG, PLAN = "estimator.safetensors", "checkpoint.pt", "log.jsonl", "plan.json"
_STANDARDISED_BY = 20_000
_VALIDATION_SEED = 7_000_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is.

    Attributes:
        seen: Curves so far.
        total: Curves of the whole training.
        loss: Mean negative log density of the last stretch.
        validation: Mean absolute error of each parameter in % of its range, and the negative log density.
    """

    seen: int
    total: int
    loss: float
    validation: dict[str, float]


def train(
    plan: TrainingPlan,
    folder: Path,
    *,
    resume: bool = False,
    data_folder: Path | None = None,
    checkpoint_every: int = 400_000,
    tell: Callable[[Progress], None] = lambda progress: None,
    tell_data: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Path:
    """Train an estimator, or go on with one; data that are missing are simulated first.

    Args:
        plan: What to train.
        folder: Of the run: checkpoint, log, weights.
        resume: Go on from the checkpoint in the folder.
        data_folder: Where datasets lie or are made; by default in the run's folder.
        checkpoint_every: Curves between two checkpoints.
        tell: Called after each validation.
        tell_data: Called with a dataset's name, samples done and their total.

    Returns:
        Path of the weights.

    Raises:
        FileExistsError: the folder holds a run and `resume` is off.
        ValueError: it holds another plan's run, or the loss is no number.
        OSError: it cannot be written.
    """
    _claim(folder, plan, resume)
    readers = _readers(plan, data_folder or folder / "data", tell_data)
    fabric = Fabric(accelerator="auto", devices=1, precision=plan.precision)
    torch.manual_seed(plan.seed)
    run = _Run(plan, readers, fabric)
    state = folder / CHECKPOINT
    if resume and state.exists():
        run.restore(torch.load(state, map_location=fabric.device, weights_only=True))
    last_saved = run.seen
    for curves, values in _stream(plan, readers, run):
        run.step(curves, values)
        if run.seen >= run.next_validation or run.seen >= plan.samples:
            figures = run.validate()
            _append(folder / LOG, {"seen": run.seen, "loss": run.recent_loss(), **figures})
            tell(Progress(seen=run.seen, total=plan.samples, loss=run.recent_loss(), validation=figures))
        if run.seen - last_saved >= checkpoint_every:
            _save(state, run.state())
            last_saved = run.seen
        if run.seen >= plan.samples or run.stopped_early():
            break
    _save(state, run.state())
    weights = folder / WEIGHTS
    run.estimator().save(weights)
    return weights


class _Run:
    """Network, optimiser, averages and counters of a training."""

    def __init__(self, plan: TrainingPlan, readers: list[ShuffledReader], fabric: Fabric) -> None:
        self.plan, self.fabric = plan, fabric
        own = readers[0].dataset.plan
        constraints = own.sample_settings.experiment().constraints
        self.coordinates: Coordinates = coordinates_of(own.names, plan.bounds(), constraints)
        self.angles = own.angle_arcsec
        network = PosteriorNetwork(
            len(self.angles), 0, len(own.names), Architecture(**plan.network.model_dump())
        )
        with torch.no_grad():
            network.standardise(torch.from_numpy(_sample(readers, _STANDARDISED_BY)))
        optimizer = torch.optim.AdamW(
            network.parameters(),
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
            # One pass over the weights: a fifth of a step's time otherwise.
            fused=fabric.device.type in ("cpu", "cuda"),
        )
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.network.mark_forward_method("losses")
        self.average = copy.deepcopy(network).requires_grad_(False)
        held_out = own.with_options(seed=_VALIDATION_SEED + plan.seed, size=plan.validation)
        simulator = Simulator(held_out)
        self.validation_values = held_out.draws.values(0, plan.validation)
        self.validation_curves = simulator.simulate(self.validation_values)
        self.seen, self.steps, self.next_validation = 0, 0, plan.validate_every
        self.best, self.waited = math.inf, 0
        self._losses: list[float] = []

    def step(self, curves: NDArray[np.float32], values: Floats) -> None:
        """One step of the optimiser.

        Raises:
            ValueError: the loss is no number.
        """
        plan = self.plan
        for group in self.optimizer.param_groups:
            group["lr"] = plan.learning_rate * self._rate()
        free = torch.from_numpy(self.coordinates.to_free(values).astype(np.float32))
        batch = (torch.from_numpy(np.ascontiguousarray(curves)), free)
        curves_there, free_there = (part.to(self.fabric.device) for part in batch)
        density, point = self.network.losses(curves_there, free_there)
        loss = density + plan.point_weight * point
        if not bool(torch.isfinite(loss)):
            worst = self._worst(curves_there, free_there)
            raise ValueError(
                f"the loss is {loss.item()} at step {self.steps}, from the sample {worst}; the last "
                "checkpoint is kept. Look at that sample, or lower learning_rate and begin anew."
            )
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.fabric.clip_gradients(self.network, self.optimizer, max_norm=plan.clip)
        self.optimizer.step()
        self._average_in()
        self._losses.append(float(density.detach()))
        self.seen += len(values)
        self.steps += 1

    def _worst(self, curves: torch.Tensor, free: torch.Tensor) -> str:
        """The parameters of the sample that has no finite density, or of the least likely one."""
        with torch.no_grad():
            density = self.network.module.flow(self.network.module.context(curves).float()).log_prob(free)
        density = torch.where(torch.isfinite(density), density, -torch.inf)
        values = self.coordinates.from_free(free[int(density.argmin())].cpu().numpy())
        return ", ".join(f"{name} = {v:g}" for name, v in zip(self.coordinates.names, values, strict=True))

    def _average_in(self) -> None:
        """Exponential average of the weights; the first steps count little by little."""
        decay = min(self.plan.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, own in zip(self.average.parameters(), self.network.module.parameters(), strict=True):
                mean.lerp_(own, 1 - decay)

    def _rate(self) -> float:
        warm = min(1.0, (self.seen + self.plan.batch) / max(self.plan.warm_up, 1))
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, self.seen / self.plan.samples)))

    def recent_loss(self) -> float:
        """Mean of the last stretch's losses."""
        return float(np.mean(self._losses[-400:])) if self._losses else math.nan

    def estimator(self) -> PosteriorEstimator:
        """The averaged network as an estimator."""
        about = {
            "plan": self.plan.model_dump(mode="json"),
            "angle_arcsec": self.angles.tolist(),
            "seen": self.seen,
        }
        return PosteriorEstimator(copy.deepcopy(self.average), self.coordinates, about)

    def validate(self) -> dict[str, float]:
        """Errors of the averaged network's point estimate, and its mean negative log density."""
        self.next_validation = self.seen + self.plan.validate_every
        network = self.average.eval()
        free = self.coordinates.to_free(self.validation_values)
        found, density = [], []
        with torch.no_grad():
            for first in range(0, len(free), 1024):
                curves = torch.from_numpy(self.validation_curves[first : first + 1024]).to(self.fabric.device)
                context = network.context(curves)
                own = torch.from_numpy(free[first : first + 1024].astype(np.float32)).to(self.fabric.device)
                density.append(-network.flow(context).log_prob(own).mean().item())
                found.append(network.point(context).cpu().numpy())
        gap = np.abs(self.coordinates.from_free(np.concatenate(found)) - self.validation_values).mean(axis=0)
        width = np.diff(np.array(self.coordinates.bounds), axis=1)[:, 0]
        figures = {"validation_loss": float(np.mean(density))}
        figures |= {
            name: float(100 * error) for name, error in zip(self.coordinates.names, gap / width, strict=True)
        }
        better = figures["validation_loss"] < self.best
        self.best, self.waited = min(self.best, figures["validation_loss"]), 0 if better else self.waited + 1
        return figures

    def stopped_early(self) -> bool:
        """Whether patience is over."""
        return self.plan.patience is not None and self.waited >= self.plan.patience

    def state(self) -> dict[str, Any]:
        """All that a training needs to go on where it is."""
        return {
            "network": self.network.module.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seen": self.seen,
            "steps": self.steps,
            "next_validation": self.next_validation,
            "best": self.best,
            "waited": self.waited,
            "random": torch.get_rng_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        self.network.module.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seen, self.steps = state["seen"], state["steps"]
        self.next_validation, self.best, self.waited = (
            state["next_validation"],
            state["best"],
            state["waited"],
        )
        torch.set_rng_state(state["random"].cpu())


def _readers(plan: TrainingPlan, folder: Path, tell: Callable[[str, int, int], None]) -> list[ShuffledReader]:
    """Readers of the plan's datasets, which are made or finished first."""
    readers = []
    for i, data in enumerate(plan.data):
        own = data.build()
        path = folder / f"{i}-{Path(data.plan).stem}.zarr"
        generate(own, path, resume=True, progress=partial(tell, path.name))
        readers.append(ShuffledReader(path, batch=plan.batch, seed=plan.seed + i))
    return readers


def _stream(
    plan: TrainingPlan, readers: list[ShuffledReader], run: _Run
) -> Iterator[tuple[NDArray[np.float32], Floats]]:
    """Batches from where the run is on, epoch after epoch; the datasets take turns by their sizes."""
    sizes = [-(-reader.dataset.size // plan.batch) for reader in readers]
    epoch, inside = divmod(run.steps, sum(sizes))
    while True:
        turns = np.random.default_rng([plan.seed, epoch]).permutation(np.repeat(np.arange(len(sizes)), sizes))
        sources = [reader.epoch(epoch) for reader in readers]
        for position, turn in enumerate(turns.tolist()):
            batch = next(sources[turn])
            if position >= inside:
                curves, values = batch
                # Frozen test sets are never trained on, whatever the plan.
                fresh = ~excluded(values, run.coordinates.names)
                yield curves[fresh], values[fresh]
        epoch, inside = epoch + 1, 0


def _sample(readers: list[ShuffledReader], number: int) -> NDArray[np.float32]:
    """Some curves of every dataset."""
    share = number // len(readers) + 1
    return np.concatenate([r.dataset.curves(0, min(share, r.dataset.size)) for r in readers])


def _claim(folder: Path, plan: TrainingPlan, resume: bool) -> None:
    """Make the run's folder, or check that what is there is of the same plan."""
    document = json.dumps(plan.model_dump(mode="json"), sort_keys=True, indent=1)
    place = folder / PLAN
    if place.exists():
        if not resume:
            raise FileExistsError(f"{folder}: holds a training; name another folder, or go on with --resume.")
        if place.read_text() != document:
            raise ValueError(
                f"{folder}: holds the training of another plan; name another folder, or use its plan."
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder}: holds something else than a training; name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    _write(place, document.encode())


def _save(path: Path, state: dict[str, Any]) -> None:
    """A checkpoint, all or nothing."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        torch.save(state, fresh)
        os.replace(fresh, path)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"{path}: the checkpoint could not be written ({error}); the one before is kept."
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.partial")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def _append(path: Path, row: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
