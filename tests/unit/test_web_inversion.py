"""Inversions through the server: the command line's results to the digit, cancelled, compared, kept over a restart."""

import io
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

import numpy as np
from fastapi.testclient import TestClient
from tests.instrument_files import xrdml, xrdml_scan
from tests.unit.test_web_samples import SILICON

from strainscope import report
from strainscope.sample import load_sample
from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

EXAMPLE = Path(__file__).parents[2] / "examples/ggg444-simulated.xy"
LOCAL = "http://127.0.0.1"
# A search that finds the example's basin in seconds.
QUICK = {"draws": 64, "starts": 1}
PATIENCE_S = 300
# Little of it is free, so that it is quick.
JOINT = """crystal: GGG
wavelength: CuKa1
scan: {axis: delta-theta-arcsec, intensity: counts}
reflections:
- reflection: [4, 4, 4]
- reflection: [8, 8, 8]
disorder: none
fit:
  D02: {value: 0.002, held: true}
  L2: {value: 2000, held: true}
  Rp2: {value: -500, held: true}
"""
OWN = "cif: silicon.cif\nreflection: [0, 0, 4]\nwavelength: CuKa1\n"
# On an axis that has the 004 peak of silicon in it.
PEAK = np.random.default_rng(5).poisson(
    20 + 2e4 / (1 + (np.linspace(34.3, 34.65, 101) - 34.564) ** 2 / 0.004**2) + 2e3 * (np.arange(101) > 60)
).astype(float)


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


def simulated(sample, **options):
    """A scan of a sample as text; short, so that it is inverted in seconds."""
    values = sample.simulated_values({}, counts=1e5)
    scan, _ = sample.simulate(values, counts=1e5, **options)
    return "\n".join(f"{x:.6f} {y:.0f}" for x, y in zip(scan.angle, scan.intensity, strict=True))


def by_command(folder, *arguments):
    """The result of the command line in a folder, without what differs from run to run."""
    command = [sys.executable, "-m", "strainscope", "invert", *arguments, "-o", "out"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return without_times((folder / "out" / "result.json").read_text())


def without_times(text):
    document = json.loads(text)
    document.pop("command")
    document.pop("wall_s")
    return document


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Inversions of two reflections together, and of a sample with a CIF: results, and folders with what was asked."""
    joint, own = (tmp_path_factory.mktemp(name) for name in ("joint", "own"))
    (joint / "mine.yaml").write_text(JOINT)
    first, second = load_sample(str(joint / "mine.yaml")).by_reflection()
    (joint / "444.xy").write_text(simulated(first, span=(-1700, 300), step=20))
    (joint / "888.xy").write_text(simulated(second, span=(-6500, 600), step=60))
    (own / "silicon.cif").write_text(SILICON)
    (own / "mine.yaml").write_text(OWN)
    (own / "day.xrdml").write_bytes(
        xrdml(xrdml_scan(axis="Phi"), xrdml_scan(omega=(34.3, 34.65), two_theta=69.1, values=PEAK))
    )
    settings = ServerSettings(data=tmp_path_factory.mktemp("data"), workers=1)
    with TestClient(create_app(settings, page=False), base_url=LOCAL) as client:
        files = {"file": ("silicon.cif", SILICON)}
        assert client.post("/api/cifs", files=files).status_code == 201
        scans = {}
        for path in (joint / "444.xy", joint / "888.xy", own / "day.xrdml"):
            upload = client.post("/api/scans", files={"file": (path.name, path.read_bytes())})
            scans[path.stem] = upload.json()["scan"]
        asked = {
            joint: {"scan": [scans["444"], scans["888"]], "sample": JOINT},
            own: {"scan": scans["day"], "number": 2, "sample": OWN},
        }
        found = {}
        for folder, request in asked.items():
            reply = client.post("/api/jobs", json=request | QUICK)
            assert reply.status_code == 202, reply.text
            done, _ = until(client, reply.json()["job"], "done", "failed")
            assert done["state"] == "done", done
            content = client.get(f"/api/jobs/{done['job']}/archive").content
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                found[folder.name[:3]] = (folder, done, {n: packed.read(n) for n in packed.namelist()})
        asked = {"jobs": ",".join(done["job"] for _, done, _ in found.values())}
        found["series"] = client.get("/api/series", params=asked)
    return found


def test_reflections_together_are_the_command_lines_to_the_digit(others):
    folder, done, files = others["joi"]
    options = ["--draws", "64", "--starts", "1", "--seed", "0"]
    wanted = by_command(folder, "444.xy", "888.xy", "--sample", "mine.yaml", *options)
    assert without_times(files["result.json"]) == wanted
    assert wanted["reflections"][0]["scan"]["name"] == "888"
    command = json.loads(files["result.json"])["command"]
    assert command == f"strainscope invert 444.xy 888.xy --sample sample.yaml {' '.join(options)} -o NEW_FOLDER"
    assert (done["name"], {"fit_888.csv", "fit_888.png"} <= set(files)) == ("444.xy + 888.xy", True)


def test_a_sample_with_its_cif_is_the_command_lines_to_the_digit(others):
    folder, done, files = others["own"]
    options = ["--sample", "mine.yaml", "--scan", "2", "--draws", "64", "--starts", "1", "--seed", "0"]
    wanted = by_command(folder, "day.xrdml", *options)
    assert without_times(files["result.json"]) == wanted
    assert (wanted["scan"]["name"], wanted["sample"]["cif"]) == ("day-2", "silicon.cif")
    assert (files["silicon.cif"].decode(), files["sample.yaml"].decode()) == (SILICON, OWN)
    assert done["name"] == "day-2.xrdml"


def test_results_of_different_samples_are_compared(others):
    assert others["series"].status_code == 200, others["series"].text
    with zipfile.ZipFile(io.BytesIO(others["series"].content)) as packed:
        assert {"scans/444.xy + 888/fit_888.csv", "scans/day-2/result.json"} <= set(packed.namelist())


def test_no_place_of_the_server_is_in_a_result(others):
    for _, _, files in (others["joi"], others["own"]):
        for name, content in files.items():
            # The letters of a picture in base64 may be any, by chance these.
            said = re.sub(rb"base64,[\w+/=\s]+", b"", content)
            assert tempfile.gettempdir().encode() not in said, name


def test_progress_goes_one_way_and_ends_with_files(first):
    assert first["done"]["state"] == "done", first["done"]
    shares = first["shares"]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    summary, document = first["done"]["summary"], json.loads(first["result"].content)
    assert summary.pop("verdict") == document["verdict"]
    assert summary.pop("wall_s") > 0
    document |= document["fit"]
    assert summary == pytest.approx({name: document[name] for name in summary})
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
