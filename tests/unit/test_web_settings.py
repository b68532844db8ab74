"""Where a server listens and what it needs to: an address that others reach needs a token."""

from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from strainscope.web.settings import ServerSettings, usual_data_folder

TOKEN = "sixteen-letters!"


def settings(**changed):
    return ServerSettings(**({"data": Path("nowhere"), "workers": 0} | changed))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_loopback_needs_no_token(host):
    assert settings(host=host).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_other_addresses_are_refused_without_a_token(host):
    with pytest.raises(
        ValueError, match=r"there is no token; set one in the environment variable STRAINSCOPE_TOKEN"
    ):
        settings(host=host)
    assert not settings(host=host, token=TOKEN).loopback


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"token": "short"}, "the token has 5 characters; it needs at least 16"),
        ({"port": 70000}, "--port = 70000; it must lie in 0 to 65535"),
        ({"largest_upload_mb": 51}, "--upload-mb = 51; it must lie in 0.001 to 50 MB"),
        ({"workers": -1}, "--workers = -1; it must be >= 0"),
        ({"keep_days": 0}, "--keep-days = 0; it must be > 0 days"),
    ],
)
def test_settings_out_of_range_are_refused(changed, line):
    with pytest.raises(ValueError, match=line):
        settings(**changed)


def test_results_are_kept_where_programs_keep_their_state(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert usual_data_folder() == Path("/somewhere/strainscope")
    monkeypatch.setenv("XDG_STATE_HOME", "somewhere")
    assert usual_data_folder() == Path.home() / ".local/state/strainscope"
