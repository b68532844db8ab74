"""A training plan with what it leaves to the model filled in: the network's own optimiser, batch and rates."""

from strainscope.estimator.losses import RECIPES
from strainscope.estimator.plan import TrainingPlan

_POSTERIOR = {
    "batch": 512,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "average": 0.999,
    "clip": 1.0,
}
_WARM_UP = 50_000


class FullPlan(TrainingPlan):
    """A training plan that leaves nothing open; `clip` None means that gradients are not clipped."""

    batch: int
    learning_rate: float
    weight_decay: float
    warm_up: int
    average: float


def full_plan(plan: TrainingPlan) -> FullPlan:
    """The plan with the model's own values where it gives none; the same again for a full plan."""
    if isinstance(plan, FullPlan):
        return plan
    if plan.model == "posterior":
        own = _POSTERIOR | {"warm_up": min(_WARM_UP, plan.samples // 10)}
    else:
        recipe = RECIPES[plan.model]
        own = {
            "batch": plan.batch or recipe.batch_for(sum(data.size for data in plan.plans)),
            "learning_rate": recipe.learning_rate,
            "weight_decay": recipe.weight_decay,
            # The published networks were trained without these.
            "warm_up": 0,
            "average": 0.0,
        }
    given = {key: value for key, value in plan.model_dump(mode="json").items() if value is not None}
    return FullPlan.model_validate(own | given)
