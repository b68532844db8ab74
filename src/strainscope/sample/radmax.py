"""Projects of RaDMaX as sample files: settings, and strain and disorder as they were fitted there.

A project is an .ini and two files of coefficients. Depth runs there from the undamaged crystal up, strain is in %,
lengths of a pseudo-Voigt are shares of the damaged depth. Smooth B-splines (model 0) are this program's `b-spline`,
weights in reverse; the asymmetric pseudo-Voigt (model 2) is its `asymmetric-pseudo-voigt`. What has no counterpart
here, B-splines that end abruptly (model 1), E as a pseudo-Voigt and shares outside 0 to 1, becomes a table of the same
profile.

References:
    Souilah, Boulle & Debelle, J. Appl. Cryst. 49 (2016) 311, doi:10.1107/S1600576715021019
"""

import configparser
import math
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from strainscope.crystal import builtin_crystal
from strainscope.profile.pseudo_voigt import FADING
from strainscope.readers import read_text
from strainscope.sample.messages import at_key, sentence
from strainscope.sample.sample import validated

Floats = NDArray[np.float64]

LARGEST_BYTES = 1_000_000
SMOOTH, ABRUPT, PSEUDO_VOIGT = 0, 1, 2
PSEUDO_VOIGT_NUMBERS = 7
# Rows of the table that a profile without a counterpart becomes.
TABLE_ROWS = 201
# Of the damaged depth, how far the search may go from RaDMaX's, which holds it.
DEPTH_FACTORS = (0.5, 2.0)
_NUMBER = re.compile(r"[+-]?\d*\.?\d+\.?(?:[eE][+-]?\d{1,3})?")
# In RaDMaX strain and disorder are held within bounds; where the file has none, these, in %.
WEIGHTS_PERCENT = (-3.0, 3.0)


def radmax_sample(
    project: Path, *, strain: Path | None = None, disorder: Path | None = None, cif: str | None = None
) -> str:
    """The sample file, as YAML, that says what a project of RaDMaX does.

    Args:
        project: The project's .ini.
        strain: File of the strain's coefficients; by default the one that the project names, beside it.
        disorder: The same of the disorder.
        cif: Crystal in place of a built-in one.

    Raises:
        OSError: a file cannot be read.
        ValueError: the project does not make a sample; the message is one line that begins with the file's path.
    """
    settings = _settings(project)
    with at_key(str(project)):
        depth = _number(settings, "damaged_depth", least=1.0)
        model = round(_number(settings, "model", default=SMOOTH))
        if model not in (SMOOTH, ABRUPT, PSEUDO_VOIGT):
            raise ValueError(
                f"model = {model}; it must be 0 (smooth B-splines), 1 (abrupt ones) or 2 (pseudo-Voigt)."
            )
        document = _document(settings, cif)
    strain_path = strain or _beside(project, settings, "input_strain")
    disorder_path = disorder or _beside(project, settings, "input_dw")
    weights, factors = _coefficients(strain_path), _coefficients(disorder_path)
    fit: dict[str, Any] = {}
    with at_key(str(strain_path)):
        document["strain"] = _strain(weights / 100, model, depth, settings, fit)
    with at_key(str(disorder_path)):
        document["disorder"] = _disorder(factors, model, depth, fit)
    document["resolution"], width = _resolution(settings, project)
    document["fit"] = fit | width
    # Refused here rather than when the file is used.
    validated(document, source=str(project), folder=Path())
    head = (
        f"# From the RaDMaX project {project.name}; the starts of strain and disorder are its coefficients.\n"
    )
    text: str = yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
    return head + text


def _settings(project: Path) -> dict[str, str]:
    """Values by key, from all sections."""
    parser = configparser.ConfigParser(interpolation=None)
    text = read_text(project, what="RaDMaX project", limit_bytes=LARGEST_BYTES)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        why = " ".join(str(error).replace("<string>", "it").split())
        raise ValueError(sentence(f"{project}: this is no project of RaDMaX ({why[:200]})")) from None
    found = {key: value.strip() for name in parser.sections() for key, value in parser[name].items()}
    if "crystal_name" not in found:
        raise ValueError(f"{project}: this is no project of RaDMaX: crystal_name is missing.")
    return found


def _number(
    settings: Mapping[str, str], key: str, *, default: float | None = None, least: float = -math.inf
) -> float:
    if key not in settings and default is not None:
        return default
    try:
        value = float(settings[key])
    except KeyError:
        raise ValueError(f"{key} is missing.") from None
    except ValueError:
        raise ValueError(f"{key} = {settings[key][:40]!r}; it must be a number.") from None
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{key} = {value:g}; it must be a number of at least {least:g}.")
    return value


