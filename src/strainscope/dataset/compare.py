"""Two datasets side by side: which covers its parameters more evenly, by which criterion, and better for what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.stats import chi2 as chi2_distribution

from strainscope.dataset.caveats import caveats
from strainscope.dataset.evenness import Evenness, ParameterEvenness
from strainscope.dataset.judgement import UNLIKELY
from strainscope.dataset.published import V2_ERRORS
from strainscope.sample.messages import hint

Side = Literal["first", "second"]

# Differences below so many standard deviations are called chance.
CLEAR = 3.0
_PERCENT = 100.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One parameter in both datasets.

    Attributes:
        first, second: Its evenness in each.
        improvement: 100 (a - b)/a of their chi² per sample [%]; None where the first is as even as chance allows.
        improvement_sd: Its standard deviation by chance [%]; None where there is no improvement.
        better: The dataset with the lower chi² per sample; None where chance may explain the difference.
    """

    first: ParameterEvenness
    second: ParameterEvenness
    improvement: float | None
    improvement_sd: float | None
    better: Side | None

    @property
    def name(self) -> str:
        """The parameter."""
        return self.first.name


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One line of the verdict.

    Attributes:
        name: What is compared, and which way is better.
        first, second: The figures; None where the criterion is one figure of both, which is then the second.
        winner: None where they are equal or chance may explain the difference.
    """

    name: str
    first: float | None
    second: float
    winner: Side | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two datasets compared.

    Attributes:
        first, second: The datasets; improvements are from first to second.
        rows: One a parameter.
        mean_improvement: Of the mean chi² per sample [%]; None where the first is 0.
        weights: Of the parameters' improvements in the weighted one.
        weighted_improvement: Σ improvement [%] × weight over `weighted_names`; None where none has an improvement.
        weighted_sd: Its standard deviation by chance.
        weighted_names: Parameters in that sum.
        criteria: One vote each.
        winner: By the majority of the votes; None where they are even.
        better_for: For what each is better, one sentence each.
        caveats: What the figures do not say, one paragraph each.
    """

    first: Evenness
    second: Evenness
    rows: tuple[Row, ...]
    mean_improvement: float | None
    weights: Mapping[str, float]
    weighted_improvement: float | None
    weighted_sd: float
    weighted_names: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    winner: Side | None
    better_for: tuple[str, ...]
    caveats: tuple[str, ...]

    def name_of(self, side: Side | None) -> str:
        """The dataset's name; "neither" for None."""
        return "neither" if side is None else self.first.name if side == "first" else self.second.name

    def votes(self, side: Side) -> int:
        """Criteria that a dataset wins."""
        return sum(c.winner == side for c in self.criteria)


def compare(
    first: Evenness,
    second: Evenness,
    *,
    weights: Mapping[str, float] | None = None,
    weighted_names: Sequence[str] | None = None,
) -> Comparison:
    """Compare two datasets of the same parameters; grids and sizes may differ.

    Args:
        first: What the improvement starts from.
        second: What it leads to.
        weights: Of each parameter's improvement; `V2_ERRORS` if not given, or 1 each where none of these fits.
        weighted_names: Parameters in the weighted improvement; all that have a weight and an improvement if not given.
            An earlier report took L2, L1 and Rp1 alone.

    Raises:
        ValueError: different parameters, or weights of parameters that do not exist.
    """
    if set(first.names) != set(second.names):
        raise ValueError(
            f"{first.name} has the parameters {', '.join(first.names)}, {second.name} has {', '.join(second.names)}; "
            "only datasets of the same parameters can be compared."
        )
    weights = _checked_weights(first.names, weights, weighted_names)
    others = {p.name: p for p in second.parameters}
    rows = tuple(_row(p, others[p.name]) for p in first.parameters)
    counted = [
        row
        for row in rows
        if row.improvement is not None
        and row.name in weights
        and (weighted_names is None or row.name in weighted_names)
    ]
    weighted = sum(weights[row.name] * (row.improvement or 0.0) for row in counted) if counted else None
    weighted_sd = math.hypot(*(weights[row.name] * (row.improvement_sd or 0.0) for row in counted))
    means = [e.mean_chi2 / e.size for e in (first, second)]
    criteria = _criteria(first, second, rows, weighted, weighted_sd)
    ahead = sum((c.winner == "second") - (c.winner == "first") for c in criteria)
    winner: Side | None = "second" if ahead > 0 else "first" if ahead < 0 else None
    return Comparison(
        first=first,
        second=second,
        rows=rows,
        mean_improvement=_PERCENT * (means[0] - means[1]) / means[0] if means[0] > 0 else None,
        weights=weights,
        weighted_improvement=weighted,
        weighted_sd=weighted_sd,
        weighted_names=tuple(row.name for row in counted),
        criteria=criteria,
        winner=winner,
        better_for=_better_for(first, second, rows, criteria),
        caveats=caveats(first, second),
    )


def _checked_weights(
    names: Sequence[str], weights: Mapping[str, float] | None, weighted_names: Sequence[str] | None
) -> Mapping[str, float]:
    for name in (*(weights or ()), *(weighted_names or ())):
        if name not in names:
            raise ValueError(f"weight of {name}: no such parameter{hint(name, names)}.")
    for name, weight in (weights or {}).items():
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight of {name} = {weight:g}; it must be a number >= 0.")
    if weights is not None:
        return dict(weights)
    known = {name: V2_ERRORS[name] for name in names if name in V2_ERRORS}
    return known or dict.fromkeys(names, 1.0)


