"""What the figures of a comparison do not say, in prose; every figure in it is computed from the two datasets."""

import math

from strainscope.dataset.evenness import Evenness, ParameterEvenness
from strainscope.plots import PERCENT


def caveats(first: Evenness, second: Evenness) -> tuple[str, ...]:
    """What to know before the figures are used, one paragraph each; only what applies to these two."""
    found = [_two_optima(first, second)]
    found += [_taken(e) for e in (first, second)]
    found += [
        _targeted(first, second),
        _dominated(first),
        _unequal_grids(first, second),
        _unequal_sizes(first, second),
        _rounding(first, second),
        _empty(first, second),
        _invalid(first, second),
        _unjudged(first, second),
        "χ² grows with the number of samples: unevenness that the plan causes grows in proportion, unevenness by "
        "chance stays near k − 1 for k values. A large χ² of a large dataset is therefore no sign of bad luck.",
        "Evenness of each parameter alone is not evenness together: see the pairs. And an even dataset is not "
        "necessarily the one that trains best: where curves hardly depend on a parameter, more samples there help "
        "little.",
    ]
    return tuple(text for text in found if text)


def _two_optima(first: Evenness, second: Evenness) -> str:
    lines = []
    for e in (first, second):
        if e.best is None:
            continue
        repeated = sum(e.best.repeated.values()) / len(e.names)
        tied = [(names, used) for names, used in e.best.support.items() if len(names) > 1]
        uses = " and ".join(f"{a:,} of the {b:,} of {', '.join(names)}" for names, (a, b) in tied)
        text = f"{e.name} has a mean χ² of {_whole(e.mean_chi2)}; the least possible is {_whole(repeated)}"
        if repeated < 1 and tied:
            text += f", which needs no more than {uses}, each many times"
        if e.best.once is not None:
            once = sum(e.best.once.values()) / len(e.names)
            hardest = max(e.best.once, key=lambda name: e.best.once[name] if e.best and e.best.once else 0.0)
            text += (
                "; with every combination at most once, too"
                if once < 1 and repeated < 1
                else f"; with every combination at most once it is {_whole(once)} "
                f"({hardest}: {_whole(e.best.once[hardest])})"
            )
        lines.append(text + ".")
    if not lines:
        return ""
    example = " such as L2 ≤ L1" if {"L1", "L2"} <= set(first.names) else ""
    return (
        f"Constraints{example} leave fewer valid combinations to some values than to others, so a draw that treats all "
        "combinations alike cannot be even. How even one could be: " + " ".join(lines)
    )


def _taken(e: Evenness) -> str:
    if e.combinations is None:
        return ""
    share = PERCENT * e.size / e.combinations
    text = f"{e.name}: {e.size:,} samples of {e.combinations:,} valid combinations ({share:.1f} %)"
    if e.repeats:
        unseen = math.exp(e.size * math.log1p(-1 / e.combinations)) if e.combinations > 1 else 0.0
        repeated = e.size - e.combinations * (1 - unseen)
        return (
            f"{text}, with replacement; were all equally likely, about {repeated:,.0f} would repeat another."
        )
    if share > 50:
        return f"{text}: it takes most of what there is, so its unevenness is largely that of the grid."
    return f"{text}, none of them twice."


def _targeted(first: Evenness, second: Evenness) -> str:
    aimed = [f"{e.name} ({e.method})" for e in (first, second) if e.method in ("box", "gaussian", "edges")]
    if not aimed:
        return ""
    return (
        f"{' and '.join(aimed)}: drawn unevenly on purpose, around given parameters or towards the ends of their "
        "ranges. Its χ² and coverage say how narrow it is; that it is the less even one is no fault."
    )


def _dominated(e: Evenness) -> str:
    largest = sorted(e.parameters, key=lambda p: p.chi2, reverse=True)[:2]
    share = sum(p.chi2 for p in largest) / max(sum(p.chi2 for p in e.parameters), 1e-300)
    if share < 0.5 or len(e.parameters) < 4:
        return ""
    return (
        f"The mean χ² is mostly that of {largest[0].name} and {largest[1].name} ({PERCENT * share:.0f} % of the sum in "
        f"{e.name}): it hardly tells what happened to the others, which the weighted improvement does."
    )


def _unequal_grids(first: Evenness, second: Evenness) -> str:
    others = {p.name: p for p in second.parameters}
    unequal = [(p, others[p.name]) for p in first.parameters if not _same_levels(p, others[p.name])]
    if not unequal:
        return ""
    listed = ", ".join(f"{a.name} ({_levels_text(a)} and {_levels_text(b)})" for a, b in unequal)
    return (
        f"The grids differ: {listed}. χ² over different numbers of values is not comparable at face value: χ²/N is "
        "the squared relative scatter of the counts, which a finer grid resolves and a coarser one averages out. Also "
        "compare the entropy and the bias."
    )


def _levels_text(parameter: ParameterEvenness) -> str:
    return f"{len(parameter.counts)} {'values' if parameter.levels.edges is None else 'bins'}"


def _same_levels(a: ParameterEvenness, b: ParameterEvenness) -> bool:
    if len(a.counts) != len(b.counts) or (a.levels.edges is None) != (b.levels.edges is None):
        return False
    span = abs(a.levels.values[-1] - a.levels.values[0]) or abs(a.levels.values[0])
    return bool((abs(a.levels.values - b.levels.values) <= 1e-9 * span).all())


def _unequal_sizes(first: Evenness, second: Evenness) -> str:
    if first.size == second.size:
        return ""
    return (
        f"The sizes differ ({first.size:,} and {second.size:,}); improvements therefore compare χ² per sample, while "
        "the table shows χ² itself."
    )


def _rounding(first: Evenness, second: Evenness) -> str:
    rounded = [e.name for e in (first, second) if e.rounding == "report"]
    if not rounded:
        return ""
    return (
        f"Constraints of {' and '.join(rounded)} were compared in floating point (rounding: report): combinations on "
        "the boundary, such as D01 + D02 = 0.03, are lost where the sum rounds up. Rows of parameters in such "
        "constraints (Dmax1, D01, D02) describe that rounding, not the grid; use exact plans for anything but a "
        "comparison with published tables."
    )


def _empty(first: Evenness, second: Evenness) -> str:
    empty = [
        f"{p.name} in {e.name} ({len(p.counts) - p.unique} of {len(p.counts)})"
        for e in (first, second)
        for p in e.parameters
        if not p.fewest
    ]
    return f"Values or bins that do not occur make the bias infinite: {', '.join(empty)}." if empty else ""


def _invalid(first: Evenness, second: Evenness) -> str:
    wrong = [
        f"{count:,} of {pair.one} and {pair.other} in {e.name}"
        for e in (first, second)
        for pair in e.pairs
        if (count := pair.invalid)
    ]
    return f"Samples lie where the constraints exclude them: {', '.join(wrong)}." if wrong else ""


def _unjudged(first: Evenness, second: Evenness) -> str:
    names = [e.name for e in (first, second) if any(p.judgement.word == "unknown" for p in e.parameters)]
    if not names:
        return ""
    return f"The plan of {' and '.join(names)} has no exact expectation: chance and bias cannot be told apart there."


def _whole(value: float) -> str:
    return f"{value:,.0f}"
