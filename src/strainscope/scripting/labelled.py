"""A result as an xarray Dataset: every array with its axes, every number with its unit."""

from typing import Any

import numpy as np
import xarray as xr

from strainscope.inversion.derived import DerivedQuantity
from strainscope.inversion.result import FittedParameter, Mode, Result
from strainscope.plots import residual_log10
from strainscope.scan import UNITS

# What is known of a parameter or a derived quantity; NaN where it does not apply.
ESTIMATES = ("value", "sd", "mean", "median", "low_68", "high_68", "low_90", "high_90", "low_95", "high_95")
BAND_UNITS = {
    "strain": ("1", "out-of-plane strain Δd/d"),
    "debye_waller": ("1", "static Debye-Waller factor E"),
}

Variables = dict[str, tuple[tuple[str, ...], Any, dict[str, Any]]]


def result_dataset(result: Result) -> xr.Dataset:
    """The dataset that `Result.to_xarray` describes."""
    coordinates: Variables = {
        "mode": (("mode",), np.arange(1, len(result.modes) + 1), {"long_name": "solution, 1 the best"}),
        "depth": (("depth",), result.best.bands.depth, {"units": "Å", "long_name": "depth from the surface"}),
        "limit": (("limit",), ["lower", "upper"], {}),
        "estimate": (("estimate",), list(ESTIMATES), {}),
    }
    variables = _profiles(result) | _parameters(result)
    views = {"": result}
    views |= {f"_{own.label}": result.seen_at(i) for i, own in enumerate(result.beside)}
    for ending, seen in views.items():
        scan, angle = seen.scan, f"angle{ending}"
        coordinates[angle] = ((angle,), scan.angle, {"units": UNITS[scan.axis], "long_name": scan.axis})
        variables |= _curves(seen, angle, ending)
    return xr.Dataset(variables, coords=coordinates, attrs=_attributes(result))


def _curves(seen: Result, angle: str, ending: str) -> Variables:
    """The scan, each mode's curve, and what is left."""
    scan, unit = seen.scan, {"units": seen.scan.intensity_kind}
    found: Variables = {
        f"measured{ending}": ((angle,), scan.intensity, unit | {"long_name": "measured intensity"}),
        f"fitted{ending}": (
            ("mode", angle),
            np.array([mode.fitted for mode in seen.modes]),
            unit | {"long_name": "fitted intensity"},
        ),
        f"residual_log10{ending}": (
            ("mode", angle),
            np.array([residual_log10(scan, mode) for mode in seen.modes]),
            {"units": "1", "long_name": "log10 of measured over fitted"},
        ),
    }
    if scan.sigma is not None:
        found[f"measured_sd{ending}"] = (
            (angle,),
            scan.sigma,
            unit | {"long_name": "standard deviation of the measured intensity"},
        )
    return found


def _profiles(result: Result) -> Variables:
    """Strain and E over depth with their bands, and each mode's share of the posterior."""
    found: Variables = {}
    for name, (unit, words) in BAND_UNITS.items():
        about = {"units": unit, "long_name": words}
        found[name] = (
            ("mode", "depth"),
            np.array([getattr(mode.bands, name) for mode in result.modes]),
            about,
        )
        for share in (68, 95):
            found[f"{name}_{share}"] = (
                ("mode", "limit", "depth"),
                np.array([getattr(mode.bands, f"{name}_{share}") for mode in result.modes]),
                about | {"long_name": f"{share} % band of {words}"},
            )
    for name, words in (
        ("weight", "share of the posterior"),
        ("reduced_chi2", "reduced chi-square"),
        ("rms_log10", "rms of log10 fitted over measured"),
    ):
        values = np.array([getattr(mode, name) for mode in result.modes])
        found[name] = (("mode",), values, {"units": "1", "long_name": words})
    return found


def _parameters(result: Result) -> Variables:
    found: Variables = {}
    for p in result.best.parameters:
        rows = np.array([_of_parameter(mode, p.name) for mode in result.modes])
        about = {"units": p.unit, "long_name": p.description, "lower": p.lower, "upper": p.upper}
        about["held"] = int(p.name not in result.best.fitted_names)
        found[f"parameter_{p.name}"] = (("mode", "estimate"), rows, about)
    for d in result.best.derived:
        rows = np.array([_of_derived(mode, d.name) for mode in result.modes])
        found[d.name] = (("mode", "estimate"), rows, {"units": d.unit, "long_name": d.description})
    return found


def _of_parameter(mode: Mode, name: str) -> list[float]:
    own: FittedParameter = mode.parameter(name)
    low, high = own.interval_90 or (None, None)
    known = {"value": own.value, "sd": own.sd, "mean": own.mean, "median": own.median}
    return _row(known | {"low_90": low, "high_90": high})


def _of_derived(mode: Mode, name: str) -> list[float]:
    own: DerivedQuantity = next(d for d in mode.derived if d.name == name)
    known: dict[str, float | None] = {"value": own.value}
    known |= dict(zip(("low_68", "high_68"), own.interval_68, strict=True))
    known |= dict(zip(("low_95", "high_95"), own.interval_95, strict=True))
    return _row(known)


def _row(known: dict[str, float | None]) -> list[float]:
    return [float("nan") if (value := known.get(name)) is None else float(value) for name in ESTIMATES]


def _attributes(result: Result) -> dict[str, Any]:
    return {
        "title": result.scan.name,
        "verdict": result.verdict.level,
        "verdict_reasons": "\n".join(result.verdict.reasons),
        "likelihood": result.likelihood,
        "band_meaning": result.band_meaning,
        "substrate_angle": result.substrate_angle,
        "seed": result.seed,
        "strainscope_version": result.version,
    }
