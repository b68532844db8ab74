"""A result on paper and on disc: a page for people, JSON and CSV for programs, a folder all or nothing.

Files keep the units of the package (Å, dimensionless strain); pages and figures for people use nm and %.
"""

import base64
import contextlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import yaml
from numpy.typing import NDArray

from strainscope import plots
from strainscope.inversion.result import DepthBands, FittedParameter, Mode, Result
from strainscope.scan import UNITS

SCHEMA_VERSION = 1
FILES = (
    "result.json",
    "profile.csv",
    "fit.csv",
    "report.html",
    "fit.png",
    "fit.svg",
    "profile.png",
    "profile.svg",
)
BADGES = {"reliable": ("good", "✓"), "check": ("fair", "!"), "do not use": ("bad", "✕")}
PROFILE_COLUMNS = (
    "depth_A",
    "depth_nm",
    "strain",
    "strain_lo",
    "strain_hi",
    "strain_lo_95",
    "strain_hi_95",
    "debye_waller",
    "debye_waller_lo",
    "debye_waller_hi",
    "debye_waller_lo_95",
    "debye_waller_hi_95",
)
FIT_COLUMNS = ("angle", "measured", "fitted", "residual_log10")
TEMPORARY = ".strainscope-"  # hidden; in the target's parent, so that a rename suffices
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


# For programs -----------------------------------------------------------------------------------------------


def result_document(result: Result, *, command: str | None = None) -> dict[str, Any]:
    """The result as plain data for JSON, described key by key in docs/result.md.

    Args:
        result: The inversion.
        command: What to type to repeat it.

    Returns:
        Dictionaries, lists, strings, numbers, booleans and None; None in place of NaN and infinities.
    """
    best, scan = result.best, result.scan
    document = {
        "schema_version": SCHEMA_VERSION,
        "verdict": result.verdict.level,
        "verdict_reasons": result.verdict.reasons,
        "scan": {
            "name": scan.name,
            "axis": scan.axis,
            "unit": UNITS[scan.axis],
            "intensity_kind": scan.intensity_kind,
            "points": scan.angle.size,
            "points_dropped": scan.points_dropped,
            "substrate_angle": result.substrate_angle,
        },
        "fit": {
            "chi2": best.chi2,
            "reduced_chi2": best.reduced_chi2,
            "rms_log10": best.rms_log10,
            "points": scan.angle.size,
            "free_parameters": len(best.fitted_names),
            "likelihood": result.likelihood,
        },
        "maximum_strain": best.maximum_strain[0],
        "maximum_strain_depth_A": best.maximum_strain[1],
        "parameters": _parameter_document(best),
        "profile": _profile_columns(best.bands),
        "band_meaning": result.band_meaning,
        "modes": [_mode_document(rank, mode) for rank, mode in enumerate(result.modes, start=1)],
        "sample": result.sample,
        "command": command,
        "seed": result.seed,
        "version": result.version,
        "wall_s": result.wall_s,
        "counters": result.counters,
    }
    plain: dict[str, Any] = _plain(document)
    return plain


def profile_csv(result: Result) -> str:
    """The best mode's profile with its bands (68 % unless the name says 95), one row a depth."""
    return _csv(_profile_columns(result.best.bands))


def fit_csv(result: Result) -> str:
    """Measured and fitted intensity and log10 of their ratio (nan where one is 0), one row a point.

    The angle is the scan's own, on its axis and in its unit, and the rows stand in the scan's order.
    """
    scan, best = result.scan, result.best
    residual = plots.residual_log10(scan, best)
    return _csv(dict(zip(FIT_COLUMNS, (scan.angle, scan.intensity, best.fitted, residual), strict=True)))


def _csv(columns: Mapping[str, NDArray[np.float64]]) -> str:
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    lines = [",".join(f"{v:.12g}" if math.isfinite(v) else "nan" for v in row) for row in rows]
    return "\n".join([",".join(columns), *lines, ""])


