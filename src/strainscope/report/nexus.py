"""The result as NeXus (HDF5), for other programs of the field."""

import io
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.crystal import parse_wavelength
from strainscope.inversion.result import DepthBands, Mode, Result
from strainscope.profile import IonProfile
from strainscope.report.document import plain_data
from strainscope.scan import UNITS

Floats = NDArray[np.float64]

# How the axes of a scan are called, as readers of NeXus look for angles by name.
AXIS_NAMES = {"delta-theta-arcsec": "delta_theta", "omega-deg": "omega", "two-theta-deg": "two_theta"}


def result_nexus(result: Result) -> bytes:
    """The content of a NeXus file: the profile to be shown first, the curve, the fit's parameters, other modes.

    Lengths are in Å, angles in the scan's own unit, strain and E without unit. The same result gives the same bytes.

    Args:
        result: The inversion.
    """
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root.attrs.update({"NX_class": "NXroot", "default": "entry", "creator": "Strainscope"})
        entry = _group(root, "entry", "NXentry")
        entry.attrs["default"] = "profile"
        entry["title"] = _text(result.scan.name)
        entry["program_name"] = "Strainscope"
        entry["program_name"].attrs["version"] = result.version
        _put_profile(entry, "profile", result.best.bands)
        for rank, mode in enumerate(result.modes[1:], start=2):
            _put_profile(entry, f"profile_mode_{rank}", mode.bands)
        _put_curve(entry, "curve", result)
        for i, beside in enumerate(result.beside):
            _put_curve(entry, f"curve_{beside.label}", result.seen_at(i))
        for i, ions in enumerate(result.ions, start=1):
            _put_ions(entry, f"ions_{i}", ions)
        _put_fit(entry, result)
        _put_sample(entry, result)
    return file.getvalue()


def _group(parent: Any, name: str, kind: str) -> Any:  # noqa: ANN401 (h5py is not typed)
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _text(text: str) -> str:
    """A text that UTF-8 can hold: a scan can be named after a file whose name is none."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _column(group: Any, name: str, values: Floats, unit: str, words: str) -> None:  # noqa: ANN401
    group.create_dataset(name, data=np.asarray(values, dtype=np.float64))
    group[name].attrs["long_name"] = words
    # NeXus has an empty unit for numbers without one.
    group[name].attrs["units"] = unit


def _data(parent: Any, name: str, *, signal: str, axis: str, beside: list[str]) -> Any:  # noqa: ANN401
    """A group that says what is to be drawn over what."""
    group = _group(parent, name, "NXdata")
    group.attrs.update({"signal": signal, "axes": [axis], f"{axis}_indices": [0]})
    if beside:
        group.attrs["auxiliary_signals"] = beside
    return group


def _put_profile(entry: Any, name: str, bands: DepthBands) -> None:  # noqa: ANN401
    group = _data(entry, name, signal="strain", axis="depth", beside=["debye_waller"])
    _column(group, "depth", bands.depth, "angstrom", "Depth from the surface (Å)")
    _column(group, "strain", bands.strain, "", "Strain Δd/d")
    _column(group, "debye_waller", bands.debye_waller, "", "Static Debye-Waller factor E")
    for quantity in ("strain", "debye_waller"):
        for share in (68, 95):
            low, high = getattr(bands, f"{quantity}_{share}")
            _column(group, f"{quantity}_lower_{share}", low, "", f"Lower limit of the {share} % band")
            _column(group, f"{quantity}_upper_{share}", high, "", f"Upper limit of the {share} % band")


def _put_curve(entry: Any, name: str, result: Result) -> None:  # noqa: ANN401
    scan = result.scan
    axis = AXIS_NAMES[scan.axis]
    group = _data(entry, name, signal="measured", axis=axis, beside=["fitted"])
    _column(group, axis, scan.angle, UNITS[scan.axis], f"{scan.axis} ({UNITS[scan.axis]})")
    unit = "counts" if scan.intensity_kind == "counts" else ""
    _column(group, "measured", scan.intensity, unit, f"Measured intensity ({scan.intensity_kind})")
    _column(group, "fitted", result.best.fitted, unit, "Best fit")
    if scan.sigma is not None:
        _column(group, "measured_errors", scan.sigma, unit, "Standard deviation of the measured intensity")


def _put_ions(entry: Any, name: str, ions: IonProfile) -> None:  # noqa: ANN401
    group = _data(entry, name, signal="value", axis="depth", beside=[])
    group["title"] = f"{ions.program}: {ions.what} of {ions.ion}"
    _column(group, "depth", ions.depth, "angstrom", "Depth from the surface (Å)")
    _column(group, "value", ions.value, ions.unit, ions.label)


def _put_fit(entry: Any, result: Result) -> None:  # noqa: ANN401
    """What was fitted, how well, and what it is worth."""
    fit = _group(entry, "fit", "NXprocess")
    fit["program"] = "Strainscope"
    fit["version"] = result.version
    fit["verdict"] = result.verdict.level
    fit["verdict_reasons"] = " ".join(result.verdict.reasons)
    fit["likelihood"] = result.likelihood
    fit["band_meaning"] = result.band_meaning
    for key in ("chi2", "reduced_chi2", "rms_log10"):
        fit[key] = float(getattr(result.best, key))
    _put_parameters(fit, result.best)
    fit["modes_weight"] = [float(mode.weight) for mode in result.modes]


def _put_parameters(fit: Any, mode: Mode) -> None:  # noqa: ANN401
    """Best values, each with what is known of it as attributes; what is not known is left out."""
    group = _group(fit, "parameters", "NXparameters")
    for own in mode.parameters:
        group[own.name] = float(own.value)
        known: dict[str, Any] = {
            "units": "" if own.unit == "1" else own.unit,
            "description": own.description,
            "standard_deviation": own.sd,
            "interval_90": own.interval_90,
            "lower_bound": own.lower,
            "upper_bound": own.upper,
            "fitted": own.name in mode.fitted_names,
        }
        group[own.name].attrs.update({key: value for key, value in known.items() if value is not None})


def _put_sample(entry: Any, result: Result) -> None:  # noqa: ANN401
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = _text(
        str(result.sample.get("title") or result.sample.get("crystal") or result.scan.name)
    )
    note = _group(sample, "settings", "NXnote")
    note["type"] = "application/json"
    note["data"] = _text(json.dumps(plain_data(result.sample), ensure_ascii=False))
    wavelength = result.sample.get("wavelength")
    if wavelength is None:
        return
    instrument = _group(entry, "instrument", "NXinstrument")
    beam = _group(instrument, "beam", "NXbeam")
    beam["incident_wavelength"] = parse_wavelength(wavelength)
    beam["incident_wavelength"].attrs["units"] = "angstrom"
