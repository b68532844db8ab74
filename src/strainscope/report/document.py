"""The result as one JSON document, for programs."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import yaml

from strainscope.inversion.result import SCHEMA_VERSION, Evidence, Mode, Result
from strainscope.profile import IonProfile
from strainscope.report.tables import profile_columns
from strainscope.scan import UNITS


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
        "scan": _scan_document(result),
        "fit": {
            "chi2": best.chi2,
            "reduced_chi2": best.reduced_chi2,
            "counting_chi2": best.counting_chi2,
            "rms_log10": best.rms_log10,
            "points": scan.angle.size + sum(own.scan.angle.size for own in result.beside),
            "free_parameters": len(best.fitted_names),
            "likelihood": result.likelihood,
        },
        "reflections": [_reflection_document(result, i) for i in range(len(result.beside))],
        "maximum_strain": best.maximum_strain[0],
        "maximum_strain_depth_A": best.maximum_strain[1],
        "derived": _derived_document(best),
        "parameters": _parameter_document(best),
        "profile": profile_columns(best.bands),
        "band_meaning": result.band_meaning,
        "evidence": _evidence_document(result.evidence),
        "ions": [_ion_document(ions) for ions in result.ions],
        "modes": [_mode_document(rank, mode) for rank, mode in enumerate(result.modes, start=1)],
        "sample": result.sample,
        "command": command,
        "seed": result.seed,
        "version": result.version,
        "wall_s": result.wall_s,
        "counters": result.counters,
    }
    plain: dict[str, Any] = plain_data(document)
    return plain


def json_text(document: dict[str, Any]) -> str:
    """The document as JSON, indented, with lists of numbers on one line each."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    # A newline cannot occur inside a JSON string, so no string is touched.
    return re.sub(r'\[\n\s*([^\[\]{}"]*?)\s*\]', lambda m: f"[{' '.join(m[1].split())}]", text) + "\n"


def yaml_text(data: Mapping[Any, Any]) -> str:
    """Plain data as YAML, lists of numbers on a line each."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: a reflection is [4, 4, 4], bounds are {bounds: [0, 1]} on one line."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:  # noqa: ANN401
        nested = any(isinstance(entry, dict | list) for entry in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not nested)


_Dumper.add_representer(list, _Dumper.represent_list)


def _scan_document(result: Result) -> dict[str, Any]:
    scan = result.scan
    return {
        "name": scan.name,
        "axis": scan.axis,
        "unit": UNITS[scan.axis],
        "intensity_kind": scan.intensity_kind,
        "points": scan.angle.size,
        "substrate_angle": result.substrate_angle,
        "file": dict(scan.file),
    }


def _reflection_document(result: Result, index: int) -> dict[str, Any]:
    """One of the further reflections: its scan and its fit."""
    own = result.seen_at(index)
    return {
        "label": result.beside[index].label,
        "scan": _scan_document(own),
        "fit": {
            "chi2": own.best.chi2,
            "reduced_chi2": own.best.reduced_chi2,
            "counting_chi2": own.best.counting_chi2,
            "rms_log10": own.best.rms_log10,
            "points": own.scan.angle.size,
            "likelihood": own.likelihood,
        },
        "fitted": [mode.fitted for mode in own.modes],
    }


def _evidence_document(evidence: Evidence | None) -> dict[str, Any]:
    return asdict(evidence) if evidence else dict.fromkeys(own.name for own in fields(Evidence))


def _parameter_document(mode: Mode) -> dict[str, Any]:
    return {
        p.name: {
            "value": p.value,
            "sd": p.sd,
            "mean": p.mean,
            "median": p.median,
            "interval_90": p.interval_90,
            "unit": p.unit,
            "lower": p.lower,
            "upper": p.upper,
            "fixed": p.name not in mode.fitted_names,
            "determined": p.determined,
            "at_bound": p.at_bound,
            "bound": p.bound,
        }
        for p in mode.parameters
    }


def _derived_document(mode: Mode) -> dict[str, Any]:
    return {
        d.name: {
            "value": d.value,
            "unit": d.unit,
            "interval_68": d.interval_68,
            "interval_95": d.interval_95,
            "description": d.description,
        }
        for d in mode.derived
    }


def _mode_document(rank: int, mode: Mode) -> dict[str, Any]:
    return {
        "rank": rank,
        "weight": mode.weight,
        "chi2": mode.chi2,
        "reduced_chi2": mode.reduced_chi2,
        "rms_log10": mode.rms_log10,
        "starts": mode.starts,
        "effective_draws": mode.effective_draws,
        "pareto_k": mode.pareto_k,
        "maximum_strain": mode.maximum_strain[0],
        "maximum_strain_depth_A": mode.maximum_strain[1],
        "derived": _derived_document(mode),
        "known_to_A": mode.known_to,
        "parameters": _parameter_document(mode),
        "fitted_names": mode.fitted_names,
        "covariance": mode.covariance,
        "fitted": mode.fitted,
        "profile": profile_columns(mode.bands),
    }


def _ion_document(ions: IonProfile) -> dict[str, Any]:
    return {
        "what": ions.what,
        "ion": ions.ion,
        "program": ions.program,
        "unit": ions.unit,
        "peak_depth_A": ions.peak_depth,
        "depth_A": ions.depth,
        "value": ions.value,
    }


def plain_data(value: Any) -> Any:  # noqa: ANN401
    """The value in JSON's own types; what JSON has no word for becomes null (NaN) or its text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain_data(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(entry) for entry in value]
    return str(value)
