"""Whether to believe an inversion: rules in the order of their weight, each with its numbers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import Likelihood
from strainscope.inversion.pareto import FEWEST_DRAWS, WORST_PARETO
from strainscope.inversion.problem import Measurement
from strainscope.inversion.result import VERDICTS, FittedParameter, Mode, Verdict
from strainscope.inversion.scan_doubts import ScanDoubts, doubts_of, signs_of_strain, turned_axis, unlikely
from strainscope.profile import DepthProfile
from strainscope.scan import Scan

Floats = NDArray[np.float64]

RELIABLE, CHECK, REFUSE = VERDICTS
_NO_DOUBTS = ScanDoubts()
_ORDER = "Do the scans stand in the order of the sample's reflections?"
# Above these the model does not describe the scan. A large rms alone may be the noise of few counts, so it
# counts only where the reduced chi-square says that it is not.
WORST_RMS, DOUBTFUL_RMS = 0.25, 0.12
WORST_REDUCED_CHI2, DOUBTFUL_REDUCED_CHI2 = 25.0, 4.0
NOISE_REDUCED_CHI2 = 1.5
RIVAL_WEIGHT = 0.05
FEWEST_STARTS = 2
# A run of a twentieth of the points that the fit misses by this much in log10 and in standard deviations.
WORST_PART_RMS, WORST_PART_SD = 0.2, 2.0
# So far beyond a bound, in shares of the room, the model is asked for; a limit of a sum is used up from so near to it.
ON_BOUND = 0.03
# Weighted draws whose means, standard deviations or weights differ by more from those of nested sampling are poor.
FAR_MEAN, FAR_SD, FAR_WEIGHT = 0.5, 0.5, 0.1


def misses(rms: Floats | float, reduced: Floats | float) -> NDArray[np.bool_]:
    """Whether a fit of this rms of log10 and reduced chi-square misses the scan."""
    return np.asarray(((rms > WORST_RMS) & (reduced > NOISE_REDUCED_CHI2)) | (reduced > WORST_REDUCED_CHI2))


def doubtful(rms: Floats | float, reduced: Floats | float) -> NDArray[np.bool_]:
    """Whether such a fit leaves more than the noise and the model error."""
    return np.asarray(((rms > DOUBTFUL_RMS) & (reduced > NOISE_REDUCED_CHI2)) | (reduced > DOUBTFUL_REDUCED_CHI2))


def judge(
    experiment: Experiment,
    features: Features,
    scan: Scan,
    likelihood: Likelihood,
    modes: tuple[Mode, ...],
    doubts: ScanDoubts = _NO_DOUBTS,
    chance: float = 1.0,
) -> Verdict:
    """The verdict on the modes found for a scan, the one of most weight first.

    Args:
        experiment: Sample and instrument.
        features: What the scan shows.
        scan: The measured curve.
        likelihood: Of the scan.
        modes: That of most weight first.
        doubts: Of the scan itself.
        chance: That noise and model error leave so large a misfit, see `misfit_chance`.
    """
    best = modes[0]
    if doubts.refuse:
        return Verdict(level=REFUSE, reasons=(*doubts.refuse, *doubts.check, *doubts.notes))
    fit = (
        f"rms of log10 {best.rms_log10:.3f}, reduced chi-square {best.reduced_chi2:.2f} with a model error of "
        f"{100 * likelihood.model_error:g} %"
    )
    refuse: list[str] = []
    check: list[str] = []
    notes: list[str] = []
    if misses(best.rms_log10, best.reduced_chi2):
        refuse.append(f"The best fit misses the scan ({fit}); sample file, axis or reflection may be wrong.")
        # Of a saturated scan neither peak nor strained side can be told.
        refuse += [] if doubts.clipped else _turned_axis(experiment, features, scan, best)
        return Verdict(
            level=REFUSE,
            reasons=(*refuse, *doubts.check, *_scan_doubts(features, best), *_notes(experiment, best)),
        )
    part = worst_part(scan, likelihood, best.fitted)
    improbable = unlikely(chance, best.reduced_chi2, likelihood.model_error)
    describes = "follows the scan on the whole" if improbable else "describes the scan"
    if doubtful(best.rms_log10, best.reduced_chi2):
        check.append(f"The fit leaves more than the noise and the model error ({fit}).")
    elif part is None:
        notes.append(f"The fit {describes} ({fit}).")
    else:
        notes.append(f"Elsewhere the fit {describes} ({fit}, over all points).")
    if part is not None:
        check.append(f"Around {part[1]} the fit misses by {part[0]:.2f} in log10 (rms).")
    check += doubts.check
    check += improbable
    check += _scan_doubts(features, best)
    check += _chosen_bounds(experiment, best)
    rivals = [mode for mode in modes[1:] if mode.weight > RIVAL_WEIGHT]
    alone = sum(mode.starts < FEWEST_STARTS for mode in rivals)
    if rivals:
        weights = ", ".join(f"{100 * mode.weight:.0f} %" for mode in rivals)
        more = f"; {alone} of them from a single refined start each: there may be more, try --draws" if alone else ""
        check.append(f"{len(rivals)} other profile(s) explain the scan nearly as well (weights {weights}){more}.")
    light = [mode for mode in modes[1:] if mode.weight <= RIVAL_WEIGHT]
    if light:
        most = 100 * max(mode.weight for mode in light)
        notes.append(f"{len(light)} other profile(s) have little weight ({most:.2g} % at most).")
    check += _poor_draws(best)
    if best.starts < FEWEST_STARTS:
        check.append(
            "Only one of the refined starts led to the best solution: others may exist; try --draws."
        )
    else:
        notes.append(f"{best.starts} of the refined starts led to this solution.")
    reasons = (*check, *notes, *_notes(experiment, best), *doubts.notes)
    return Verdict(level=CHECK if check else RELIABLE, reasons=reasons)


def _doubted(verdict: Verdict) -> str:
    """The level of a verdict to which a doubt is added."""
    return CHECK if verdict.level == RELIABLE else verdict.level


def judge_beside(verdict: Verdict, beside: Sequence[Measurement], modes: tuple[Mode, ...]) -> Verdict:
    """A verdict on one scan, with what further scans of the sample that share its profile have against it."""
    found: list[str] = []
    refuse: list[str] = []
    for i, own in enumerate(beside, start=1):
        doubts = doubts_of(own.scan, own.model.experiment, own.features, own.likelihood)
        refuse += [f"At {own.label}: {reason}" for reason in doubts.refuse]
        ends = _ends_doubts(own.features, modes[0].maximum_strain[0])
        found += [f"At {own.label}: {reason}" for reason in (*doubts.check, *ends)]
        fit = modes[0].scans[i]
        shown = f"At {own.label} the fit"
        said = f"(rms of log10 {fit.rms_log10:.3f}, reduced chi-square {fit.reduced_chi2:.2f})"
        if misses(fit.rms_log10, fit.reduced_chi2):
            refuse.append(f"{shown} misses the scan {said}; sample file, axis or reflection may be wrong.")
        elif doubtful(fit.rms_log10, fit.reduced_chi2):
            found.append(f"{shown} leaves more than the noise and the model error {said}.")
        part = worst_part(own.scan, own.likelihood, fit.fitted)
        if part is not None:
            found.append(f"{shown} misses by {part[0]:.2f} in log10 (rms) around {part[1]}.")
    if beside and (refuse or any(doubtful(own.rms_log10, own.reduced_chi2) for own in modes[0].scans)):
        found.append(_ORDER)
    if refuse:
        before = verdict.reasons if verdict.level == REFUSE else ()
        return Verdict(level=REFUSE, reasons=(*before, *refuse, *found))
    each = "".join(
        f", {own.reduced_chi2:.2f} at {other.label}" for own, other in zip(modes[0].scans[1:], beside, strict=True)
    )
    split = [f"Reduced chi-square of the first scan {modes[0].scans[0].reduced_chi2:.2f}{each}."] if beside else []
    level = _doubted(verdict) if found else verdict.level
    return Verdict(level=level, reasons=(*found, *verdict.reasons, *split))


def judge_odds(verdict: Verdict, modes: int, effective: float, pareto: float) -> Verdict:
    """A verdict where the weights of several modes may not be trusted, though the draws of the best one may.

    Args:
        verdict: Without it.
        modes: How many there are.
        effective: Number of effective draws of all together.
        pareto: Shape of their weights' tail.
    """
    if modes < 2 or (effective >= FEWEST_DRAWS and pareto <= WORST_PARETO):
        return verdict
    reason = (
        f"The odds between the {modes} solutions are no more than a guess: {effective:.0f} effective draws of all "
        f"together, shape of the weights' tail {pareto:.2f} (wanted are at least {FEWEST_DRAWS}, at most "
        f"{WORST_PARETO}); weights were flattened until they are so."
    )
    return Verdict(level=_doubted(verdict), reasons=(*verdict.reasons, reason))


def judge_gold(verdict: Verdict, mean: float, sd: float, weight: float) -> Verdict:
    """A verdict with what nested sampling says of the weighted draws, see `Agreement`."""
    far = mean > FAR_MEAN or sd > FAR_SD or weight > FAR_WEIGHT
    found = (
        f"Checked by nested sampling, whose draws are shown: the weighted draws' means lie within {mean:.2f} sd of its "
        f"own, their standard deviations within {100 * sd:.0f} %, weights of solutions within {100 * weight:.0f} points"
    )
    if not far:
        return Verdict(level=verdict.level, reasons=(*verdict.reasons, f"{found}."))
    reasons = (f"{found}: without --gold this scan is not drawn well.", *verdict.reasons)
    return Verdict(level=_doubted(verdict), reasons=reasons)


def judge_unfinished(verdict: Verdict, unfinished: str) -> Verdict:
    """A verdict where a check that was asked for may have come to nothing, for a reason that is empty if not."""
    if not unfinished:
        return verdict
    reasons = (*verdict.reasons, f"Not checked: {unfinished}")
    return Verdict(level=_doubted(verdict), reasons=reasons)


def _poor_draws(best: Mode) -> list[str]:
    """Whether the draws behind the bands can be trusted."""
    if best.effective_draws >= FEWEST_DRAWS and best.pareto_k <= WORST_PARETO:
        return []
    return [
        f"The posterior could not be drawn well: {best.effective_draws:.0f} effective draws, shape of the weights' "
        f"tail {best.pareto_k:.2f} (wanted are at least {FEWEST_DRAWS}, at most {WORST_PARETO}); weights were "
        "flattened until they are so, and bands are no more than a guess."
    ]


def _scan_doubts(features: Features, best: Mode) -> list[str]:
    """What the scan cannot show."""
    found = []
    largest, _ = best.maximum_strain
    if abs(largest) < 3e-5:
        found.append("No strain is seen: the scan looks like that of an undamaged crystal.")
    return [*_ends_doubts(features, largest), *found]


def _ends_doubts(features: Features, largest: float) -> list[str]:
    """Whether strain may reach beyond a scan's ends."""
    found = []
    if features.low_edge_arcsec is None and features.high_edge_arcsec is None:
        found.append("The scan starts and ends within the signal: strain beyond its range cannot be seen.")
    elif (features.low_edge_arcsec if largest > 0 else features.high_edge_arcsec) is None:
        found.append("The scan ends within the signal on the strained side: larger strain would not be seen.")
    return found


