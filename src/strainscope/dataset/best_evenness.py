"""How even a grid's parameters can be at all under the constraints: two small convex problems, solved to a bound."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from strainscope.dataset.grid import Component, GridSpace

Floats = NDArray[np.float64]

# Beyond so many combinations of parameters that constraints tie together, the problems take too long.
LARGEST_PROBLEM = 20_000
# The second problem is solved until chi² per sample is known to this.
_GAP = 1e-6
_MOST_STEPS = 20_000


@dataclass(frozen=True, kw_only=True, eq=False)
class BestEvenness:
    """The smallest sum of chi² over all parameters that samples on a grid can have.

    Attributes:
        repeated: chi² of each parameter where combinations may come any number of times.
        once: The same where every combination comes at most once; None where the size exceeds their number.
        support: Combinations that the first solution uses, and how many there are, for each group of parameters that
            constraints tie together.
    """

    repeated: Mapping[str, float]
    once: Mapping[str, float] | None
    support: Mapping[tuple[str, ...], tuple[int, int]]


def best_evenness(space: GridSpace, size: int) -> BestEvenness | None:
    """The most even samples of a size that a grid and its constraints allow, up to rounding to whole samples.

    With the share m_j of combination j, both problems minimise over all m ≥ 0 with Σ m = 1

    .. math:: χ²/N = Σ_p k_p Σ_v (m_{pv} - 1/k_p)²

    where m_pv is the share of value v of parameter p and k_p their number; groups of parameters that no constraint
    ties together are independent. Without repeats, m_j is at most the number of combinations that contain j over N.

    Args:
        space: Valid combinations.
        size: Number of samples N.

    Returns:
        Both optima; None where a group of parameters has more than `LARGEST_PROBLEM` combinations.
    """
    if any(len(part.rows) > LARGEST_PROBLEM for part in space.components):
        return None
    repeated: dict[str, float] = {}
    once: dict[str, float] = {}
    support = {}
    for part in space.components:
        names = tuple(axis.name for axis in part.axes)
        matrix, goal = _marginals(part)
        free = _evenest(matrix, goal)
        repeated |= _chi2(part, matrix @ free - goal, size)
        support[names] = (int((free > 1e-9).sum()), len(free))
        if size <= space.count:
            limit = space.count / len(part.rows) / size
            fits = free.max() <= limit
            bounded = free if fits else _evenest_below(matrix, goal, limit)
            once |= _chi2(part, matrix @ bounded - goal, size)
    return BestEvenness(repeated=repeated, once=once if size <= space.count else None, support=support)


def _marginals(part: Component) -> tuple[Floats, Floats]:
    """Matrix and vector such that |matrix @ m - goal|² is chi² per sample."""
    blocks, goal = [], []
    for column, axis in enumerate(part.axes):
        k = len(axis)
        blocks.append(np.sqrt(k) * (part.rows[:, column] == np.arange(k)[:, None]))
        goal.append(np.full(k, 1 / np.sqrt(k)))
    return np.vstack(blocks), np.concatenate(goal)


def _chi2(part: Component, residual: Floats, size: int) -> dict[str, float]:
    ends = np.cumsum([len(axis) for axis in part.axes])[:-1]
    pieces = np.split(residual, ends)
    return {axis.name: float(size * (r @ r)) for axis, r in zip(part.axes, pieces, strict=True)}


def _evenest(matrix: Floats, goal: Floats) -> Floats:
    """Shares (combination,) that minimise |matrix @ m - goal|², m ≥ 0, Σ m = 1."""
    # As Σ m = 1, the residual is (matrix - goal) m: its smallest norm over the simplex is that over the cone with one
    # more row that asks for Σ m = 1, up to a factor that normalising removes.
    rows = np.vstack([matrix - goal[:, None], np.ones(matrix.shape[1])])
    shares, _ = nnls(rows, np.append(np.zeros(len(goal)), 1.0))
    return np.asarray(shares / shares.sum(), dtype=np.float64)


def _evenest_below(matrix: Floats, goal: Floats, limit: float) -> Floats:
    """The same with no share above a limit, by accelerated projected gradients until the duality gap is small.

    References:
        Beck & Teboulle, SIAM J. Imaging Sci. 2 (2009) 183, doi:10.1137/080716542;
        O'Donoghue & Candès, Found. Comput. Math. 15 (2015) 715, doi:10.1007/s10208-013-9150-3 (restart).
    """
    n = matrix.shape[1]
    step = 1 / np.linalg.norm(matrix, 2) ** 2
    shares = ahead = np.full(n, 1 / n)
    momentum = 1.0
    for turn in range(_MOST_STEPS):
        gradient = matrix.T @ (matrix @ ahead - goal)
        fresh = _onto_capped_simplex(ahead - step * gradient, limit)
        if (ahead - fresh) @ (fresh - shares) > 0:
            momentum = 1.0
        following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
        ahead = fresh + (momentum - 1) / following * (fresh - shares)
        shares, momentum = fresh, following
        if turn % 50 == 49 and _gap(matrix, goal, shares, limit) < _GAP:
            break
    return shares


def _gap(matrix: Floats, goal: Floats, shares: Floats, limit: float) -> float:
    """By how much |matrix @ m - goal|² can lie above its minimum at most."""
    gradient = 2 * matrix.T @ (matrix @ shares - goal)
    full = int(1 / limit)
    order = np.sort(gradient)
    rest = order[full] * (1 - full * limit) if full < len(order) else 0.0
    return float(gradient @ shares - limit * order[:full].sum() - rest)


def _onto_capped_simplex(point: Floats, limit: float) -> Floats:
    """The nearest point with 0 ≤ m ≤ limit and Σ m = 1."""
    low, high = point.min() - limit, point.max()
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.clip(point - middle, 0, limit).sum() > 1:
            low = middle
        else:
            high = middle
    result: Floats = np.clip(point - 0.5 * (low + high), 0, limit)
    return result
