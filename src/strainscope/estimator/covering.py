"""Which of the estimators that ship serve a sample: told from what their files say, without loading PyTorch."""

import json
from typing import Any

from safetensors import safe_open

from strainscope.estimator.coordinates import coordinates_from
from strainscope.estimator.proposal import check_serves
from strainscope.estimator.shipped import ABOUT_KEY, estimator_path, shipped_estimators
from strainscope.sample import Sample


def covering_estimators(sample: Sample) -> tuple[str, ...]:
    """Names of the estimators that ship and propose profiles for scans of a sample."""
    return tuple(name for name in shipped_estimators() if _serves(name, sample))


def _serves(name: str, sample: Sample) -> bool:
    with safe_open(estimator_path(name), framework="np") as file:
        about: dict[str, Any] = json.loads(file.metadata()[ABOUT_KEY])
    try:
        check_serves(name, about, coordinates_from(about["coordinates"]), sample)
    except ValueError:
        return False
    return True