def _notes(experiment: Experiment, best: Mode) -> list[str]:
    """Parameters on bounds, and those of the profile that the curve leaves open."""
    found = []
    bound = [_on_bound(p) for p in best.parameters if p.at_bound]
    if bound:
        found.append(f"On a bound of the search: {', '.join(bound)}.")
    names = {spec.name for spec in experiment.profile.parameters}
    vague = [p.name for p in best.parameters if p.name in names and p.sd is not None and not p.determined]
    if vague:
        found.append(f"Of the profile, not determined: {', '.join(vague)}.")
    aside = [p.name for p in best.parameters if p.aside]
    if aside:
        found.append(
            f"The best fit lies well outside the 90 % interval of {', '.join(aside)}: most profiles that explain the "
            "scan lie elsewhere; quote the intervals."
        )
    if best.known_to is not None:
        where = f"Below {best.known_to / 10:.0f} nm" if best.known_to else "At every depth"
        found.append(
            f"{where} the curve says little: more than half of the variance that bounds and "
            "families leave to strain and disorder there is left."
        )
    return found


def _on_bound(parameter: FittedParameter) -> str:
    """Name and bound of a parameter that is on one."""
    if parameter.bound == "constraint":
        return f"{parameter.name} (set by others)"
    unit = "" if parameter.unit == "1" else f" {parameter.unit}"
    return f"{parameter.name} ({parameter.bound}, {getattr(parameter, parameter.bound):g}{unit})"