def _parameter_document(mode: Mode) -> dict[str, Any]:
    return {
        p.name: {
            "value": p.value,
            "sd": p.sd,
            "unit": p.unit,
            "lower": p.lower,
            "upper": p.upper,
            "fixed": p.name not in mode.fitted_names,
            "determined": p.determined,
            "at_bound": p.at_bound,
        }
        for p in mode.parameters
    }


def _mode_document(rank: int, mode: Mode) -> dict[str, Any]:
    return {
        "rank": rank,
        "weight": mode.weight,
        "chi2": mode.chi2,
        "reduced_chi2": mode.reduced_chi2,
        "rms_log10": mode.rms_log10,
        "starts": mode.starts,
        "maximum_strain": mode.maximum_strain[0],
        "maximum_strain_depth_A": mode.maximum_strain[1],
        "parameters": _parameter_document(mode),
        "fitted_names": mode.fitted_names,
        "covariance": mode.covariance,
        "fitted": mode.fitted,
        "profile": _profile_columns(mode.bands),
    }


def _profile_columns(bands: DepthBands) -> dict[str, NDArray[np.float64]]:
    values = (
        bands.depth,
        bands.depth / plots.ANGSTROM_PER_NM,
        bands.strain,
        *bands.strain_68,
        *bands.strain_95,
        bands.debye_waller,
        *bands.debye_waller_68,
        *bands.debye_waller_95,
    )
    return dict(zip(PROFILE_COLUMNS, values, strict=True))


