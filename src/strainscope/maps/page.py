"""A page of the map that opens offline: a map to choose, and under the pointer the pixel's curve, fit and profile.

Curves and profiles are as fine as a screen shows, a byte a value. They lie in files beside the page, one for some rows,
which it loads when a pixel in them is asked for.
"""

import base64
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from strainscope.experiment import Experiment
from strainscope.maps.judgement import LEVELS, REASONS
from strainscope.maps.pictures import quantities, scale_of
from strainscope.maps.stack import Stack
from strainscope.maps.survey import Prepared, blocks
from strainscope.plots import ANGSTROM_PER_NM, AXIS_SYMBOLS, PERCENT
from strainscope.scan import UNITS

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]

PAGE, ROWS = "report.html", "page"
# Pixels of a page at most: of larger maps it has every second or third one.
MOST_PIXELS = 250_000
# Bytes of a file beside the page, about, and depths of a profile.
_FILE_BYTES, _DEPTHS = 2_000_000, 64
# Levels that a value is told from; 0 is for none. Decades below the lowest count that a fit is followed.
_LEVELS, _BELOW = 254, 0.5


def write_page(out: Path, stack: Stack, ready: Prepared, *, file: str) -> None:
    """Write the page of a map and what lies beside it.

    Args:
        out: Folder of the map, with `file` in it.
        stack: Its scans.
        ready: Which of them there are.
        file: Name of the map's file.
    """
    import h5py

    folder = out / ROWS
    folder.mkdir(exist_ok=True)
    step = max(1, int(np.ceil(np.sqrt(np.prod(stack.shape) / MOST_PIXELS))))
    experiment = ready.problem.model.experiment
    with h5py.File(out / file, "r") as root:
        entry = root["entry"]
        scales = _Scales(entry, stack, ready, experiment)
        rows = np.arange(0, stack.shape[0], step)
        each = max(1, _FILE_BYTES // max(scales.bytes_per_pixel * len(range(0, stack.shape[1], step)), 1))
        files = 0
        for first in range(0, len(rows), each):
            content = b"".join(scales.row(int(y), step) for y in rows[first : first + each])
            text = f"pixels({files}, '{base64.b64encode(content).decode()}');\n"
            (folder / f"{files:05d}.js").write_text(text, encoding="ascii")
            files += 1
        data = {
            "shape": [len(rows), len(range(0, stack.shape[1], step))],
            "step": step,
            "rowsPerFile": each,
            "places": [[float(at) if np.isfinite(at) else None for at in own[::step]] for own in stack.places[:2]],
            "placeUnit": stack.places[2],
            "levels": list(LEVELS),
            "reasons": [words for _, words in REASONS],
            "maps": list(_maps(entry, step)),
            "level": _packed(entry["verdict/level"][()][::step, ::step].astype(np.uint8)),
            "why": _packed(entry["verdict/reasons"][()][::step, ::step].astype("<u2")),
            "angle": [round(float(angle), 6) for angle in stack.angle[ready.survey.frames]],
            "angleLabel": f"{AXIS_SYMBOLS[stack.axis]} ({UNITS[stack.axis]})",
            **scales.document,
        }
        levels = entry["verdict/level"][()]
        counts = ", ".join(f"{(levels == i).sum()} {name}" for i, name in enumerate(LEVELS) if (levels == i).any())
        settings = json.loads(entry["sample_settings"][()])
        version = entry["program_name"].attrs["version"]
        about = f"{counts}. Sample: {settings.get('title') or settings['crystal']}. Strainscope {version}."
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    source = resources.files("strainscope").joinpath("templates/map.html.j2").read_text(encoding="utf-8")
    # Nothing in a script may end it.
    script = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    page = environment.from_string(source).render(
        title=f"Map of {stack.path.stem}", about=about, data=script, notes=ready.survey.notes, step=step
    )
    (out / PAGE).write_text(page, encoding="utf-8")


def _maps(entry: Any, step: int) -> Iterator[dict[str, Any]]:  # noqa: ANN401 (h5py is not typed)
    """Quantities and their standard deviations as the page shows them."""
    for name, own in quantities(entry):
        factor, unit = scale_of(str(own.attrs["unit"]), name)
        words = str(own.attrs["long_name"])
        yield {
            "name": name,
            "unit": unit,
            "words": words,
            "mean": _packed((factor * own["mean"][()][::step, ::step]).astype("<f4")),
            "sd": _packed((factor * own["sd"][()][::step, ::step]).astype("<f4")),
        }
    for name, words in (("reduced_chi2", "reduced χ²"), ("rms_log10", "rms of log10(fit/measured)")):
        values = entry["verdict"][name][()][::step, ::step].astype("<f4")
        yield {"name": name, "unit": "", "words": words, "mean": _packed(values), "sd": None}


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


class _Scales:
    """Bytes of curves and profiles, on scales that all pixels share."""

    def __init__(self, entry: Any, stack: Stack, ready: Prepared, experiment: Experiment) -> None:  # noqa: ANN401
        self._entry, self._stack, self._survey = entry, stack, ready.survey
        self._experiment = experiment
        self._names = [name.decode() for name in entry["parameters"]["name"][()]]
        known = self._best(slice(None))[ready.survey.pixels]
        own = known[:, experiment.slices["profile"]]
        family = experiment.profile.strain
        extent = family.extent(own[:, : len(family.parameters)], 1e-4)
        self._depth = np.linspace(0, 1.1 * float(np.quantile(extent, 0.99)), _DEPTHS)
        size, where = family.maximum(own[:, : len(family.parameters)])
        signed = family.evaluate(where[:, None], own[:, : len(family.parameters)])[:, 0]
        top = float(np.abs(size).max()) or 1e-4
        self._strain = (-1.05 * top if (signed < 0).any() else 0.0, 1.05 * top if (signed >= 0).any() else 0.0)
        low, high = np.inf, 0.0
        for part in blocks(stack):
            values = stack.read(part, slice(None))[0][..., ready.survey.frames]
            seen = values[values > 0]
            if seen.size:
                low, high = min(low, float(seen.min())), max(high, float(seen.max()))
        self._log = (np.log10(low) - _BELOW, np.log10(high) + 0.1)

    @property
    def bytes_per_pixel(self) -> int:
        """Of curve, fit, strain and E."""
        return 2 * int(self._survey.frames.sum()) + 2 * _DEPTHS

    @property
    def document(self) -> dict[str, Any]:
        """What turns bytes into values: ends of the scales, strains in %, depths in nm."""
        return {
            "log": list(self._log),
            "strain": [PERCENT * end for end in self._strain],
            "depth": [0.0, float(self._depth[-1]) / ANGSTROM_PER_NM],
            "depths": _DEPTHS,
            "quantised": _LEVELS,
        }

    def _best(self, y: slice) -> Floats:
        return np.stack([self._entry["parameters"][name]["best"][y] for name in self._names], axis=-1)

    def row(self, y: int, step: int) -> bytes:
        """Pixels of one row of the map."""
        there = self._survey.pixels[y, ::step]
        measured = self._stack.read(slice(y, y + 1), slice(None))[0][0, ::step][:, self._survey.frames]
        fitted = self._entry["fit/fitted"][y][::step].astype(np.float64)
        strain, factor = (np.full((len(there), _DEPTHS), np.nan) for _ in range(2))
        if there.any():
            own = self._best(slice(y, y + 1))[0, ::step][there][:, self._experiment.slices["profile"]]
            depth = np.broadcast_to(self._depth, (len(own), _DEPTHS))
            strain[there], factor[there] = self._experiment.profile.evaluate(depth, own)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = [np.log10(values) for values in (measured, fitted)]
        parts = [_quantised(values, self._log) for values in logs]
        parts += [_quantised(strain, self._strain), _quantised(factor, (0.0, 1.0))]
        return np.concatenate(parts, axis=1).tobytes()


def _quantised(values: Floats, ends: tuple[float, float]) -> Bytes:
    """Bytes from 1; 0 where there is no value."""
    known = np.isfinite(values)
    share = np.clip((np.where(known, values, ends[0]) - ends[0]) / max(ends[1] - ends[0], 1e-30), 0.0, 1.0)
    return np.where(known, 1 + np.rint(_LEVELS * share), 0).astype(np.uint8)