def _turned_axis(experiment: Experiment, features: Features, scan: Scan, best: Mode) -> list[str]:
    """A hint where the strained side lies where this sample has none."""
    signs = {float(np.sign(best.maximum_strain[0])), *signs_of_strain(experiment, best.parameters)}
    return turned_axis(scan, experiment, features, signs)


def _chosen_bounds(experiment: Experiment, best: Mode) -> list[str]:
    """Amplitudes and lengths of the profile that are on a bound that is a choice, and how to widen it."""
    profile = experiment.profile
    values = np.array([best.parameter(spec.name).value for spec in profile.parameters])
    ended, keys = [], []
    for i, spec in enumerate(profile.parameters):
        parameter = best.parameter(spec.name)
        amplitude = spec.unit == "Å" or spec.name in profile.strain.amplitude_names
        if parameter.bound not in ("lower", "upper") or not amplitude:
            continue
        bound, beyond = getattr(parameter, parameter.bound), ON_BOUND * (parameter.upper - parameter.lower)
        if not _is_physical(profile, values, i, bound, bound + (beyond if parameter.bound == "upper" else -beyond)):
            unit = "" if spec.unit == "1" else f" {spec.unit}"
            ended.append(f"{spec.name} on its {parameter.bound} bound, {bound:g}{unit}")
            keys.append(f"fit.{spec.name}.bounds")
    for constraint in profile.constraints:
        total = sum(factor * best.parameter(name).value for name, factor in constraint.terms)
        # Those with a limit of nought order the parameters; the others have a number that somebody chose.
        leaning = any(best.parameter(name).at_bound for name, _ in constraint.terms)
        if leaning and constraint.upper and total > constraint.upper - ON_BOUND * abs(constraint.upper):
            ended.append(f"{constraint} used up")
            keys.append("that limit in the family's settings")
    if not ended:
        return []
    widen = f"widen {', '.join(keys)} in the sample file"
    return [f"The fit, or much of the posterior, ends with {', '.join(ended)}: {widen}."]


