"""Pictures of the maps: every parameter with its standard deviation, and the verdicts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import NDArray

from strainscope import plots
from strainscope.maps.judgement import LEVELS
from strainscope.plots import ANGSTROM_PER_NM, PAGE_IN, PERCENT, Picture, figure_style

Floats = NDArray[np.float64]

FOLDER = "pictures"
# No scan, reliable, check, do not use; the colour-blind can tell them apart.
_COLOURS = ("#ffffff", "#0072B2", "#E69F00", "#D55E00")
# Of the values, that outliers do not set the colours.
_SHOWN = (0.01, 0.99)


def write_pictures(path: Path, out: Path) -> None:
    """Draw the maps of a file into a folder within another.

    Args:
        path: Of `map.nxs`.
        out: Folder that gets `pictures/NAME.png`.
    """
    import h5py

    folder = out / FOLDER
    folder.mkdir(exist_ok=True)
    with h5py.File(path, "r") as file:
        entry = file["entry"]
        verdict = entry["verdict"]
        places = (verdict["y"][()], verdict["x"][()])
        unit = str(verdict["x"].attrs.get("units", ""))
        for name, own in quantities(entry):
            content = plots.picture(_pair(name, own, places, unit), kind="png")
            (folder / f"{name}.png").write_bytes(content)
        shown = _verdicts(verdict["level"][()], verdict["reduced_chi2"][()], places, unit)
        (folder / "verdict.png").write_bytes(plots.picture(shown, kind="png"))


def quantities(entry: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (h5py is not typed)
    """Name and group of every quantity that was not held, derived ones first."""
    for kind in ("derived", "parameters"):
        for name in entry[kind]["name"][()]:
            own = entry[kind][name.decode()]
            if not own.attrs["held"]:
                yield name.decode(), own


def scale_of(unit: str, name: str) -> tuple[float, str]:
    """Factor and unit in which a quantity is shown: lengths in nm, strains in %."""
    if unit == "Å":
        return 1 / ANGSTROM_PER_NM, "nm"
    if unit == "1" and ("strain" in name or name.startswith("D")):
        return PERCENT, "%"
    return 1.0, "" if unit == "1" else unit


def _pair(name: str, own: Any, places: tuple[Floats, Floats], unit: str) -> Picture:  # noqa: ANN401
    """Mean and standard deviation side by side."""
    factor, shown = scale_of(str(own.attrs["unit"]), name)
    values = [factor * own[key][()] for key in ("mean", "sd")]
    labels = (name, f"sd of {name}")
    with figure_style():
        figure = Picture(figsize=(PAGE_IN, _height(places)), layout="constrained")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for panel, map_, label in zip(axes, values, labels, strict=True):
            known = map_[np.isfinite(map_)]
            low, high = np.quantile(known, _SHOWN) if known.size else (0.0, 1.0)
            image = panel.imshow(map_, cmap="viridis", vmin=low, vmax=high, **_placed(places))
            figure.colorbar(image, ax=panel, label=f"{label} ({shown})" if shown else label)
        _label(axes, unit)
    return figure


def _verdicts(
    level: NDArray[np.uint8], reduced: Floats, places: tuple[Floats, Floats], unit: str
) -> Picture:
    with figure_style():
        figure = Picture(figsize=(PAGE_IN, _height(places)), layout="constrained")
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        colours = ListedColormap(_COLOURS)
        norm = BoundaryNorm(np.arange(len(LEVELS) + 1) - 0.5, len(LEVELS))
        image = axes[0].imshow(level, cmap=colours, norm=norm, **_placed(places))
        bar = figure.colorbar(image, ax=axes[0], ticks=range(len(LEVELS)))
        bar.ax.set_yticklabels(LEVELS)
        bar.ax.minorticks_off()
        known = reduced[np.isfinite(reduced)]
        top = float(np.quantile(known, _SHOWN[1])) if known.size else 1.0
        image = axes[1].imshow(reduced, cmap="viridis", vmin=0.0, vmax=max(top, 1e-3), **_placed(places))
        figure.colorbar(image, ax=axes[1], label="reduced χ²")
        _label(axes, unit)
    return figure


def _height(places: tuple[Floats, Floats]) -> float:
    y, x = (len(own) for own in places)
    return float(np.clip(0.36 * PAGE_IN * y / x + 0.7, 1.6, 6.0))


def _placed(places: tuple[Floats, Floats]) -> dict[str, Any]:
    """Where an image lies on its axes; the first row on top."""
    y, x = places
    steps = [float(np.median(np.diff(own))) if len(own) > 1 else 1.0 for own in places]
    half = [0.5 * step for step in steps]
    extent = (x[0] - half[1], x[-1] + half[1], y[-1] + half[0], y[0] - half[0])
    return {"extent": extent, "interpolation": "nearest", "aspect": "auto" if 0 in steps else "equal"}


def _label(axes: Any, unit: str) -> None:  # noqa: ANN401
    suffix = f" ({unit})" if unit else ""
    for panel in axes:
        panel.set_xlabel(f"x{suffix}")
        panel.tick_params(which="both", top=False, right=False)
    axes[0].set_ylabel(f"y{suffix}")
