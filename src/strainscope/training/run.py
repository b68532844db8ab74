"""A training in memory: network, optimiser, average of the weights, and counters; one step, one look, one state."""

import copy
import math
import time
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from strainscope.training.data import Curriculum, Floats
from strainscope.training.settings import FullPlan
from strainscope.training.source import Source
from strainscope.training.task import VALIDATION_LOSS, Objective, Savable, Task
from strainscope.training.team import first_said, from_first, summed

_SHOWN_LOSSES = 400
_FORMAT = 3


class Run:
    """Network, optimiser, averages and counters of a training.

    Args:
        plan: What to train.
        task: How.
        network: With fresh weights.
        source: Of rows and values; its data are made.
        fabric: Device, precision, and the other processes where there are any.

    Attributes:
        has_checkpoint: Whether a state of it was written, or it goes on from one.
    """

    def __init__(
        self,
        plan: FullPlan,
        task: Task,
        network: nn.Module,
        source: Source,
        fabric: Fabric,
    ) -> None:
        self.plan, self.task, self.fabric = plan, task, fabric
        task.prepare(network, source.examples())
        optimiser = task.optimiser(network, fabric.device)
        self.schedule = task.schedule(optimiser)
        self.objective, self.optimiser = fabric.setup(Objective(network, task.loss), optimiser)
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        curriculum = Curriculum(plan, task.names)
        self.stream = source.batches(
            lambda values: curriculum.admits(values, self.share()),
            device=fabric.device,
            rank=fabric.global_rank,
            size=fabric.world_size,
        )
        self._curves, self._values = source.held_out()
        self.seen, self.steps, self.epochs = 0, 0, 0
        self.seconds, self.core_seconds = 0.0, 0.0
        self.next_validation = plan.validate_every
        self.best, self.waited = math.inf, 0
        self.best_look: dict[str, Any] | None = None
        self.figures: dict[str, float] = {}
        self._losses: list[float] = []
        self._stream_state = self.stream.state()
        self.has_checkpoint = False
        self.pause_over()
        self._rate_from = (0, 0.0)

    def share(self) -> float:
        """Share of the training that is done: of its curves or of its time, whichever is more."""
        plan = self.plan
        spent = 0.0 if plan.minutes is None else self.seconds / (60 * plan.minutes)
        return max(self.seen / plan.samples, spent)

    def total(self) -> int:
        """Curves of the whole training: the plan's, or where time ends it sooner, what they are going to be."""
        return max(self.seen, round(self.seen / self.share())) if self.seen else self.plan.samples

    def step(self, curves: NDArray[np.float32] | torch.Tensor, values: Floats | torch.Tensor) -> None:
        """One step of the optimiser.

        Raises:
            ValueError: a curve, the loss or its gradient is no number; the weights are as before.
        """
        device = self.fabric.device
        own = torch.as_tensor(curves, device=device)
        broken = ~torch.isfinite(own).all(dim=1)
        seen, trouble = summed(self.fabric, len(values), float(broken.any()))
        if trouble:
            found = ("a curve holds what is no number", int(broken.int().argmax())) if broken.any() else None
            self._stop(found, values)
        self.schedule.before_step(share=self.share(), seen=self.seen)
        target = self.task.target(values).to(device)
        loss, shown = self.objective(own, target)
        norm = self._gradient(loss)
        minimised, watched = summed(self.fabric, loss.item(), shown.item())
        if not (math.isfinite(minimised) and math.isfinite(norm)):
            self._stop(self._steepest(own, target, loss.item()), values)
        self.optimiser.step()
        self._average_in()
        self._losses = [*self._losses[1 - _SHOWN_LOSSES :], watched / self.fabric.world_size]
        self.seen += round(seen)
        self.steps += 1
        # What is read ahead of the next step does not belong to this one.
        self._stream_state = self.stream.state()
        self._count_time()

    def _gradient(self, loss: torch.Tensor) -> float:
        """Fill in the gradient, clipped where the plan says so; its length before that."""
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.objective,
            self.optimiser,
            max_norm=math.inf if self.plan.clip is None else self.plan.clip,
            error_if_nonfinite=False,
        )
        assert norm is not None
        return norm.item()

    def _stop(self, found: tuple[str, int] | None, values: Floats | torch.Tensor) -> NoReturn:
        """Say what is no number, and from which sample; None in a process that does not have the sample."""
        words = None
        if found is not None:
            what, worst = found
            named = zip(self.task.names, values[worst], strict=True)
            words = (
                f"{what} at step {self.steps}, from the sample {', '.join(f'{n} = {v:g}' for n, v in named)}"
            )
        words = first_said(self.fabric, words)
        kept = "the last checkpoint is kept" if self.has_checkpoint else "there is no checkpoint yet"
        raise ValueError(
            f"{words or f'the gradient is no number at step {self.steps}'}; {kept}. "
            "Look at that sample, or lower learning_rate and begin anew."
        )

    def _steepest(self, curves: torch.Tensor, target: torch.Tensor, loss: float) -> tuple[str, int] | None:
        """What is no number, and which curve of a batch has it by itself, or the worst; None if it is all well."""
        if not math.isfinite(loss):
            return f"the loss is {loss}", self.task.worst(self.network, curves, target)
        # A copy: what the other processes do must not matter.
        objective = Objective(copy.deepcopy(self.network), self.task.loss)
        weights = list(objective.parameters())

        def length(part: torch.Tensor) -> float:
            with self.fabric.autocast():
                loss = objective(curves[part], target[part])[0]
            slopes = torch.autograd.grad(loss, weights, allow_unused=True)
            return float(nn.utils.get_total_norm([slope for slope in slopes if slope is not None]))

        left = torch.arange(len(curves))
        norm = length(left)
        if math.isfinite(norm):
            return None
        objective.eval()  # normalisation over the batch would mix its curves
        while len(left) > 1:
            broken = [half for half in left.tensor_split(2) if not math.isfinite(length(half))]
            if not broken:
                return f"the gradient's length is {norm}", self.task.worst(self.network, curves, target)
            left = broken[0]
        return f"the gradient's length is {norm}", int(left)

    def _average_in(self) -> None:
        """Exponential average of the weights; the first steps count little by little."""
        decay = min(self.plan.average, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, own in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(own, 1 - decay)
            for kept, last in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(last)

    def _count_time(self) -> None:
        seconds, core_seconds = self._since
        self.pause_over()
        mine = self._since[0] - seconds if self.fabric.is_global_zero else 0.0
        passed, used = summed(self.fabric, mine, self._since[1] - core_seconds)
        self.seconds += passed
        self.core_seconds += used

    def pause_over(self) -> None:
        """What passed since the last step is not training: a look, a checkpoint, or the beginning."""
        self._since = time.perf_counter(), time.process_time()

    def must_validate(self) -> bool:
        """Whether a look is due: by the plan, at the end, or after an epoch that the schedule asks for."""
        return self.seen >= self.next_validation or self.share() >= 1 or self._epoch_is_over()

    def _epoch_is_over(self) -> bool:
        return self.schedule.each_epoch and self.seen // self.stream.epoch_size > self.epochs

    def validate(self) -> dict[str, float]:
        """Figures of the averaged network on held-out curves; the schedule and early stopping look at them."""
        self.next_validation = self.seen + self.plan.validate_every
        self.average.eval()
        self.figures = from_first(
            self.fabric,
            lambda: self.task.figures(self.average, self._curves, self._values, self.fabric.device),
        )
        loss = self.figures[VALIDATION_LOSS]
        if self._epoch_is_over():
            self.schedule.after_epoch(loss)
            self.epochs = self.seen // self.stream.epoch_size
        if loss < self.best and self.plan.patience is not None:
            weights = {name: tensor.clone() for name, tensor in self.average.state_dict().items()}
            self.best_look = {"average": weights, "figures": dict(self.figures)}
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        return self.figures

    def recent_loss(self) -> float:
        """Mean of the last stretch's losses."""
        return float(np.mean(self._losses)) if self._losses else math.nan

    def learning_rate(self) -> float:
        """Of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def curves_per_second(self) -> float:
        """Since this was last asked."""
        (seen, seconds), self._rate_from = self._rate_from, (self.seen, self.seconds)
        return (self.seen - seen) / (self.seconds - seconds) if self.seconds > seconds else math.nan

    def is_over(self) -> bool:
        """Whether all curves are seen, time is up, or patience is over."""
        patience = self.plan.patience
        return self.share() >= 1 or (patience is not None and self.waited >= patience)

    def estimator(self, about: Mapping[str, Any]) -> Savable:
        """The averaged network as an estimator, with patience that of the best look; `about` is known besides."""
        average, figures = copy.deepcopy(self.average), self.figures
        if self.best_look is not None:
            average.load_state_dict(self.best_look["average"])
            figures = self.best_look["figures"]
        known = {
            "seen": self.seen,
            "training_seconds": round(self.seconds, 3),
            "core_seconds": round(self.core_seconds, 3),
            "validation": figures,
        }
        return self.task.estimator(average, {**about, **known})

    def state(self) -> dict[str, Any]:
        """All that a training needs to go on after its last step."""
        return {
            "format": _FORMAT,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimiser.state_dict(),
            "schedule": self.schedule.state(),
            "stream": self._stream_state,
            "seen": self.seen,
            "steps": self.steps,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "core_seconds": self.core_seconds,
            "next_validation": self.next_validation,
            "best": self.best,
            "waited": self.waited,
            "best_look": self.best_look,
            "figures": dict(self.figures),
            "losses": list(self._losses),
            "random": torch.get_rng_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state.

        Raises:
            ValueError: it is of another version.
        """
        if state.get("format") != _FORMAT:
            raise ValueError(
                f"the checkpoint's format is {state.get('format')}; this version reads {_FORMAT}. "
                "Begin anew in another folder, or go on with the version that wrote it."
            )
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimizer"])
        self.schedule.restore(state["schedule"])
        self.stream.restore(state["stream"])
        self._stream_state, self.has_checkpoint = state["stream"], True
        self.seen, self.steps, self.epochs = state["seen"], state["steps"], state["epochs"]
        self.seconds, self.core_seconds = state["seconds"], state["core_seconds"]
        self.next_validation = state["next_validation"]
        self.best, self.waited = state["best"], state["waited"]
        # Earlier checkpoints have none.
        self.best_look = state.get("best_look")
        self.figures, self._losses = dict(state["figures"]), list(state["losses"])
        self._rate_from = (self.seen, self.seconds)
        torch.set_rng_state(state["random"].cpu())
