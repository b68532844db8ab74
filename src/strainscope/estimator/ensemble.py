"""Ensembles: networks that differ in their seeds, asked together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from strainscope.estimator.weights import load_weights, save_weights

Floats = NDArray[np.float64]

KIND = "ensemble"


class Member(Protocol):
    """An estimator of an ensemble."""

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""

    def point(self, curves: NDArray[np.floating]) -> Floats:
        """Values (n, parameter) of curves (n, angle)."""


class PosteriorMember(Member, Protocol):
    """One that gives draws, too."""

    def sample(self, curves: NDArray[np.floating], draws: int, seed: int) -> Floats:
        """Posterior samples of curves (n, angle), shape (n, draws, parameter)."""


class Ensemble:
    """The mean of its members' values.

    Bounds and constraints are linear, so the mean obeys them wherever all members do.

    Args:
        members: With the same parameters.
        about: What is known of them; that of the first, and `members` with all.
    """

    def __init__(self, members: Sequence[Member], about: Mapping[str, Any]) -> None:
        self.members, self.about = tuple(members), dict(about)
        if not self.members:
            raise ValueError("members is empty; an ensemble needs at least one.")
        for i, member in enumerate(self.members):
            if member.names != self.names:
                raise ValueError(
                    f"members[{i}] has the parameters {', '.join(member.names)}; the first has "
                    f"{', '.join(self.names)}. Members need the same."
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters, in the order of the columns."""
        return self.members[0].names

    def point(self, curves: NDArray[np.floating]) -> Floats:
        """Mean of the members' values of curves (n, angle), shape (n, parameter)."""
        return np.asarray(np.mean([member.point(curves) for member in self.members], axis=0))


class PosteriorEnsemble(Ensemble):
    """Members in equal shares: the mixture of their posteriors, each with the same weight."""

    def sample(self, curves: NDArray[np.floating], draws: int, seed: int) -> Floats:
        """Draws of the mixture, shape (n, draws, parameter); each member gives as many, but for a remainder."""
        number = len(self.members)
        shares = [draws // number + (i < draws % number) for i in range(number)]
        parts = [
            # Members must not share their random numbers.
            cast(PosteriorMember, member).sample(
                curves, share, int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
            )
            for i, (member, share) in enumerate(zip(self.members, shares, strict=True))
            if share
        ]
        # In random order, so that any part of the draws is a mixture, too.
        order = np.random.default_rng(seed).permutation(draws)
        return np.concatenate(parts, axis=1)[:, order]


def ensemble_of(members: Sequence[Member], about: Mapping[str, Any]) -> Ensemble:
    """The ensemble of some members, with draws if all of them have draws."""
    has_draws = all(callable(getattr(member, "sample", None)) for member in members)
    return PosteriorEnsemble(members, about) if has_draws else Ensemble(members, about)


def save_ensemble(path: Path, members: Sequence[Path]) -> None:
    """Write the weights of some estimators' files into one.

    Raises:
        OSError, ValueError: see `load_weights` and `save_weights`.
    """
    tensors: dict[str, torch.Tensor] = {}
    abouts = []
    for i, member in enumerate(members):
        own, about = load_weights(member)
        tensors |= {f"{i}.{name}": tensor for name, tensor in own.items()}
        abouts.append(about)
    save_weights(path, tensors, {"kind": KIND, "members": abouts})


def members_of(
    tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]
) -> list[tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Weights of each member, and what is said of it."""
    result = []
    for i, own in enumerate(about["members"]):
        start = f"{i}."
        result.append(
            ({n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}, dict(own))
        )
    return result
