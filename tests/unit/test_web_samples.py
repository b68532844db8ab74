"""Samples that clients describe: none of them names a file of the server, none means more than it says."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

pytest.importorskip("nicegui", reason="needs the extra web")

from strainscope.report import yaml_text
from strainscope.sample import base, preset_text, presets
from strainscope.sample.sample import Sample
from strainscope.web.samples import PATH_KEYS, named_cifs, read_sample, sample_text, with_columns

SILICON = """data_Si
_cell_length_a 5.4310
_cell_length_b 5.4310
_cell_length_c 5.4310
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'F d -3 m:1'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_B_iso_or_equiv
Si 0 0 0 0.46
"""
PLAIN = "crystal: GGG\nreflection: [4, 4, 4]\nwavelength: CuKa1\n"


def models(kind, seen):
    """Every settings model that a model's fields can hold."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in seen:
            seen.add(kind)
            for field in kind.model_fields.values():
                models(field.annotation, seen)
        return seen
    for part in get_args(kind):
        models(part, seen)
    return seen


def test_every_key_that_names_a_file_is_known():
    reader = base._in_folder.__name__
    found = {
        name
        for model in models(Sample, set())
        for name, field in model.model_fields.items()
        if reader in repr((field.annotation, field.metadata))
    }
    assert found == set(PATH_KEYS)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cif: /etc/passwd\nreflection: [4, 4, 4]\nwavelength: CuKa1", "cif = '/etc/passwd'"),
        (PLAIN + "resolution: {family: measured, path: /etc/passwd}", "resolution.path = '/etc/passwd'"),
        (PLAIN + "films: [{cif: a.cif, thickness_A: 1, mismatch: 0.1}]", r"films\[0\].cif = 'a.cif'"),
        (PLAIN + "monochromator: {cif: ../x, reflection: [1, 1, 1]}", "monochromator.cif = '../x'"),
    ],
)
def test_files_are_not_read(text, place):
    with pytest.raises(ValueError, match=f"sample: {place}; the server reads no files that a sample names"):
        read_sample(text)


WITH_CIF = "cif: garnet.cif\nreflection: [4, 4, 4]\nwavelength: CuKa1"


def test_an_uploaded_cif_is_read_by_its_name_alone(tmp_path):
    path = tmp_path / "garnet.cif"
    path.write_text(SILICON)
    own = read_sample(WITH_CIF.replace("[4, 4, 4]", "[0, 0, 4]"), (("garnet.cif", path),))
    assert own.substrate.crystal == "garnet"
    assert named_cifs(WITH_CIF) == {"garnet.cif"}
    for other in ("./garnet.cif", "../garnet.cif", str(path), "1", "[garnet.cif]", "{garnet.cif: 1}"):
        with pytest.raises(ValueError, match=r"CIFs of this session \(garnet.cif\): upload it"):
            read_sample(WITH_CIF.replace("garnet.cif", other), (("garnet.cif", path),))


def test_what_is_wrong_with_a_cif_names_no_file_of_the_server(tmp_path):
    path = tmp_path / "garnet.cif"
    path.write_text("data_x\n")
    with pytest.raises(ValueError, match="garnet") as refused:
        read_sample(WITH_CIF, (("garnet.cif", path),))
    assert str(tmp_path) not in str(refused.value)


def test_aliases_are_refused_before_they_grow():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(ValueError, match=r"sample: has an alias \(\*name\); write out"):
        read_sample("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("ggg44", "is neither the text of a sample file nor one of .* Did you mean ggg444?"),
        ("x: " + "y" * 100_000, "sample: is larger than 100 kB, the limit"),
        (
            PLAIN + "films:\n" + 21 * "- {crystal: YIG, thickness_A: 9, mismatch: 0.1}\n",
            "films = 21; at most 20",
        ),
        (PLAIN + "tolerence: 1", "unknown key 'tolerence'"),
    ],
)
def test_other_samples_are_refused_in_a_line(text, line):
    with pytest.raises(ValueError, match=line) as refused:
        read_sample(text)
    assert "\n" not in str(refused.value)


def test_columns_have_to_be_said():
    with pytest.raises(
        ValueError, match=r"is not said; choose axis \(.*\) and intensity \(counts or normalised\)"
    ):
        with_columns(read_sample(PLAIN), None, None)
    assert with_columns(read_sample(PLAIN), "omega-deg", "counts").scan.axis == "omega-deg"


@pytest.mark.parametrize("name", presets())
def test_text_written_again_is_the_same_sample(name):
    import yaml

    again = yaml_text(yaml.safe_load(preset_text(name)))
    assert read_sample(again) == read_sample(name)
    assert sample_text(name) == preset_text(name)


def test_no_sample_touches_the_disk(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: pytest.fail("read a file"))
    with pytest.raises(ValueError, match="neither the text"):
        read_sample("/etc/passwd")