def _is_physical(profile: DepthProfile, values: Floats, index: int, bound: float, beyond: float) -> bool:
    """Whether a bound is none of choice: zero, or the model is not defined beyond it."""
    if bound == 0:
        return True
    moved = values.copy()
    moved[index] = beyond
    try:
        profile.check(moved)
    except ValueError:
        return True
    return False


def worst_part(scan: Scan, likelihood: Likelihood, fitted: Floats) -> tuple[float, str] | None:
    """rms of log10 over the run of points that a fit (point,) misses most, and where its middle is; None if none.

    A run is a twentieth of the points, at least 10.
    """
    seen = (scan.intensity > 0) & (fitted > 0)
    gap = np.log10(fitted[seen] / scan.intensity[seen])
    width = max(10, len(gap) // 20)
    if len(gap) < 2 * width:
        return None
    window = np.full(width, 1 / width)
    runs = np.sqrt(np.convolve(gap**2, window, mode="valid"))
    in_sd = np.sqrt(np.convolve(likelihood.residuals(fitted)[0][seen] ** 2, window, mode="valid"))
    runs = np.where(in_sd > WORST_PART_SD, runs, 0.0)
    worst = int(np.argmax(runs))
    if runs[worst] <= WORST_PART_RMS:
        return None
    return float(runs[worst]), scan.shown(scan.angle[seen][worst + width // 2])
