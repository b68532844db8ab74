"""Inversions through the server: the command line's results to the digit, cancelled, compared, kept over a restart."""

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from fastapi.testclient import TestClient

from strainscope import report
from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

EXAMPLE = Path(__file__).parents[2] / "examples/ggg444-simulated.xy"
LOCAL = "http://127.0.0.1"
# A search that finds the example's basin in seconds.
QUICK = {"draws": 64, "starts": 1}
PATIENCE_S = 300


def until(client, job, *states):
    """The inversion once it is in one of the states, and the shares of the whole that were seen before."""
    shares = []
    for _ in range(PATIENCE_S * 10):
        own = client.get(f"/api/jobs/{job}").json()
        shares.append(own["progress"])
        if own["state"] in states:
            return own, shares
        assert own["state"] in ("waiting", "running"), own
        time.sleep(0.1)
    raise AssertionError(f"still {own}")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def first(data):
    """One server's life: an inversion with a result, and one that is cancelled while it runs."""
    with TestClient(create_app(ServerSettings(data=data, workers=1), page=False), base_url=LOCAL) as client:
        scan = client.post("/api/scans", files={"file": (EXAMPLE.name, EXAMPLE.read_bytes())}).json()["scan"]
        asked = {"scan": scan, "sample": "ggg444", "intensity": "counts"}
        job = client.post("/api/jobs", json=asked | QUICK).json()["job"]
        done, shares = until(client, job, "done", "failed")
        stopped = client.post("/api/jobs", json=asked | {"draws": 200_000}).json()["job"]
        until(client, stopped, "running")
        client.delete(f"/api/jobs/{stopped}")
        cancelled, _ = until(client, stopped, "cancelled")
        # In a fresh process, as kernels that a process compiled itself round differently from those that it loads.
        job = client.post("/api/jobs", json=asked | QUICK).json()["job"]
        until(client, job, "done", "failed")
        result = client.get(f"/api/jobs/{job}/result")
        archive = client.get(f"/api/jobs/{job}/archive").content
        picture = client.get(f"/api/jobs/{job}/files/fit.svg", params={"download": True})
        cookies = dict(client.cookies)
    return locals()


def test_the_result_is_the_command_lines_to_the_digit(first, tmp_path):
    options = ["--sample", "ggg444", "--intensity", "counts", "--draws", "64", "--starts", "1", "--seed", "0"]
    command = [
        sys.executable,
        "-m",
        "strainscope",
        "invert",
        str(EXAMPLE),
        *options,
        "-o",
        str(tmp_path / "out"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    wanted = json.loads((tmp_path / "out" / "result.json").read_text())
    found = json.loads(first["result"].content)
    assert found.pop("command") == f"strainscope invert {EXAMPLE.name} {' '.join(options)} -o NEW_FOLDER"
    wanted.pop("command")
    for document in (wanted, found):
        document.pop("wall_s")
    assert found == wanted


def test_progress_goes_one_way_and_ends_with_files(first):
    assert first["done"]["state"] == "done", first["done"]
    shares = first["shares"]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    assert first["done"]["summary"]["verdict"] in ("reliable", "check")
    with zipfile.ZipFile(io.BytesIO(first["archive"])) as packed:
        names = set(packed.namelist())
    assert (
        names
        == set(report.FILES) | {"corner.png", "corner.svg", "sample.yaml"}
        == set(first["done"]["files"])
    )


def test_files_are_named_after_the_scan_and_run_nothing(first):
    headers = first["picture"].headers
    assert headers["content-disposition"].startswith('attachment; filename="ggg444-simulated-fit.svg"')
    assert headers["content-security-policy"].endswith("sandbox")
    assert first["picture"].content.startswith(b"<?xml")


def test_a_running_inversion_is_cancelled(first):
    assert (first["cancelled"]["state"], first["cancelled"]["error"]) == ("cancelled", None)


def test_a_restart_and_the_same_cookie_give_the_same_result(first, data):
    settings = ServerSettings(data=data, workers=0)
    with TestClient(create_app(settings, page=False), base_url=LOCAL, cookies=first["cookies"]) as client:
        assert client.get(f"/api/jobs/{first['job']}/result").content == first["result"].content
        client.cookies.clear()
        assert client.get(f"/api/jobs/{first['job']}/result").status_code == 404


def test_results_are_compared_as_a_series(first, data):
    settings = ServerSettings(data=data, workers=0)
    with TestClient(create_app(settings, page=False), base_url=LOCAL, cookies=first["cookies"]) as client:
        asked = {"jobs": f"{first['job']},{first['job']}", "against": "dose", "numbers": "1e15,2e15"}
        with zipfile.ZipFile(io.BytesIO(client.get("/api/series", params=asked).content)) as packed:
            lines = packed.read("series.csv").decode().splitlines()
            assert {"report.html", "series.parquet", "scans/ggg444-simulated-2/report.html"} <= set(
                packed.namelist()
            )
        assert [line.split(",")[1] for line in lines] == ['"dose"', "1e+15", "2e+15"]
        alone = client.get("/api/series", params={"jobs": first["job"]})
        assert (alone.status_code, "a series is made of 2 to 60" in alone.json()["error"]) == (400, True)
        for numbers, line in (
            ("1", "numbers = 1 for 2 results"),
            ("1,x", "give numbers separated by commas"),
        ):
            reply = client.get("/api/series", params=asked | {"numbers": numbers})
            assert line in reply.json()["error"]