def _plain(value: Any) -> Any:  # noqa: ANN401
    """The value in JSON's own types; what JSON has no word for becomes null (NaN) or its text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value)


def _json(document: dict[str, Any]) -> str:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    # Lists of numbers on one line. A newline cannot occur inside a JSON string, so no string is touched.
    return re.sub(r'\[\n\s*([^\[\]{}"]*?)\s*\]', lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


# For people -------------------------------------------------------------------------------------------------


def report_html(result: Result, *, command: str | None = None) -> str:
    """One page that opens offline: verdict, fit, profile, parameters, modes, how the error bars were made.

    Args:
        result: The inversion.
        command: What to type to repeat it.

    Returns:
        HTML with style and pictures inside; it loads nothing and runs nothing.
    """
    figures = {
        "fit": _svg_uri(plots.picture(plots.fit_figure(result, width_in=plots.PAGE_IN), kind="svg")),
        "fit_narrow": _svg_uri(plots.picture(plots.fit_figure(result), kind="svg")),
        "profile": _svg_uri(plots.picture(plots.profile_figure(result, width_in=plots.PAGE_IN), kind="svg")),
        "profile_narrow": _svg_uri(plots.picture(plots.profile_figure(result), kind="svg")),
    }
    badge, sign = BADGES.get(result.verdict.level, BADGES["do not use"])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("strainscope").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        result=result,
        best=result.best,
        badge=badge,
        sign=sign,
        figures=figures,
        unit=UNITS[result.scan.axis],
        parameters=[_parameter_row(result.best, p) for p in result.best.parameters],
        comparison=_comparison(result),
        modes=[_mode_row(rank, mode) for rank, mode in enumerate(result.modes)],
        maximum_band=_maximum_band(result.best),
        noise_known=result.scan.sigma is not None or result.scan.intensity_kind == "counts",
        sample=_yaml(result.sample),
        counters=_yaml(result.counters) if result.counters else "",
        command=command,
        wall=_time_text(result.wall_s),
        number=number_text,
    )


def value_text(value: float, sd: float | None) -> str:
    """A value with its standard deviation to two digits, both to the same decimal: "0.01200 ± 0.00023"."""
    if not math.isfinite(value) or sd is None or not math.isfinite(sd) or sd <= 0:
        return number_text(value, digits=5)
    exponent = math.floor(math.log10(max(abs(value), sd)))
    scientific = not -4 <= exponent < 6
    shift = exponent if scientific else 0
    # Ten digits of the value are the most that is shown, however small the deviation.
    decimals = min(1 - math.floor(math.log10(sd)), 9 - exponent) + shift
    shown = [round(x / 10.0**shift, decimals) for x in (value, sd)]
    text = " ± ".join(f"{x:.{max(decimals, 0)}f}" for x in shown).replace("-", "−")
    return f"({text})×10{str(shift).translate(SUPERSCRIPTS)}" if scientific else text


def number_text(value: float | None, *, digits: int = 4) -> str:
    """A number to so many digits, with a true minus sign and a raised exponent; "unknown" for NaN."""
    if value is None or not math.isfinite(value):
        return "unknown"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    # Whole numbers up to a million are easier to read than powers of ten.
    if exponent and digits <= int(exponent) < 6:
        mantissa, exponent = f"{float(f'{value:.{digits}g}'):.0f}", ""
    raised = f"×10{str(int(exponent)).translate(SUPERSCRIPTS)}" if exponent else ""
    return mantissa.replace("-", "−") + raised


def _parameter_row(mode: Mode, parameter: FittedParameter) -> dict[str, Any]:
    # A name that carries its unit keeps it.
    in_nm = parameter.unit == "Å" and not parameter.name.endswith("_A")
    factor = 1 / plots.ANGSTROM_PER_NM if in_nm else 1.0
    sd = None if parameter.sd is None else parameter.sd * factor
    held = parameter.name not in mode.fitted_names
    nearer_lower = parameter.value - parameter.lower <= parameter.upper - parameter.value
    flags = ["held"] if held else []
    if parameter.at_bound and not held:
        flags.append("at lower bound" if nearer_lower else "at upper bound")
    if not parameter.determined:
        flags.append("not determined by this curve")
    elif not held and (sd is None or not math.isfinite(sd)):
        flags.append("no standard deviation")
    return {
        "name": parameter.name,
        "value": value_text(parameter.value * factor, None if held else sd),
        "unit": "nm" if in_nm else "" if parameter.unit == "1" else parameter.unit,
        "lower": number_text(parameter.lower * factor),
        "upper": number_text(parameter.upper * factor),
        "held": held,
        "flags": flags,
    }


def _comparison(result: Result) -> list[tuple[str, str, list[str]]]:
    """Name, unit and value in every mode of each parameter; empty where there is one mode."""
    if len(result.modes) == 1:
        return []
    columns = [{p.name: _parameter_row(mode, p) for p in mode.parameters} for mode in result.modes]
    return [
        (name, row["unit"], [column[name]["value"] if name in column else "" for column in columns])
        for name, row in columns[0].items()
    ]


def _mode_row(index: int, mode: Mode) -> dict[str, Any]:
    colours = (plots.BEST, *plots.OTHERS)
    strain, depth = mode.maximum_strain
    return {
        "rank": index + 1,
        "colour": colours[index] if index < len(colours) else plots.FURTHER,
        "weight": plots.percent_text(mode.weight),
        "chi2": number_text(mode.chi2, digits=5),
        "reduced_chi2": number_text(mode.reduced_chi2, digits=3),
        "rms_log10": number_text(mode.rms_log10, digits=3),
        "strain": number_text(plots.PERCENT * strain, digits=3),
        "depth": number_text(depth / plots.ANGSTROM_PER_NM, digits=3),
        "starts": mode.starts,
    }


def _maximum_band(mode: Mode) -> tuple[str, str] | None:
    """The 68 % band of the strain [%] at the depth of the largest strain; None where it is not known."""
    depth = mode.maximum_strain[1]
    limits = [plots.PERCENT * float(np.interp(depth, mode.bands.depth, b)) for b in mode.bands.strain_68]
    if not all(map(math.isfinite, limits)):
        return None
    return number_text(limits[0], digits=3), number_text(limits[1], digits=3)


class _SettingsDumper(yaml.SafeDumper):
    """YAML as people write it: a reflection is [4, 4, 4] on one line."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:  # noqa: ANN401
        nested = any(isinstance(entry, dict | list) for entry in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not nested)


_SettingsDumper.add_representer(list, _SettingsDumper.represent_list)


