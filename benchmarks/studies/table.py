"""The studies: what each asks, what it trains, and what was expected of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

BALANCED, RANDOM = "balanced-1m", "random-1m"
RANDOM_FINE = str(Path(__file__).with_name("random-fine.yaml"))
MEAN, WEIGHTED_MEAN = "mean", "weighted mean"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is trained on a budget.

    Attributes:
        label: In tables and figures.
        changes: Keys of the training plan that differ from the defaults.
        data: Name, or file, of the dataset plan.
        dl: Thickness [Å] of the sublayers that the training curves are made with; None for converged curves.
        members: Networks, of which the mean is taken.
        share: Of the budget, for each of them.
        seed: Of the first, added to that of the study.
        estimate: The estimator's own, or what its point network gives.
    """

    label: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    data: str = BALANCED
    dl: int | None = None
    members: int = 1
    share: float = 1.0
    seed: int = 0
    estimate: Literal["own", "point network"] = "own"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """That one variant does better than another.

    Attributes:
        said: The expectation, in words.
        better, worse: Keys of the variants.
        by: A parameter, or one of the means over them.
    """

    said: str
    better: str
    worse: str
    by: str = MEAN


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question, what is trained to answer it, and what was expected.

    Attributes:
        title: Of its page.
        question: What is asked.
        variants: By their keys.
        expectations: Whose outcome the page states.
        remarks: What a reader has to know to read the figures rightly.
        by_weight: Whether the table shows the weighted mean, too.
    """

    title: str
    question: str
    variants: Mapping[str, Variant]
    expectations: tuple[Expectation, ...]
    remarks: tuple[str, ...] = ()
    by_weight: bool = False


_BALANCE = Study(
    title="Balanced against not balanced",
    question="Does a training set with as many curves of each value of L2 teach more than one drawn at random?",
    variants={
        "balanced": Variant(label="balanced"),
        "random": Variant(label="not balanced", data=RANDOM),
        "random-fine": Variant(label="not balanced, grid of the balanced", data=RANDOM_FINE),
    },
    expectations=(
        Expectation(
            said="the predecessor expected the balanced set to win, most of all in L2",
            better="balanced",
            worse="random",
            by="L2",
        ),
        Expectation(said="and in its weighted sum", better="balanced", worse="random", by=WEIGHTED_MEAN),
        Expectation(
            said="if balance itself helps, it does so on the same grid",
            better="balanced",
            worse="random-fine",
            by="L2",
        ),
    ),
    remarks=(
        "The set that is not balanced has a coarser grid: half of the test set's values of L2 and Rp2 never occur "
        "in it, and L2 ends at 4,500 Å. The third row has the grid of the balanced set, drawn at random.",
    ),
    by_weight=True,
)

_WINDOW = Study(
    title="Window: start 50, start 10, full curve",
    question="What is lost with the points at the large-angle end that the predecessor left out?",
    variants={
        "start-50": Variant(label="start 50 (651 points)", changes={"window": 50}),
        "start-10": Variant(label="start 10 (691 points)", changes={"window": 10}),
        "full": Variant(label="full curve (701 points)"),
    },
    expectations=(
        Expectation(said="the predecessor recommends the full curve", better="full", worse="start-50"),
        Expectation(said="and a start at 10 over one at 50", better="start-10", worse="start-50"),
    ),
    remarks=("Each network gets the test curves with the points left out that it never saw in training.",),
)

_ALIASING = Study(
    title="Aliasing training curves against converged ones",
    question="What does an estimator make of right curves if its training curves came from sublayers of 400 or 100 Å?",
    variants={
        "converged": Variant(label="converged"),
        "dl100": Variant(label="sublayers of 100 Å", dl=100),
        "dl400": Variant(label="sublayers of 400 Å", dl=400),
    },
    expectations=(
        Expectation(
            said="sublayers above 80 Å alias, so converged curves should teach more than those of 100 Å",
            better="converged",
            worse="dl100",
        ),
        Expectation(said="and than those of 400 Å", better="converged", worse="dl400"),
        Expectation(
            said="the predecessor went from 400 to 100 Å for better curves", better="dl100", worse="dl400"
        ),
    ),
    remarks=(
        "All three have the same parameters in the same order and are tested on the same converged curves. The "
        "aliasing curves take the strain at the middle of each sublayer; resolution and angles are those of the "
        "converged ones.",
    ),
)

_CURRICULUM = Study(
    title="Curriculum: low strain first",
    question="Does it help to show curves of low strain first?",
    variants={
        "off": Variant(label="all curves from the start"),
        "on": Variant(label="low strain first", changes={"curriculum": {}}),
    },
    expectations=(Expectation(said="the predecessor recommends a curriculum", better="on", worse="off"),),
)

_ENSEMBLE = Study(
    title="One network against an ensemble",
    question="Is a budget better spent on one network, or on three whose values are averaged?",
    variants={
        "one": Variant(label="one network"),
        "one-seed-1": Variant(label="the same, another seed", seed=1),
        "one-seed-2": Variant(label="the same, a third seed", seed=2),
        "three-thirds": Variant(label="three, a third of the budget each", members=3, share=1 / 3),
        "three-whole": Variant(label="three, the whole budget each (three times the budget)", members=3),
    },
    expectations=(
        Expectation(
            said="the predecessor recommends ensembles; at equal cost", better="three-thirds", worse="one"
        ),
        Expectation(said="at three times the cost", better="three-whole", worse="one"),
    ),
    remarks=(
        "The three single networks also show how much figures of all these studies vary with the seed.",
    ),
)

_WEIGHTED = Study(
    title="Weighted against plain loss",
    question="What does it do to weight the parameters of the loss by the errors of v2?",
    variants={
        "plain": Variant(label="posterior median, plain loss"),
        "weighted": Variant(label="posterior median, weighted loss", changes={"loss": "weighted"}),
        "plain-point": Variant(label="point network, plain loss", estimate="point network"),
        "weighted-point": Variant(
            label="point network, weighted loss", changes={"loss": "weighted"}, estimate="point network"
        ),
    },
    expectations=(
        Expectation(
            said="the predecessor recommends weights; by the weighted mean of the point network",
            better="weighted-point",
            worse="plain-point",
            by=WEIGHTED_MEAN,
        ),
        Expectation(said="of the posterior median", better="weighted", worse="plain", by=WEIGHTED_MEAN),
        Expectation(
            said="in Rp2, which has most weight", better="weighted-point", worse="plain-point", by="Rp2"
        ),
    ),
    remarks=(
        "The weights enter the loss of the point network alone, which teaches the embedding that the posterior "
        "shares; the density has no weights.",
    ),
    by_weight=True,
)

_MODELS = Study(
    title="The published networks and ours at equal time",
    question="How far does each network come in the same time?",
    variants={
        "v1": Variant(label="v1", changes={"model": "v1"}),
        "v2": Variant(label="v2", changes={"model": "v2"}),
        "v3": Variant(label="v3", changes={"model": "v3"}),
        "cnn2023": Variant(label="CNN 2023", changes={"model": "cnn2023"}),
        "posterior": Variant(label="ours, posterior median"),
        "point": Variant(label="ours, point network", estimate="point network"),
    },
    expectations=(
        Expectation(
            said="the predecessor expected v3 to beat v2, above all in L2", better="v3", worse="v2", by="L2"
        ),
        Expectation(said="and in Rp2", better="v3", worse="v2", by="Rp2"),
        *(
            Expectation(said=f"ours should beat {name}", better="posterior", worse=key)
            for key, name in (("v1", "v1"), ("v2", "v2"), ("v3", "v3"), ("cnn2023", "the CNN of 2023"))
        ),
    ),
    remarks=(
        "The published networks are trained with their own losses, optimisers and batches. Their learning rates fall "
        "when the validation loss stands still for some epochs; where the budget ends before that many they would "
        "never fall, so there they fall as half a cosine, as ours do (column schedule).",
        "A small budget says which network learns most in a short time, not where each ends: v2 and v3 were trained "
        "for a day.",
    ),
)

_SIZE = Study(
    title="Size of the network at equal time",
    question="In the same time a small network sees more curves than a large one: which learns more?",
    variants={
        "default": Variant(label="width 384, 4 blocks of 1024 (the default)"),
        "narrow": Variant(label="width 192, 4 blocks of 1024", changes={"network": {"width": 192}}),
        "wide": Variant(label="width 1024, 4 blocks of 1024", changes={"network": {"width": 1024}}),
        "shallow": Variant(label="width 384, 2 blocks of 1024", changes={"network": {"blocks": 2}}),
        "deep": Variant(label="width 384, 8 blocks of 1024", changes={"network": {"blocks": 8}}),
    },
    expectations=(
        Expectation(said="the default was chosen before a wider one", better="default", worse="wide"),
        Expectation(said="and before a narrower one", better="default", worse="narrow"),
        Expectation(said="before a shallower one", better="default", worse="shallow"),
        Expectation(said="and a deeper one", better="default", worse="deep"),
    ),
    remarks=("A small budget says which size learns most in a short time, not where each ends.",),
)

STUDIES: Mapping[str, Study] = {
    "balance": _BALANCE,
    "window": _WINDOW,
    "aliasing": _ALIASING,
    "curriculum": _CURRICULUM,
    "ensemble": _ENSEMBLE,
    "weighted": _WEIGHTED,
    "models": _MODELS,
    "size": _SIZE,
}