def even_by_chance(parameter: ParameterEvenness) -> bool:
    """Whether an even draw can be as uneven: chi² with k - 1 degrees of freedom is not unlikely to exceed this."""
    return float(chi2_distribution.sf(parameter.chi2, max(len(parameter.counts) - 1, 1))) >= UNLIKELY


def _row(first: ParameterEvenness, second: ParameterEvenness) -> Row:
    (a, sd_a), (b, sd_b) = ((p.chi2 / p.size, p.chi2_sd / p.size) for p in (first, second))
    improvement = sd = None
    if not even_by_chance(first):
        improvement = _PERCENT * (a - b) / a
        sd = _PERCENT * math.hypot(sd_b, b / a * sd_a) / a
    same = (even_by_chance(first) and even_by_chance(second)) or abs(a - b) <= CLEAR * math.hypot(sd_a, sd_b)
    better: Side | None = None if same else "first" if a < b else "second"
    return Row(first=first, second=second, improvement=improvement, improvement_sd=sd, better=better)


def _lower(name: str, first: float | None, second: float, *, noise: float = 0.0) -> Criterion:
    """A criterion of which less is better, unless the difference is within the noise; below 0, if first is None."""
    reference = 0.0 if first is None else first
    # Figures that should be equal may differ by rounding.
    same = reference == second or math.isclose(reference, second, rel_tol=1e-12, abs_tol=noise)
    winner: Side | None = None if same else "second" if second < reference else "first"
    return Criterion(name=name, first=first, second=second, winner=winner)


def _higher(name: str, first: float | None, second: float, *, noise: float = 0.0) -> Criterion:
    negative = _lower(name, None if first is None else -first, -second, noise=noise)
    return Criterion(name=name, first=first, second=second, winner=negative.winner)


def _criteria(
    first: Evenness, second: Evenness, rows: Sequence[Row], weighted: float | None, weighted_sd: float
) -> tuple[Criterion, ...]:
    both = (first, second)
    equal_size = first.size == second.size
    scale = [1.0 if equal_size else 1 / e.size for e in both]
    means = [e.mean_chi2 * s for e, s in zip(both, scale, strict=True)]
    sds = [
        s * math.hypot(*(p.chi2_sd for p in e.parameters)) / len(rows)
        for e, s in zip(both, scale, strict=True)
    ]
    what = "mean χ² (less)" if equal_size else "mean χ² per sample (less)"
    found = [_lower(what, means[0], means[1], noise=CLEAR * math.hypot(*sds))]
    if weighted is not None:
        found.append(
            _higher("weighted improvement (above 0)", None, weighted, noise=CLEAR * weighted_sd),
        )
    better = [float(sum(row.better == side for row in rows)) for side in ("first", "second")]
    unexplained = [float(sum(p.judgement.word == "bias" for p in e.parameters)) for e in both]
    values = [float(sum(p.unique for p in e.parameters)) for e in both]
    judged = all(p.judgement.word != "unknown" for e in both for p in e.parameters)
    found += [
        _higher("parameters that are clearly more even (more)", *better),
        _worst_bias(first, second),
        _higher("pair coverage, mean (more)", first.coverage, second.coverage),
        # Where one plan has no expectation, its bias may be there unseen.
        _lower("parameters with unexplained bias (less)", *unexplained, noise=0.0 if judged else math.inf),
        _higher("values or bins that occur, all parameters (more)", *values),
        _higher("size (more)", float(first.size), float(second.size)),
    ]
    return tuple(found)


def _worst_bias(first: Evenness, second: Evenness) -> Criterion:
    """The worst biases, compared by their ratio, which chance changes by the counting error of the rarest value."""
    worst = [max(e.parameters, key=lambda p: p.bias) for e in (first, second)]
    noise = CLEAR * math.hypot(*(1 / math.sqrt(max(p.fewest, 1)) for p in worst))
    logs = [math.log(p.bias) for p in worst]
    winner = _lower("", *logs, noise=noise).winner
    return Criterion(
        name="worst bias (less)", first=first.worst_bias, second=second.worst_bias, winner=winner
    )


def _better_for(
    first: Evenness, second: Evenness, rows: Sequence[Row], criteria: Sequence[Criterion]
) -> tuple[str, ...]:
    sentences = []
    for side, evenness in (("first", first), ("second", second)):
        mine = [row for row in rows if row.better == side]
        if mine:
            listed = ", ".join(f"{row.name}{_how_much(row)}" for row in mine)
            sentences.append(f"{evenness.name} covers more evenly: {listed}.")
        won = [c.name.partition(" (")[0] for c in criteria if c.winner == side]
        if won:
            sentences.append(f"{evenness.name} is better by: {', '.join(won)}.")
    equal = [row.name for row in rows if row.better is None]
    if equal:
        sentences.append(f"No difference beyond chance: {', '.join(equal)}.")
    return tuple(sentences)


def _how_much(row: Row) -> str:
    if row.improvement is None:
        return f" (χ² {row.first.chi2:,.0f} against {row.second.chi2:,.0f})"
    return f" (improvement {row.improvement:+.1f} %)".replace("-", "−")
