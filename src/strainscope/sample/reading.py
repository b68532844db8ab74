"""Sample files as YAML: the presets that ship, and files of one's own."""

import reprlib
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from strainscope.readers import read_text
from strainscope.sample.messages import did_you_mean, hint, sentence, yaml_problem
from strainscope.sample.sample import Sample, validated

LARGEST_SAMPLE_BYTES = 1_000_000


class _Loader(yaml.SafeLoader):
    """Plain data only; a key given twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            line = key_node.start_mark.line + 1
            if key_node.value in seen:
                raise ValueError(
                    f"line {line}: {key_node.value} is given twice (first in line {seen[key_node.value]})"
                )
            seen[key_node.value] = line
        return super().construct_mapping(node, deep)


def presets() -> tuple[str, ...]:
    """Names of the sample files that ship, sorted."""
    names = (entry.name for entry in resources.files("strainscope").joinpath("samples").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def preset_text(name: str) -> str:
    """The YAML of a sample file that ships.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in presets():
        raise ValueError(sentence(f"preset = {name!r}{hint(name, presets())}"))
    return resources.files("strainscope").joinpath("samples", f"{name}.yaml").read_text(encoding="utf-8")


def load_sample(name_or_path: str) -> Sample:
    """The sample of a preset's name or of a YAML file's path, checked as a whole.

    Raises:
        OSError: a file is missing or cannot be read.
        ValueError: what is wrong in it, in one line: file, key, value, what is allowed.
    """
    if name_or_path in presets():
        return _load(preset_text(name_or_path), source=name_or_path, folder=None)
    path = Path(name_or_path)
    if path.suffix.lower() not in (".yaml", ".yml") and path.parent == Path() and not path.exists():
        raise ValueError(
            sentence(
                f"sample = {name_or_path!r} is neither a file nor one of the presets {', '.join(presets())}"
                f"{did_you_mean(name_or_path, presets())}"
            )
        )
    text = read_text(path, what="sample", limit_bytes=LARGEST_SAMPLE_BYTES)
    return _load(text, source=name_or_path, folder=path.parent)


def _load(text: str, *, source: str, folder: Path | None) -> Sample:
    return validated(parse_yaml(text, source=source), source=source, folder=folder)


def parse_yaml(text: str, *, source: str) -> dict[Any, Any]:
    """The mapping that a YAML text holds: plain data, every key once.

    Raises:
        ValueError: what is wrong, in one line that begins with the source.
    """
    try:
        data = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: {yaml_problem(error)}.") from None
    except RecursionError:
        raise ValueError(f"{source}: nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}.") from None
    if not isinstance(data, dict):
        held = "nothing" if data is None else f"{reprlib.repr(data)}"
        raise ValueError(f"{source}: holds {held}; it must hold keys and their values (key: value).")
    return data
