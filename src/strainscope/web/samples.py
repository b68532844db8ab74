"""Samples that clients describe: a preset's name, or the text of a sample file that names no files."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import yaml

from strainscope.sample import Sample, did_you_mean, parse_yaml, preset_text, presets
from strainscope.sample.sample import validated
from strainscope.web.settings import LARGEST_SAMPLE_BYTES

# Keys that name files, which a client has no business with.
PATH_KEYS = ("cif", "path")
MOST_FILMS = 20
SOURCE = "sample"
_REMEMBERED = 64


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
    """What a sample's text holds, none of it a file of this machine.

    Raises:
        ValueError: it is no sample that a client may give; one line.
    """
    text = sample_text(sample)
    _refuse_aliases(text)
    data = parse_yaml(text, source=SOURCE)
    for place, key, value in _entries(data):
        if key in PATH_KEYS:
            raise ValueError(
                f"{SOURCE}: {place} = {str(value)[:40]!r}; the server reads no files that a sample names. "
                "Use a built-in crystal or another family here, or the command line."
            )
    films = data.get("films")
    if isinstance(films, list) and len(films) > MOST_FILMS:
        raise ValueError(f"{SOURCE}: films = {len(films)}; at most {MOST_FILMS} are taken.")
    return data


@lru_cache(maxsize=_REMEMBERED)
def read_sample(sample: str) -> Sample:
    """The sample that a client describes, checked as a whole.

    Raises:
        ValueError: what is wrong with it, in one line.
    """
    described = validated(sample_data(sample), source=SOURCE, folder=None)
    labels = [own.label for own in described.by_reflection()]
    if len(labels) > 1:
        raise ValueError(
            f"{SOURCE}: has several reflections, {', '.join(labels)}; the page takes samples of one. "
            "`strainscope invert` fits several together."
        )
    return described


def with_columns(described: Sample, axis: str | None, intensity: str | None) -> Sample:
    """The sample, told what a scan's columns are.

    Raises:
        ValueError: neither the sample nor the client says it, or it is none of the words.
    """
    said = described.with_options(axis=axis, intensity=intensity)
    wanted = {
        "axis (delta-theta-arcsec, omega-deg or two-theta-deg)": said.scan.axis,
        "intensity (counts or normalised)": said.scan.intensity,
    }
    missing = " and ".join(words for words, known in wanted.items() if not known)
    if missing:
        raise ValueError(f"what the scan's columns are is not said; choose {missing}.")
    return said


def yaml_text(data: Mapping[Any, Any]) -> str:
    """The text of a sample file, lists of numbers on a line each."""
    return yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: a reflection is [4, 4, 4], bounds are {bounds: [0, 1]} on one line."""

    def represent_list(self, data: Any) -> yaml.SequenceNode:  # noqa: ANN401
        nested = any(isinstance(entry, dict | list) for entry in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=not nested)


_Dumper.add_representer(list, _Dumper.represent_list)


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