def _yaml(settings: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        _plain(settings), Dumper=_SettingsDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text.rstrip()


def _time_text(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _svg_uri(svg: bytes) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


# On disc ----------------------------------------------------------------------------------------------------


def write_result(result: Result, folder: Path, *, force: bool = False, command: str | None = None) -> None:
    """Write the FILES into a new folder: all of them or, whatever happens, nothing.

    Args:
        result: The inversion.
        folder: The folder to make; missing parents are made, too.
        force: Replace the folder if it is a former result.
        command: What to type to repeat the inversion, for report and document.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a result.
        OSError: it cannot be written.
    """
    check_target(folder, force=force)
    target = Path(os.path.realpath(folder))
    made_parents = [parent for parent in target.parents if not parent.exists()]
    name = f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
    fresh, former = target.parent / name, target.parent / f"{name}-old"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.mkdir()
        _write_files(result, fresh, command)
        _swap(fresh, target, former)
    except OSError as error:
        raise OSError(f"{folder}: the result could not be written ({_reason(error)}).") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        if target.exists():
            shutil.rmtree(former, ignore_errors=True)
        for parent in made_parents:
            # Refused where it holds the result, as it does unless something went wrong.
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_target(folder: Path, force: bool = False) -> None:
    """Refuse a folder that :func:`write_result` could not write, before an inversion is spent on it.

    Args:
        folder: The folder that is to be made.
        force: Replace the folder if it is a former result.

    Raises:
        FileExistsError: the folder exists and `force` is off, or it holds something other than a result.
        OSError: it cannot be written.
    """
    target = Path(os.path.realpath(folder))
    try:
        if target.exists():
            _check_former(folder, target, force)
        ancestor = next(parent for parent in (target.parent, *target.parents) if parent.exists())
        if not ancestor.is_dir():
            raise NotADirectoryError(f"{folder}: {ancestor} is a file, not a folder; choose another place.")
        # Tried, as permissions alone do not tell of read-only or full file systems.
        probe = ancestor / f"{TEMPORARY}{uuid.uuid4().hex[:12]}"
        try:
            probe.mkdir()
        finally:
            shutil.rmtree(probe, ignore_errors=True)
    except OSError as error:
        if error.strerror is None:
            raise
        raise OSError(f"{folder}: no result can be written here ({_reason(error)}).") from error


def _check_former(folder: Path, target: Path, force: bool) -> None:
    if not target.is_dir():
        raise FileExistsError(f"{folder}: is a file; name a folder that does not exist yet.")
    names = sorted(entry.name for entry in target.iterdir())
    foreign = [name for name in names if name not in FILES]
    if names and "result.json" not in names:
        raise FileExistsError(
            f"{folder}: holds {names[0]} and no result.json, so it is no former result and is not replaced; "
            "choose another folder."
        )
    if not force:
        raise FileExistsError(f"{folder}: exists; name another folder, or replace it with --force.")
    if foreign:
        raise FileExistsError(
            f"{folder}: holds {foreign[0]} besides a former result, which replacing would delete; "
            "move it away or choose another folder."
        )
    if not os.access(target, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: no permission to replace this folder; choose another one.")


def _write_files(result: Result, folder: Path, command: str | None) -> None:
    def put(name: str, text: str) -> None:
        # A scan can be named after a file whose name is no valid UTF-8.
        (folder / name).write_bytes(text.encode("utf-8", "replace"))

    put("result.json", _json(result_document(result, command=command)))
    put("profile.csv", profile_csv(result))
    put("fit.csv", fit_csv(result))
    put("report.html", report_html(result, command=command))
    for name, draw in (("fit", plots.fit_figure), ("profile", plots.profile_figure)):
        figure = draw(result)
        (folder / f"{name}.png").write_bytes(plots.picture(figure, kind="png"))
        (folder / f"{name}.svg").write_bytes(plots.picture(figure, kind="svg"))


def _swap(fresh: Path, target: Path, former: Path) -> None:
    """Put the complete new folder in place; the former one steps aside first and comes back on failure."""
    try:
        if target.exists():
            target.rename(former)
        fresh.rename(target)
    except BaseException:
        if former.exists() and not target.exists():
            former.rename(target)
        raise


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
