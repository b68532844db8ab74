"""Words that the shell completes, known without importing what takes long."""

from importlib import resources


def sample_names(incomplete: str) -> list[str]:
    """Sample files that ship, by the beginning of their names; the shell completes files by itself."""
    entries = resources.files("strainscope").joinpath("samples").iterdir()
    names = sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))
    return [name for name in names if name.startswith(incomplete)]


def axis_names(incomplete: str) -> list[str]:
    """Axes of a scan."""
    names = ("delta-theta-arcsec", "omega-deg", "two-theta-deg")
    return [name for name in names if name.startswith(incomplete)]


def intensity_names(incomplete: str) -> list[str]:
    """What the intensities of a scan can be."""
    return [name for name in ("counts", "normalised") if name.startswith(incomplete)]
