"""Any estimator from its file."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from strainscope.estimator import ensemble, posterior, regression
from strainscope.estimator.ensemble import Ensemble, ensemble_of, members_of
from strainscope.estimator.posterior import PosteriorEstimator, posterior_from
from strainscope.estimator.regression import RegressionEstimator, regression_from
from strainscope.estimator.weights import load_weights
from strainscope.estimator.window import WindowedEstimator

Single = PosteriorEstimator | WindowedEstimator | RegressionEstimator


def load_estimator(path: Path) -> Single | Ensemble:
    """A trained estimator of any kind; all have `names`, `point` and `about`, those with posteriors `sample`.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: truncated, altered, or of a kind that this version does not know.
    """
    tensors, about = load_weights(path)
    try:
        if about.get("kind") != ensemble.KIND:
            return _single(tensors, about)
        parts = members_of(tensors, about)
        members = [_single(own, its) for own, its in parts]
        return ensemble_of(members, {**members[0].about, "members": [its for _, its in parts]})
    except (KeyError, TypeError, RuntimeError, AssertionError, IndexError) as error:
        reason = textwrap.shorten(str(error), 150, placeholder=" …") or type(error).__name__
        raise ValueError(
            f"{path}: its weights do not fit what it says of them ({reason}); get or train it again."
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _single(tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> Single:
    kind = about.get("kind")
    if kind == regression.KIND:
        return regression_from(tensors, about)
    if kind == posterior.KIND:
        return _posterior(tensors, about)
    known = ", ".join((posterior.KIND, regression.KIND, ensemble.KIND))
    raise ValueError(f"holds an estimator of the kind {kind!r}; this version knows {known}.")


def _posterior(
    tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]
) -> PosteriorEstimator | WindowedEstimator:
    estimator = posterior_from(tensors, about)
    window = about.get("window", 0)
    return WindowedEstimator(estimator, window) if window else estimator
