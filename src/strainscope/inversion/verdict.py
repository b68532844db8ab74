"""Whether to believe an inversion: rules in the order of their weight, each with its numbers."""

import numpy as np

from strainscope.experiment import Experiment
from strainscope.inversion.features import Features
from strainscope.inversion.likelihood import Likelihood
from strainscope.inversion.result import VERDICTS, Mode, Verdict
from strainscope.scan import Scan

RELIABLE, CHECK, REFUSE = VERDICTS
# Above these the model does not describe the scan. A large rms alone may be the noise of few counts, so it
# counts only where the reduced chi-square says that it is not.
WORST_RMS, DOUBTFUL_RMS = 0.25, 0.12
WORST_REDUCED_CHI2, DOUBTFUL_REDUCED_CHI2 = 25.0, 4.0
NOISE_REDUCED_CHI2 = 1.5
RIVAL_WEIGHT = 0.05
FEWEST_STARTS = 2
# A run of a twentieth of the points that the fit misses by this much in log10 and in standard deviations.
WORST_PART_RMS, WORST_PART_SD = 0.2, 2.0


def judge(
    experiment: Experiment,
    features: Features,
    scan: Scan,
    likelihood: Likelihood,
    modes: tuple[Mode, ...],
) -> Verdict:
    """The verdict on the modes found for a scan, best first."""
    best = modes[0]
    refuse: list[str] = []
    check: list[str] = []
    notes: list[str] = []
    fit = f"rms of log10 {best.rms_log10:.3f}, reduced chi-square {best.reduced_chi2:.2f}"
    noise = best.reduced_chi2 <= NOISE_REDUCED_CHI2
    if (best.rms_log10 > WORST_RMS and not noise) or best.reduced_chi2 > WORST_REDUCED_CHI2:
        refuse.append(f"The best fit misses the scan ({fit}); sample file, axis or reflection may be wrong.")
    elif (best.rms_log10 > DOUBTFUL_RMS and not noise) or best.reduced_chi2 > DOUBTFUL_REDUCED_CHI2:
        check.append(f"The fit leaves more than the noise and the model error ({fit}).")
    else:
        notes.append(f"The fit describes the scan ({fit}).")
    part = _worst_part(scan, likelihood, best)
    if part is not None and not refuse:
        check.append(f"Around {part[1]:g} on the scan's axis the fit misses by {part[0]:.2f} in log10 (rms).")
    largest, _ = best.maximum_strain
    if features.low_edge_arcsec is None and features.high_edge_arcsec is None:
        check.append("The scan starts and ends within the signal: strain beyond its range cannot be seen.")
    elif (features.low_edge_arcsec if largest > 0 else features.high_edge_arcsec) is None:
        check.append("The scan ends within the signal on the strained side: larger strain would not be seen.")
    if abs(largest) < 3e-5:
        check.append("No strain is seen: the scan looks like that of an undamaged crystal.")
    rivals = [m for m in modes[1:] if m.weight > RIVAL_WEIGHT]
    if rivals:
        shares = ", ".join(f"{100 * m.weight:.0f} %" for m in rivals)
        check.append(f"{len(rivals)} other profile(s) explain the scan nearly as well (weights {shares}).")
    elif len(modes) > 1:
        notes.append(f"{len(modes) - 1} other profile(s) come near and fit clearly worse.")
    if best.starts < FEWEST_STARTS:
        check.append(
            "Only one of the refined starts led to the best solution: others may exist; try --draws."
        )
    else:
        notes.append(f"{best.starts} of the refined starts led to this solution.")
    names = {spec.name for spec in experiment.profile.parameters}
    free = [p for p in best.parameters if p.name in names and p.sd is not None]
    bound = [p.name for p in best.parameters if p.at_bound]
    if bound:
        notes.append(f"On a bound of the search: {', '.join(bound)}.")
    vague = [p.name for p in free if not p.determined]
    if vague:
        notes.append(f"Not determined by this curve: {', '.join(vague)}.")
    level = REFUSE if refuse else CHECK if check else RELIABLE
    return Verdict(level=level, reasons=tuple(refuse + check + notes))


def _worst_part(scan: Scan, likelihood: Likelihood, mode: Mode) -> tuple[float, float] | None:
    """rms of log10 over the run of points that the fit misses most, and the angle at its middle; None if none.

    A run is a twentieth of the points, at least 10.
    """
    seen = (scan.intensity > 0) & (mode.fitted > 0)
    gap = np.log10(mode.fitted[seen] / scan.intensity[seen])
    width = max(10, len(gap) // 20)
    if len(gap) < 2 * width:
        return None
    window = np.full(width, 1 / width)
    runs = np.sqrt(np.convolve(gap**2, window, mode="valid"))
    in_sd = np.sqrt(np.convolve(likelihood.residuals(mode.fitted)[0][seen] ** 2, window, mode="valid"))
    runs = np.where(in_sd > WORST_PART_SD, runs, 0.0)
    worst = int(np.argmax(runs))
    if runs[worst] <= WORST_PART_RMS:
        return None
    return float(runs[worst]), float(scan.angle[seen][worst + width // 2])