def _document(settings: Mapping[str, str], cif: str | None) -> dict[str, Any]:
    """Crystal, reflection, wavelength and scan."""
    name = settings["crystal_name"]
    document: dict[str, Any] = {"title": f"{name}, from RaDMaX"}
    if cif is None:
        try:
            builtin_crystal(name)
        except ValueError:
            raise ValueError(
                f"crystal_name = {name[:40]!r} is not built in; give its CIF by --cif."
            ) from None
    document |= {"crystal": name} if cif is None else {"cif": str(Path(cif).resolve())}
    a, b, c = (_number(settings, key, least=1.0) for key in "abc")
    document["lattice_A"] = a if a == b == c else {"a": a, "c": c} if a == b else {"a": a, "b": b, "c": c}
    document["reflection"] = [round(_number(settings, key)) for key in "hkl"]
    document["wavelength"] = _number(settings, "wavelength", least=0.1)
    document["scan"] = {"axis": "two-theta-deg", "intensity": "normalised"}
    return document


def _beside(project: Path, settings: Mapping[str, str], key: str) -> Path:
    """A file that the project names, which lies beside it: its path is of the machine that wrote it."""
    named = PureWindowsPath(settings.get(key, "").replace("/", "\\")).name
    if not named:
        option = "--strain" if key == "input_strain" else "--disorder"
        raise ValueError(f"{project}: {key} is missing; name the file by {option}.")
    return project.parent / named


def _coefficients(path: Path) -> Floats:
    text = read_text(path, what="RaDMaX coefficients", limit_bytes=LARGEST_BYTES)
    words = [word for line in text.split("\n") if not line.lstrip().startswith("#") for word in line.split()]
    wrong = next((word for word in words if len(word) > 40 or not _NUMBER.fullmatch(word)), None)
    if wrong is not None or not 1 <= len(words) <= 60:
        what = (
            f"{wrong[:40]!r} is no number"
            if wrong is not None
            else f"it has {len(words)} numbers, not 1 to 60"
        )
        raise ValueError(f"{path}: {what}; give a file of coefficients, one a line.")
    return np.array([float(word) for word in words])


def _strain(
    weights: Floats, model: int, depth: float, settings: Mapping[str, str], fit: dict[str, Any]
) -> dict[str, Any]:
    """Family of the strain; its starts are put into `fit`."""
    if model == SMOOTH:
        low, high = (
            _number(settings, key, default=_number(settings, old, default=usual)) / 100
            for key, old, usual in zip(
                ("strain_min", "strain_max"), ("min_strain", "max_strain"), WEIGHTS_PERCENT, strict=True
            )
        )
        fit["depth"] = {"start": depth}
        fit |= {f"weight_{i}": {"start": _plain(w)} for i, w in enumerate(weights[::-1], start=1)}
        return {
            "family": "b-spline",
            "number": weights.size,
            "depth_range_A": [_plain(factor * depth) for factor in DEPTH_FACTORS],
            "weight_range": [_plain(min(low, weights.min())), _plain(max(high, weights.max()))],
        }
    if model == PSEUDO_VOIGT:
        _check_pseudo_voigt(weights)
        height, place, deep, surface, eta_deep, eta_surface, plateau = weights * np.array([1, *5 * [100], 1])
        if all(0 <= share <= 1 for share in (place, eta_deep, eta_surface)):
            named = {
                "height": height,
                "centre": depth * (1 - place),
                "fwhm_surface": surface * depth,
                "fwhm_deep": deep * depth,
                "eta_surface": eta_surface,
                "eta_deep": eta_deep,
                "plateau": plateau,
            }
            fit |= {name: {"start": _plain(value)} for name, value in named.items()}
            fit["centre"]["bounds"] = [0.0, _plain(depth)]
            for name in ("fwhm_surface", "fwhm_deep"):
                fit[name]["bounds"] = [_plain(min(50.0, named[name])), _plain(DEPTH_FACTORS[1] * depth)]
            reach = max(0.03, abs(height), abs(plateau))
            return {
                "family": "asymmetric-pseudo-voigt",
                "plateau": True,
                "height_range": [-_plain(reach), _plain(reach)],
                # Down to the damaged depth it is as there; below it fades in place of an abrupt end.
                "end_A": _plain(depth) / FADING,
            }
        weights = np.array([height, place, deep, surface, eta_deep, eta_surface, plateau])
    return _table(_profile(weights, model, depth, limit=0.0), depth, fit)


