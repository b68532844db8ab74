"""Keeping training clear of the frozen test sets."""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from strainscope.dataset.draw import Draws
from strainscope.dataset.plan import Plan
from strainscope.evaluation.rows import SIGNIFICANT_DIGITS, RowSet, Table
from strainscope.evaluation.test_sets import frozen_set, frozen_set_names

Floats = NDArray[np.float64]

_CHUNK = 1 << 18  # samples of a dataset that are drawn together
_SINGLE_DIGITS = 6  # of a float32, without its last one


def excluded(values: Table, names: Sequence[str], *, sets: Sequence[str] | None = None) -> NDArray[np.bool_]:
    """Rows of a table of parameters that coincide with a sample of a frozen set, to be left out of training.

    They are compared to 12 significant digits (6 if float32) in the parameters that both have; a set is passed over
    where neither it nor the table has all the parameters of the other.

    Args:
        values: Parameters, shape (n, p).
        names: Of the columns.
        sets: Names of the sets; by default all.

    Returns:
        True where a row has to go, shape (n,).

    Raises:
        ValueError: a table of another width, or a value that is not finite.
    """
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(
            f"values has shape {values.shape}; it must have one column for each of {', '.join(names)}."
        )
    single = values.dtype == np.float32
    result = np.zeros(len(values), dtype=np.bool_)
    seen = set()
    for name in frozen_set_names() if sets is None else sets:
        frozen = frozen_set(name)
        common = tuple(n for n in names if n in frozen.names)
        what = (frozen.sha256, frozen.names, common)
        if len(common) < min(len(names), len(frozen.names)) or what in seen:
            continue
        seen.add(what)
        columns = [list(names).index(n) for n in common]
        result |= _rows_of(name, common, single).contains(values[:, columns])
    return result


def in_datasets(values: Floats, plans: Sequence[Plan], *, drawn_by: Draws | None = None) -> NDArray[np.bool_]:
    """Rows drawn for plans on a grid that one of their datasets holds, shape (n,); continuous values never coincide.

    Args:
        values: Parameters, shape (n, p).
        plans: Of the datasets.
        drawn_by: What drew the rows behind its own dataset, where they do not come again.
    """
    result = np.zeros(len(values), dtype=np.bool_)
    datasets = [plan for plan in plans if plan.on_grid] if plans[0].on_grid else []
    rows = RowSet(values)
    for plan in datasets:
        if plan.draws is drawn_by:
            continue
        for first in range(0, plan.size, _CHUNK):
            theirs = plan.draws.values(first, min(first + _CHUNK, plan.size))
            common = theirs[rows.contains(theirs)]
            if len(common):
                result |= RowSet(common).contains(values)
    return result


@cache
def _rows_of(name: str, common: tuple[str, ...], single: bool) -> RowSet:
    frozen = frozen_set(name)
    # Training may draw the same samples and not round them.
    both = np.concatenate([frozen.parameters(), frozen.draw()])
    chosen = both[:, [frozen.names.index(n) for n in common]]
    if single:
        return RowSet(chosen.astype(np.float32), digits=_SINGLE_DIGITS)
    return RowSet(chosen, digits=SIGNIFICANT_DIGITS)
