"""Samples that clients describe: a preset's name, or the text of a sample file that names no file but uploaded CIFs."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from strainscope.sample import Sample, did_you_mean, parse_yaml, preset_text, presets
from strainscope.sample.sample import validated
from strainscope.web.messages import with_names
from strainscope.web.settings import LARGEST_SAMPLE_BYTES

# Keys that name files: a CIF has to be uploaded, others a client has no business with.
CIF_KEY = "cif"
PATH_KEYS = (CIF_KEY, "path")
MOST_FILMS = 20
SOURCE = "sample"
_REMEMBERED = 64

# Uploaded CIFs: what a sample calls each, and where the server keeps it.
Cifs = tuple[tuple[str, Path], ...]


def sample_text(sample: str) -> str:
    """The text of a sample file: of a preset's name, or the text itself.

    Raises:
        ValueError: neither.
    """
    if len(sample.encode()) > LARGEST_SAMPLE_BYTES:
        raise ValueError(f"{SOURCE}: is larger than {LARGEST_SAMPLE_BYTES / 1000:g} kB, the limit.")
    word = sample.strip()
    if word in presets():
        return preset_text(word)
    if "\n" not in word and ":" not in word:
        raise ValueError(
            f"{SOURCE} = {word[:40]!r} is neither the text of a sample file nor one of {', '.join(presets())}"
            f"{did_you_mean(word, presets()) or '.'}"
        )
    return sample


def sample_data(sample: str) -> dict[Any, Any]:
    """What a sample's text holds.

    Raises:
        ValueError: it is no sample that a client may give; one line.
    """
    text = sample_text(sample)
    _refuse_aliases(text)
    data = parse_yaml(text, source=SOURCE)
    films = data.get("films")
    if isinstance(films, list) and len(films) > MOST_FILMS:
        raise ValueError(f"{SOURCE}: films = {len(films)}; at most {MOST_FILMS} are taken.")
    return data


def named_cifs(sample: str) -> set[str]:
    """What a sample calls its CIFs.

    Raises:
        ValueError: it is no sample that a client may give; one line.
    """
    return {str(value) for _, key, value in _entries(sample_data(sample)) if key == CIF_KEY}


@lru_cache(maxsize=_REMEMBERED)
def read_sample(sample: str, cifs: Cifs = ()) -> Sample:
    """The sample that a client describes, checked as a whole.

    Args:
        sample: A preset's name, or the text of a sample file.
        cifs: What it may name; no other file is read.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    data = sample_data(sample)
    paths = {name: str(path) for name, path in cifs}
    for place, key, value in _entries(data):
        if key == CIF_KEY and str(value) not in paths:
            known = ", ".join(paths) or "none so far"
            raise ValueError(
                f"{SOURCE}: {place} = {str(value)[:40]!r}; the server reads no files that a sample names, but CIFs of "
                f"this session ({known}): upload it, and name it by its file name alone."
            )
        if key in PATH_KEYS and key != CIF_KEY:
            raise ValueError(
                f"{SOURCE}: {place} = {str(value)[:40]!r}; the server reads no files that a sample names, but CIFs of "
                "this session. Use another family here, or the command line."
            )
    try:
        return validated(_with_paths(data, paths), source=SOURCE, folder=None)
    except (ValueError, OSError) as error:
        raise ValueError(with_names(str(error), cifs)) from None


def _with_paths(data: Any, paths: Mapping[str, str]) -> Any:  # noqa: ANN401 (whatever YAML holds)
    """The data with the server's files in place of the names of CIFs."""
    if isinstance(data, Mapping):
        return {
            key: paths[str(value)] if key == CIF_KEY else _with_paths(value, paths) for key, value in data.items()
        }
    return [_with_paths(entry, paths) for entry in data] if isinstance(data, list) else data


def with_columns(
    described: Sample, axis: str | None, intensity: str | None, *, recorded: bool = False
) -> Sample:
    """The sample, told what its scans' columns are.

    Args:
        described: The sample.
        axis: Of all its scans; None for what the sample says, and for an instrument's file.
        intensity: The same.
        recorded: Whether all scans are in files of instruments, which say it themselves.

    Raises:
        ValueError: neither the sample nor the client says it, or it is none of the words.
    """
    said = described.with_options(axis=axis, intensity=intensity)
    kinds = [own.scan for own in said.by_reflection()]
    wanted = {
        "axis (delta-theta-arcsec, omega-deg or two-theta-deg)": all(kind.axis for kind in kinds),
        "intensity (counts or normalised)": all(kind.intensity for kind in kinds),
    }
    missing = " and ".join(words for words, known in wanted.items() if not known)
    if missing and not recorded:
        raise ValueError(f"what the scan's columns are is not said; choose {missing}.")
    return said


def _refuse_aliases(text: str) -> None:
    """Raise where one part of a text stands for another: a few lines could mean a million."""
    try:
        aliased = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        return
    if aliased:
        raise ValueError(f"{SOURCE}: has an alias (*name); write out what it stands for.")


def _entries(data: object, before: str = "") -> Iterator[tuple[str, str, object]]:
    """Place, key and value of all that the mappings of a document hold."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            place = f"{before}{key}"
            yield place, str(key), value
            yield from _entries(value, f"{place}.")
    elif isinstance(data, list):
        for i, value in enumerate(data):
            yield from _entries(value, f"{before.rstrip('.')}[{i}].")