def _disorder(factors: Floats, model: int, depth: float, fit: dict[str, Any]) -> dict[str, Any]:
    """Family of E; its starts are put into `fit`."""
    if model == SMOOTH:
        wrong = np.flatnonzero((factors < 0) | (factors > 1))
        if wrong.size:
            raise ValueError(
                f"weight {wrong[0] + 1} of E is {factors[wrong[0]]:g}; here it must lie in 0 to 1: fit it so in "
                "RaDMaX, or change it."
            )
        starts = {"depth": depth} | {f"weight_{i}": _plain(w) for i, w in enumerate(factors[::-1], start=1)}
        _add_starts(fit, starts)
        return {
            "family": "b-spline",
            "number": factors.size,
            "depth_range_A": [_plain(factor * depth) for factor in DEPTH_FACTORS],
        }
    if model == PSEUDO_VOIGT:
        _check_pseudo_voigt(factors)
    return _table(_profile(factors, model, depth, limit=1.0), depth, fit)


def _check_pseudo_voigt(numbers: Floats) -> None:
    if numbers.size != PSEUDO_VOIGT_NUMBERS:
        raise ValueError(f"{numbers.size} coefficients; a pseudo-Voigt of RaDMaX has {PSEUDO_VOIGT_NUMBERS}.")


def _profile(numbers: Floats, model: int, depth: float, *, limit: float) -> Floats:
    r"""Strain or E over TABLE_ROWS depths from the surface to the undamaged crystal.

    Abrupt B-splines of n weights have n - 3 cells, and no weight is fixed,

    .. math:: f(h) = \sum_i w_i B_3(h (n - 3)/t - i + 3),

    a pseudo-Voigt falls from its height to the limit towards the crystal, to the plateau towards the surface.
    """
    height = np.linspace(depth, 0.0, TABLE_ROWS)
    if model == ABRUPT:
        if numbers.size < 4:
            raise ValueError(f"{numbers.size} coefficients; B-splines that end abruptly have at least 4.")
        place = height * (numbers.size - 3) / depth
        return np.asarray(sum(w * _cubic(place - i + 3) for i, w in enumerate(numbers)))
    top, place, deep, surface, eta_deep, eta_surface, plateau = numbers
    upper = height > place * depth
    x = 2 * (height - place * depth) / (depth * np.where(upper, surface, deep))
    eta = np.where(upper, eta_surface, eta_deep)
    level = np.where(upper, plateau, limit)
    return np.asarray((top - level) * (eta / (1 + x**2) + (1 - eta) * 2.0 ** -(x**2)) + level)


def _cubic(x: Floats) -> Floats:
    """The cardinal cubic B-spline on 0 to 4."""
    y = np.abs(x - 2)
    return np.asarray(np.where(y < 1, 2 / 3 - y**2 + y**3 / 2, np.where(y < 2, (2 - y) ** 3 / 6, 0.0)))


def _add_starts(fit: dict[str, Any], starts: Mapping[str, float]) -> None:
    """Starts of a family; only names that the strain has, too, are told apart."""
    fit |= {f"disorder_{name}" if name in fit else name: {"start": value} for name, value in starts.items()}


def _table(values: Floats, depth: float, fit: dict[str, Any]) -> dict[str, Any]:
    _add_starts(fit, {"amplitude": 1.0, "stretch": 1.0})
    return {
        "family": "tabulated",
        "depth_A": [_plain(z) for z in np.linspace(0.0, depth, TABLE_ROWS)],
        "value": [_plain(value) for value in values],
    }


def _resolution(settings: Mapping[str, str], project: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pseudo-Voigt, and starts of its parameters: RaDMaX's width is in degrees."""
    with at_key(str(project)):
        width = 3600 * _number(settings, "resolution", least=0.0)
        share = _number(settings, "shape", default=0.0)
    if not 0 < width < 3600:
        raise ValueError(f"{project}: resolution = {width / 3600:g}°; it must lie between 0 and 1°.")
    fit: dict[str, Any] = {"fwhm_arcsec": {"start": _plain(width)}}
    if 0 < share < 1:
        fit["lorentz_fraction"] = {"start": share}
    ranged = {"family": "pseudo-voigt", "fwhm_range_arcsec": [_plain(max(0.5, width / 4)), _plain(4 * width)]}
    return ranged, fit


def _plain(value: float) -> float:
    """A number for people: nine digits."""
    return float(f"{float(value):.9g}")
