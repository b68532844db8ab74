"""Training of estimators: the loop, what it reads, what it writes, and what can be trained."""

from strainscope.estimator.shipped import WEIGHTS
from strainscope.training.board import BOARD
from strainscope.training.checkpoint import CHECKPOINT, LOG, PLAN
from strainscope.training.loop import Progress, train
from strainscope.training.on_nodes import train_on_nodes
from strainscope.training.space import load_space
from strainscope.training.study import Study
from strainscope.training.sweep import Sweep, run_sweep
from strainscope.training.sweep_on_nodes import sweep_on_nodes

__all__ = [
    "BOARD",
    "CHECKPOINT",
    "LOG",
    "PLAN",
    "WEIGHTS",
    "Progress",
    "Study",
    "Sweep",
    "load_space",
    "run_sweep",
    "sweep_on_nodes",
    "train",
    "train_on_nodes",
]
