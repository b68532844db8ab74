"""Who is let in, and what is turned away before anything reads it."""

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from fastapi.testclient import TestClient

from strainscope.web import guard
from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

LOCAL = "http://127.0.0.1"
TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def open_app(tmp_path_factory):
    app = create_app(ServerSettings(data=tmp_path_factory.mktemp("data"), workers=0), page=False)
    with TestClient(app, base_url=LOCAL):
        yield app


@pytest.fixture(scope="module")
def closed_app(tmp_path_factory):
    settings = ServerSettings(data=tmp_path_factory.mktemp("data"), workers=0, host="0.0.0.0", token=TOKEN)
    app = create_app(settings, page=False)
    with TestClient(app, base_url=LOCAL):
        yield app


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(guard, "_PENALTY_S", 0.0)


def test_a_loopback_server_answers_to_its_own_names_alone(open_app):
    for name in ("127.0.0.1", "localhost:8080", "[::1]:8080"):
        assert TestClient(open_app, base_url=f"http://{name}").get("/api/crystals").status_code == 200
    refused = TestClient(open_app, base_url="http://rebound.example").get("/api/crystals")
    assert (refused.status_code, "not at 'rebound.example'" in refused.json()["error"]) == (403, True)


def test_other_sites_pages_are_refused(open_app):
    client = TestClient(open_app, base_url=LOCAL)
    for origin, status in (("http://127.0.0.1", 200), ("http://evil.example", 403), ("null", 403)):
        reply = client.get("/api/crystals", headers={"origin": origin})
        assert reply.status_code == status


def test_the_sessions_cookie_is_made_once_and_out_of_scripts_reach(open_app):
    client = TestClient(open_app, base_url=LOCAL)
    first = client.get("/api/scans").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(first.split("; "))
    assert "set-cookie" not in client.get("/api/scans").headers
    forged = client.get("/api/scans", headers={"cookie": f"{guard.SESSION_COOKIE}=guess"})
    assert "set-cookie" in forged.headers


def test_another_programs_malformed_cookie_loses_none_of_ours(closed_app):
    secret = "s" * 43
    ours = f"{guard.SESSION_COOKIE}={secret}; {guard.TOKEN_COOKIE}={guard._digest(TOKEN)}"
    client = TestClient(closed_app, base_url="http://lab.example")
    reply = client.get("/api/scans", headers={"cookie": f'prefs={{"theme":"dark"}}; {ours}'})
    assert (reply.status_code, "set-cookie" in reply.headers) == (200, False)


def test_large_bodies_are_refused_whether_or_not_they_say_so(open_app):
    client = TestClient(open_app, base_url=LOCAL)
    said = client.post("/api/simulate", content=b"x" * 1_100_000)
    chunked = client.post("/api/simulate", content=iter([b"x" * 600_000] * 2))
    for reply in (said, chunked):
        assert (reply.status_code, "the request is larger than 1 MB." in reply.text) == (413, True)


def test_what_runs_in_a_browser_is_held_back(open_app):
    headers = TestClient(open_app, base_url=LOCAL).get("/api/crystals").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong-wrong-wrong"}, {"cookie": f"{guard.TOKEN_COOKIE}={TOKEN}"}],
)
def test_without_the_token_nothing_is_told(closed_app, headers):
    client = TestClient(closed_app, base_url=LOCAL)
    for place in ("/api/crystals", "/api/openapi.json", "/api/jobs", "/static/strainscope.js"):
        reply = client.get(place, headers=headers)
        assert (reply.status_code, "needs a token" in reply.json()["error"]) == (401, True)


def test_the_token_opens_as_header_form_or_link(closed_app):
    client = TestClient(closed_app, base_url="http://lab.example")
    assert client.get("/api/crystals", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    page = client.get("/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    wrong = client.post("/login", data={"token": "<b>"})
    assert (wrong.status_code, "This is not the token." in wrong.text) == (401, True)
    right = client.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert TOKEN not in right.headers["set-cookie"]
    assert client.get("/api/crystals").status_code == 200
    linked = TestClient(closed_app, base_url="http://lab.example")
    opened = linked.get("/", params={"token": TOKEN, "settings": "x"}, follow_redirects=False)
    assert opened.headers["location"] == "/?settings=x"
    assert linked.get("/api/crystals").status_code == 200
