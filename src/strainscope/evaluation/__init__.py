"""How good an estimator is: frozen test sets, errors, calibration, and a report of them.

Estimators are anything with `names`, `point` and perhaps `sample`; nothing here knows how they work.
"""

from strainscope.evaluation.document import evaluation_document
from strainscope.evaluation.estimates import PointEstimator, Sampling
from strainscope.evaluation.evaluate import Evaluation, evaluate
from strainscope.evaluation.exclusion import excluded
from strainscope.evaluation.lab_set import LAB_SEED, rows_of
from strainscope.evaluation.own_set import OWN_SEED, own_set, set_for
from strainscope.evaluation.report import check_evaluation_target, evaluation_json, write_evaluation
from strainscope.evaluation.test_sets import (
    FrozenTestSet,
    LoadedTestSet,
    bounds_of,
    frozen_set,
    frozen_set_names,
    load_test_set,
    parameters_sha256,
    register,
)

__all__ = [
    "LAB_SEED",
    "OWN_SEED",
    "Evaluation",
    "FrozenTestSet",
    "LoadedTestSet",
    "PointEstimator",
    "Sampling",
    "bounds_of",
    "check_evaluation_target",
    "evaluate",
    "evaluation_document",
    "evaluation_json",
    "excluded",
    "frozen_set",
    "frozen_set_names",
    "load_test_set",
    "own_set",
    "parameters_sha256",
    "register",
    "rows_of",
    "set_for",
    "write_evaluation",
]
