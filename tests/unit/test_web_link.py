"""Links that restore settings."""

import base64
import zlib

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from strainscope.web.page.link import DeskSettings, checked_settings, settings_of, settings_text

SETTINGS = DeskSettings(
    sample="crystal: GGG\ntitle: Größe\n",
    axis="omega-deg",
    intensity="counts",
    values={"Dmax1": 0.0123456789012345},
    options={"seed": 3, "model_error": 0.1},
    estimator="ggg444-lab",
    gold=True,
)


def test_a_link_restores_all_settings():
    assert settings_of(settings_text(SETTINGS)) == SETTINGS


def test_a_cut_or_changed_link_is_refused_in_a_line():
    text = settings_text(SETTINGS)
    for damaged in (text[:-9], text[:20] + "AAAA" + text[24:], "", "é", "x" * 20_000):
        with pytest.raises(ValueError, match="the link's settings cannot be read .*; copy the whole link"):
            settings_of(damaged)


def test_a_link_that_would_unpack_to_much_is_refused():
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 9_000_000, 9)).decode()
    with pytest.raises(ValueError, match="cut off"):
        settings_of(bomb)


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"other": 1},
        {"sample": 3},
        {"axis": "omega"},
        {"values": {"Dmax1": "x"}},
        {"values": {"Dmax1": True}},
        {"values": [1]},
        {"options": {"gold": 1}},
        {"gold": 1},
        {"estimator": 3},
    ],
)
def test_what_is_no_settings_is_refused(data):
    with pytest.raises(ValueError, match="no settings"):
        checked_settings(data)
