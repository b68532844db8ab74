"""Trained estimators that come with the package, by name."""

from importlib import resources
from pathlib import Path

from strainscope.sample.messages import did_you_mean, sentence

WEIGHTS = "estimator.safetensors"
"""Name of the file in the folder of a training."""
ABOUT_KEY = "strainscope"
"""Of what a weights file says of itself, in its header."""
_FOLDER, _SUFFIX = "estimators", ".safetensors"


def shipped_estimators() -> tuple[str, ...]:
    """Their names, sorted."""
    folder = resources.files("strainscope").joinpath(_FOLDER)
    if not folder.is_dir():
        return ()
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def estimator_path(name_or_path: str) -> Path:
    """The weights file of an estimator that ships or of a training's folder, or the path as it is given.

    Raises:
        ValueError: neither a name that ships nor anything like a file's path, or a folder without weights.
    """
    known = shipped_estimators()
    if name_or_path in known:
        return Path(str(resources.files("strainscope").joinpath(_FOLDER, name_or_path + _SUFFIX)))
    path = Path(name_or_path)
    if path.parent == Path() and not path.suffix and not path.exists():
        listed = f"one of those that ship ({', '.join(known)})" if known else "one that ships (there is none)"
        raise ValueError(
            sentence(
                f"estimator = {name_or_path!r} is no file, nor {listed}{did_you_mean(name_or_path, known)}"
            )
        )
    if path.is_dir() and not (path / WEIGHTS).exists():
        raise ValueError(
            f"{path}: is a folder without {WEIGHTS}; name a weights file. If it is a training's, it has not ended: "
            "go on with strainscope train and --resume."
        )
    return path / WEIGHTS if path.is_dir() else path
