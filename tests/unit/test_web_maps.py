"""Maps that the server shows: what of their folder is given away, and what is not."""

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from fastapi.testclient import TestClient

from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

LOCAL = "http://127.0.0.1"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    whole = root / "maps" / "wafer 1"
    (whole / "page").mkdir(parents=True)
    for name in ("report.html", "map.nxs", "map.json", "page/00000.js"):
        (whole / name).write_text(f"content of {name}")
    (root / "maps" / "begun").mkdir()
    (root / "maps" / "begun" / "map.json").write_text("{}")
    (root / "secret").write_text("nobody's")
    app = create_app(ServerSettings(data=root / "data", maps=root / "maps", workers=0), page=False)
    with TestClient(app, base_url=LOCAL) as client:
        yield client


def test_maps_that_are_done_are_listed(client):
    assert client.get("/api/maps").json() == [
        {"map": "wafer 1", "page": "/maps/wafer%201/report.html", "file": "/maps/wafer%201/map.nxs"}
    ]


@pytest.mark.parametrize("file", ["report.html", "map.nxs", "page/00000.js"])
def test_their_files_are_given(client, file):
    reply = client.get(f"/maps/wafer%201/{file}")
    assert (reply.status_code, reply.text) == (200, f"content of {file}")
    assert "default-src 'none'" in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    "place",
    [
        "/maps/wafer%201/map.json",
        "/maps/wafer%201/page/00001.js",
        "/maps/wafer%201/page/../../../secret",
        "/maps/wafer%201/%2e%2e/%2e%2e/secret",
        "/maps/%2e%2e/secret",
        "/maps/../secret",
        "/maps/begun/report.html",
        "/maps/none/report.html",
    ],
)
def test_nothing_else_is(client, place):
    reply = client.get(place)
    assert reply.status_code == 404
    assert "nobody" not in reply.text


def test_a_server_without_maps_has_none(tmp_path):
    app = create_app(ServerSettings(data=tmp_path, workers=0), page=False)
    with TestClient(app, base_url=LOCAL) as client:
        assert client.get("/api/maps").json() == []
        assert client.get("/maps/a/report.html").status_code == 404


def test_a_folder_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"--maps .*none: there is no such folder; make it, or leave --maps out"):
        ServerSettings(data=tmp_path, maps=tmp_path / "none", workers=0)
