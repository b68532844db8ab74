"""How the error falls with the thickness of sublayers, and what `choose_sublayers` keeps of what it states.

Run with `python -m benchmarks.convergence`.
"""

import numpy as np

from benchmarks import cases
from strainscope.diffraction import Sublayers, choose_sublayers, coefficients, rocking_curve
from strainscope.diffraction import reference as slow

THICKNESSES = (400, 200, 100, 50, 25, 5)
TOLERANCES = (1e-3, 1e-4, 1e-5)
HEADINGS = ("asked", "median", "99 %", "largest", "above", "cells", "most")
BRIGHT = 1e-7  # reflectivity above which errors are counted: log10 has no bound beside a zero

Figures = dict[str, float]


def by_thickness() -> Figures:
    """Error of log10 [max, rms] of the case with midpoint and with fourth-order cells of each thickness.

    The reference engine, without the check that refuses cells above 55 Å here.
    """
    theta = cases.scan()

    def curve(n: int, midpoint: bool) -> np.ndarray:
        cells = cases.batch(1, n)
        one = {key: value[0] for key, value in vars(cells).items()}
        if midpoint:
            strain = cases.STRAIN.evaluate((np.arange(n) + 0.5) * cases.DEPTH / n, cases.GARNET)[0]
            one["strain"] = np.repeat(strain[:, None], 2, axis=1)
        return slow.reflectivity(theta, cases.BARE, Sublayers(**one))

    converged = curve(4000, midpoint=False)
    figures = {}
    for dl in THICKNESSES:
        for name, midpoint in (("midpoint", True), ("magnus", False)):
            difference = np.log10(curve(round(cases.DEPTH / dl), midpoint) / converged)
            figures[f"{name}_{dl}A_max_log10_error"] = float(np.abs(difference).max())
            figures[f"{name}_{dl}A_rms_log10_error"] = float(np.sqrt(np.mean(difference**2)))
    if figures["magnus_50A_rms_log10_error"] > 3e-5:
        raise AssertionError("fourth-order cells of 50 Å must be within 3e-5 rms of the converged curve.")
    order = np.log2(figures["magnus_50A_rms_log10_error"] / figures["magnus_25A_rms_log10_error"])
    if not 3.6 < order < 4.4:
        raise AssertionError(f"the order is {order:.2f}, not four.")
    return figures


def chosen(n_curve: int = 200) -> Figures:
    """Errors and cells of `choose_sublayers` over random profiles, a fifth of them steep, against 1e-7."""
    figures = {}
    theta = cases.scan(351)
    for where, stack, profile in (
        ("bare", cases.BARE, cases.STRAIN),
        ("bare_disorder", cases.BARE, cases.DISORDERED),
        ("film", cases.FILM, cases.STRAIN),
    ):
        values = cases.random_values(n_curve, profile, rng=np.random.default_rng(5), steep=0.2)
        tables = coefficients(theta, stack)
        fine = rocking_curve(theta, stack, choose_sublayers(profile, values, tables, stack, tolerance=1e-7))
        bright = fine > BRIGHT
        for tolerance in TOLERANCES:
            cells = choose_sublayers(profile, values, tables, stack, tolerance=tolerance)
            found = rocking_curve(theta, stack, cells)
            square = np.where(bright, np.log10(found / fine) ** 2, 0).sum(axis=(1, 2))
            error, count = np.sqrt(square / bright.sum(axis=(1, 2))), (cells.thickness > 0).sum(axis=1)
            key = f"chosen_{where}_{tolerance:.0e}".replace("e-0", "e-")
            figures |= {
                f"{key}_error_median": float(np.median(error)),
                f"{key}_error_p99": float(np.quantile(error, 0.99)),
                f"{key}_error_max": float(error.max()),
                f"{key}_share_above": float((error > tolerance).mean()),
                f"{key}_cells_mean": float(count.mean()),
                f"{key}_cells_max": float(count.max()),
            }
            if np.quantile(error, 0.9) > tolerance:
                raise AssertionError(f"{where}: a tenth of the curves err by more than {tolerance:g}.")
    return figures


def run() -> Figures:
    """All figures of convergence."""
    return by_thickness() | chosen()


def report(f: Figures) -> None:
    """Prints both tables."""
    print("\nerror of log10 to the converged curve (max / rms), uniform sublayers of dl [Å]")
    print(f"  {'dl':<12}" + "".join(f"{dl:>20}" for dl in THICKNESSES))
    for name in ("midpoint", "magnus"):
        keys = [f"{name}_{dl}A" for dl in THICKNESSES]
        pairs = [(f[f"{key}_max_log10_error"], f[f"{key}_rms_log10_error"]) for key in keys]
        print(f"  {name:<12}" + "".join(f"{f'{a:.1e} / {b:.1e}':>20}" for a, b in pairs))
    print("\nchoose_sublayers over 200 random profiles: rms of log10 per curve, and sublayers")
    print(f"  {'':<16}" + "".join(f"{word:>9}" for word in HEADINGS))
    for where in ("bare", "bare_disorder", "film"):
        for tolerance in TOLERANCES:
            key = f"chosen_{where}_{tolerance:.0e}".replace("e-0", "e-")
            errors = "".join(f"{f[f'{key}_error_{part}']:9.1e}" for part in ("median", "p99", "max"))
            cells = "".join(f"{f[f'{key}_cells_{part}']:9.0f}" for part in ("mean", "max"))
            print(f"  {where:<16}{tolerance:9.0e}{errors}{f[f'{key}_share_above']:9.1%}{cells}")


if __name__ == "__main__":
    print(cases.machine())
    report(run())
