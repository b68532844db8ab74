"""The REST interface without inversions: what is taken, what is said of what is not, who sees what."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="needs the extra web")

from fastapi.testclient import TestClient
from tests.instrument_files import OMEGA, counts, nexus, spec, spec_scan, xrdml, xrdml_scan
from tests.unit.test_web_samples import SILICON

from strainscope.sample import load_sample
from strainscope.web.app import create_app
from strainscope.web.settings import ServerSettings

EXAMPLE = Path(__file__).parents[2] / "examples/ggg444-simulated.xy"
LOCAL = "http://127.0.0.1"
ASK = {"sample": "ggg444", "intensity": "counts"}
WITH_CIF = "cif: silicon.cif\nreflection: [0, 0, 4]\nwavelength: CuKa1\nscan: {axis: delta-theta-arcsec}"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """A server that takes inversions and has nobody to do them."""
    settings = ServerSettings(
        data=tmp_path_factory.mktemp("data"), workers=0, largest_upload_mb=0.05, most_scans=4, most_waiting=3
    )
    app = create_app(replace(settings, most_of_a_session=2), page=False)
    with TestClient(app, base_url=LOCAL):
        yield app


@pytest.fixture
def client(app):
    return TestClient(app, base_url=LOCAL)


@pytest.fixture
def scan(client):
    return upload(client).json()["scan"]


def upload(client, name="scan.xy", content=None):
    content = EXAMPLE.read_bytes() if content is None else content
    return client.post("/api/scans", files={"file": (name, content)})


def upload_cif(client, name="silicon.cif", content=SILICON):
    return client.post("/api/cifs", files={"file": (name, content)})


def test_the_interface_is_described(client):
    document = client.get("/api/openapi.json").json()
    assert {"/api/simulate", "/api/jobs", "/api/jobs/{job}/result", "/api/crystals", "/api/formats"} <= set(
        document["paths"]
    )
    assert {"/api/scans/{scan}", "/api/cifs", "/api/estimators"} <= set(document["paths"])
    asked = document["components"]["schemas"]["InvertRequest"]["properties"]
    assert {"scan", "number", "estimator", "gold"} <= set(asked)
    assert all("description" in own for own in asked.values())
    assert document["info"]["title"] == "Strainscope"


def test_crystals_are_those_of_the_command(client):
    assert "GGG" in client.get("/api/crystals").json()
    own = client.get("/api/crystals/GGG", params={"reflection": "4,4,4"}).json()
    assert own["bragg_angle_deg"] == pytest.approx(25.5296, abs=1e-4)
    assert len(own["chi_h"]) == 2
    assert client.get("/api/crystals/GG", params={"reflection": "4,4,4"}).status_code == 400
    assert "whole numbers" in client.get("/api/crystals/GGG", params={"reflection": "4,x"}).json()["error"]


def test_formats_say_what_is_taken(client):
    own = client.get("/api/formats").json()
    assert (".xy" in own["scan_suffixes"], own["largest_scan_bytes"]) == (True, 50_000)
    assert own["samples"]["ggg444"].startswith("#")


def test_a_simulated_curve_is_the_commands_to_the_digit(client):
    described = load_sample("ggg444")
    values = described.simulated_values({"Dmax1": 0.01}, counts=1e5)
    wanted, _ = described.simulate(values, counts=1e5, seed=3, span=(-900, 300), step=10)
    asked = {"values": {"Dmax1": 0.01}, "counts": 1e5, "seed": 3, "range": [-900, 300], "step": 10}
    own = client.post("/api/simulate", json=ASK | asked).json()
    assert own["angle"] == wanted.angle.tolist()
    assert own["intensity"] == wanted.intensity.tolist()
    assert any("taken as the middle of their priors" in note for note in own["notes"])


def test_a_curve_at_a_scan_has_its_points_and_its_profile(client, scan):
    own = client.post("/api/simulate", json=ASK | {"scan": scan, "values": {"Dmax1": 0.0131}}).json()
    assert len(own["angle"]) == len(own["intensity"]) == 601
    assert own["values"]["Dmax1"] == 0.0131
    assert own["rms_log10"] > 0
    profile = own["profile"]
    assert len(profile["depth_A"]) == len(profile["strain"]) == len(profile["debye_waller"])


def test_an_instruments_file_says_itself_what_it_holds(client):
    content = xrdml(xrdml_scan())
    scan = upload(client, "day.xrdml", content).json()["scan"]
    own = client.post("/api/simulate", json={"sample": "ggg444", "scan": scan, "values": {"Dmax1": 0.01}})
    assert own.status_code == 200, own.text
    assert (own.json()["axis"], own.json()["intensity_kind"]) == ("omega-deg", "counts")
    assert own.json()["angle"][0] == pytest.approx(OMEGA[0], abs=1e-5)


def test_the_values_behind_the_example_give_its_curve(client, scan):
    truth = {}
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("# ") and " = " in line:
            name, _, rest = line[2:].partition(" = ")
            truth[name] = float(rest.split()[0])
    truth.pop("background_slope")
    own = client.post("/api/simulate", json=ASK | {"scan": scan, "values": truth}).json()
    assert own["rms_log10"] < 0.035
    truth["Dmax1"] *= 1.1
    assert client.post("/api/simulate", json=ASK | {"scan": scan, "values": truth}).json()["rms_log10"] > 0.2


@pytest.mark.parametrize(
    ("asked", "status", "line"),
    [
        ({"sampl": "ggg444"}, 400, "sampl"),
        ({"sample": "ggg444", "axis": "omega"}, 400, "axis = 'omega'; it must be"),
        ({"sample": "ggg444", "seed": -1}, 400, "seed = -1"),
        ({"sample": "cif: /etc/passwd"}, 400, "the server reads no files"),
        ({"sample": "ggg444", "values": {"Dmax": 0.1}}, 400, "unknown parameter 'Dmax'"),
        ({"sample": "ggg444", "values": {"Dmax1": 1.5}}, 400, "strain is Δd/d, not percent"),
        ({"sample": "ggg444", "step": 1e-9}, 400, "they must be fewer than"),
        ({"sample": "ggg444", "scan": "none"}, 404, "this session has no scan 'none'"),
    ],
)
def test_bad_requests_are_answered_by_one_line(client, asked, status, line):
    reply = client.post("/api/simulate", json=asked)
    assert reply.status_code == status
    assert line in reply.json()["error"]
    assert "\n" not in reply.json()["error"]
    assert "Traceback" not in reply.text


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"Dmax1": 0.2}, "Dmax1 = 0.2; it must lie in 0.0005 to 0.03. Widen fit.Dmax1.bounds"),
        ({"background_slope": 0.1}, "background_slope = 0.1, but the sample holds it at 0; free it there."),
        ({"Dmax": 0.1}, "unknown parameter 'Dmax'"),
    ],
)
def test_values_that_no_slider_has_are_refused(client, scan, values, line):
    reply = client.post("/api/simulate", json=ASK | {"scan": scan, "values": values})
    assert (reply.status_code, line in reply.json()["error"]) == (400, True)


def test_what_makes_no_sense_with_a_scan_is_refused(client, scan):
    reply = client.post("/api/simulate", json=ASK | {"scan": scan, "counts": 100})
    assert "counts = 100" in reply.json()["error"]


@pytest.mark.parametrize(
    ("name", "content", "status", "line"),
    [
        ("scan.exe", b"1 2", 400, "scan.exe: ends in .exe; scans end in .xy"),
        ("scan.xy", b"", 400, "scan.xy: the scan file is empty."),
        ("scan.xy", b"1 2\n" * 20_000, 400, "larger than 0.05 MB"),
        ("scan.xy", b"1 2\n" * 60_000, 413, "larger than 0.05 MB"),
    ],
)
def test_uploads_are_limited_in_type_and_size(client, name, content, status, line):
    reply = upload(client, name, content)
    assert (reply.status_code, line in reply.json()["error"]) == (status, True)


@pytest.mark.parametrize("name", ["day.h5", "day.hdf5", "day"])
def test_files_of_instruments_are_taken_by_their_content(client, name):
    content = spec(spec_scan()) if name == "day" else nexus()
    reply = upload(client, name, content.encode() if isinstance(content, str) else content)
    assert reply.status_code == 201
    (found,) = client.get(f"/api/scans/{reply.json()['scan']}").json()["scans"]
    assert found["format"] == ("SPEC" if name == "day" else "NeXus (HDF5)")


def test_uploads_are_limited_in_number(client):
    for _ in range(4):
        assert upload(client).status_code == 201
    assert "as many as a session may have" in upload(client).json()["error"]


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/a.xy", "C:\\Windows\\a.xy", "/tmp/a.xy", "a\n.xy", ".xy.xy"]
)
def test_a_clients_path_never_becomes_the_servers(client, app, name):
    reply = upload(client, name)
    assert "/" not in reply.json()["name"]
    assert "\\" not in reply.json()["name"]
    again = client.post("/api/jobs", json=ASK | {"scan": reply.json()["scan"], "axis": "omega-deg"})
    assert again.status_code == 400
    assert "/tmp" not in again.text


def test_a_file_that_is_no_scan_is_refused_with_the_clients_name(client):
    scan = upload(client, "diary.txt", b"dear diary\nnothing happened\n").json()["scan"]
    for place in ("/api/simulate", "/api/jobs"):
        line = client.post(place, json=ASK | {"scan": scan}).json()["error"]
        assert line.startswith("diary.txt: line 2: 'nothing' in column 1 is not a number")


def test_files_of_one_name_are_both_named_as_the_client_does(client):
    scans = [upload(client, "a.txt", words.encode()).json()["scan"] for words in ("dear diary\nx", "dear\nx")]
    line = client.post("/api/jobs", json={"sample": "ggg444-888", "scan": scans}).json()["error"]
    assert line.startswith("a.txt: line 2:")


def test_angles_on_another_axis_are_named_as_on_the_command_line(client, scan):
    line = client.post("/api/simulate", json=ASK | {"scan": scan, "axis": "two-theta-deg"}).json()["error"]
    assert "They look like delta-theta-arcsec" in line
    assert "--" not in line


def test_a_session_sees_its_own_alone(app, client, scan):
    other = TestClient(app, base_url=LOCAL)
    job = client.post("/api/jobs", json=ASK | {"scan": scan}).json()["job"]
    assert [own["scan"] for own in client.get("/api/scans").json()] == [scan]
    assert other.get("/api/scans").json() == []
    assert other.get("/api/jobs").json() == []
    assert other.post("/api/jobs", json=ASK | {"scan": scan}).status_code == 404
    assert other.post("/api/simulate", json=ASK | {"scan": scan}).status_code == 404
    for place in ("", "/result", "/archive", "/files/report.html"):
        assert other.get(f"/api/jobs/{job}{place}").status_code == 404
    assert other.delete(f"/api/jobs/{job}").status_code == 404
    assert other.delete(f"/api/scans/{scan}").status_code == 404
    assert client.get(f"/api/jobs/{job}").json()["state"] == "waiting"
    assert client.delete(f"/api/jobs/{job}").status_code == 204


def test_the_queue_is_bounded_and_waiting_inversions_are_cancelled(app, client, scan):
    asked = ASK | {"scan": scan, "draws": 64}
    jobs = [client.post("/api/jobs", json=asked).json()["job"] for _ in range(2)]
    refused = client.post("/api/jobs", json=asked)
    assert (refused.status_code, "as many as a session may have" in refused.json()["error"]) == (429, True)
    other = TestClient(app, base_url=LOCAL)
    again = asked | {"scan": upload(other).json()["scan"]}
    jobs_of_other = [other.post("/api/jobs", json=again).json()["job"]]
    refused = other.post("/api/jobs", json=again)
    assert (refused.status_code, "as many as the server takes" in refused.json()["error"]) == (429, True)
    assert client.get(f"/api/jobs/{jobs[1]}").json()["waiting"] == 1
    client.delete(f"/api/jobs/{jobs[0]}")
    assert client.get(f"/api/jobs/{jobs[0]}").json()["state"] == "cancelled"
    assert client.get(f"/api/jobs/{jobs[1]}").json()["waiting"] == 0
    assert (
        client.get(f"/api/jobs/{jobs[1]}/result").json()["error"]
        == "scan.xy: there is no result.json: it is waiting."
    )
    for own, known in ((client, jobs), (other, jobs_of_other)):
        for job in known:
            own.delete(f"/api/jobs/{job}")
            own.delete(f"/api/jobs/{job}")
        assert own.get("/api/jobs").json() == []


def test_inversions_are_asked_for_within_limits(client, scan):
    for asked, line in (
        ({"draws": 3}, "draws = 3"),
        ({"starts": 0}, "starts = 0"),
        ({"model_error": 1}, "model_error = 1"),
        ({"estimator": "/etc/passwd"}, "estimator = '/etc/passwd' does not serve this sample; those that do"),
        ({"sample": "si004", "axis": "omega-deg", "estimator": "ggg444-lab"}, "none that ships does"),
        ({"number": 2}, "text holds one scan"),
        ({"number": [1, 1]}, "number: 2 are given for 1 scan(s)"),
        ({"scan": [scan, scan]}, "the sample has 1 reflection(s), 444, but 2 scan(s) are given"),
        ({"sample": "ggg444-888"}, "the sample has 2 reflection(s), 444, 888, but 1 scan(s) are given"),
        ({"sample": "ggg444-888", "scan": [scan, scan], "splines": 9}, "they refine one scan"),
    ):
        reply = client.post("/api/jobs", json=ASK | {"scan": scan} | asked)
        assert (reply.status_code, line in reply.json()["error"]) == (400, True), reply.text


def test_nested_sampling_that_is_not_installed_is_said_at_once(client, scan, monkeypatch):
    monkeypatch.setitem(sys.modules, "nautilus", None)
    reply = client.post("/api/jobs", json=ASK | {"scan": scan, "gold": True})
    assert (reply.status_code, "pip install 'strainscope[gold]'" in reply.json()["error"]) == (400, True)


def test_networks_that_are_not_installed_are_said_at_once(client, scan, monkeypatch):
    monkeypatch.setattr("strainscope.web.orders.find_spec", lambda name: None)
    reply = client.post("/api/jobs", json=ASK | {"scan": scan, "estimator": "ggg444-lab"})
    assert (reply.status_code, "pip install 'strainscope[networks]'" in reply.json()["error"]) == (400, True)


def test_estimators_that_serve_a_sample_are_listed(client):
    assert client.post("/api/estimators", json={"sample": "ggg444"}).json() == ["ggg444-lab"]
    assert client.post("/api/estimators", json={"sample": "si004"}).json() == []


def test_a_cif_is_uploaded_named_by_a_sample_and_removed(app, client, scan):
    asked = ASK | {"sample": WITH_CIF}
    assert "(none so far): upload it" in client.post("/api/simulate", json=asked).json()["error"]
    assert upload_cif(client).json() == {"name": "silicon.cif", "bytes": len(SILICON)}
    assert upload_cif(client).status_code == 201
    assert client.get("/api/cifs").json() == [{"name": "silicon.cif", "bytes": len(SILICON)}]
    built_in = client.post("/api/simulate", json=asked | {"sample": "si004", "axis": "delta-theta-arcsec"}).json()
    own = client.post("/api/simulate", json=asked).json()
    assert len(own["angle"]) > 100, own
    assert built_in["unit"] == own["unit"]
    # What is no CIF does not take the place of one.
    assert upload_cif(client, content="dear diary").status_code == 400
    assert client.get("/api/cifs").json() != []
    assert TestClient(app, base_url=LOCAL).get("/api/cifs").json() == []
    assert client.delete("/api/cifs/silicon.cif").status_code == 204
    assert client.delete("/api/cifs/silicon.cif").status_code == 404
    assert "(none so far)" in client.post("/api/simulate", json=asked).json()["error"]


@pytest.mark.parametrize(
    ("name", "content", "status", "line"),
    [
        ("../../etc/x.cif", SILICON, 400, "x.cif: CIFs are called by one word"),
        ("my crystal.cif", SILICON, 400, "my crystal.cif: CIFs are called by one word"),
        ("..cif", SILICON, 400, "CIFs are called by one word"),
        ("-rf.cif", SILICON, 400, "CIFs are called by one word"),
        ("Größe.cif", SILICON, 400, "CIFs are called by one word"),
        ("a.cif.sh", SILICON, 400, "CIFs are called by one word"),
        ("a" * 41 + ".cif", SILICON, 400, "CIFs are called by one word"),
        ("a.cif", "dear diary", 400, "CIF of a"),
        ("a.cif", "", 400, "CIF of a"),
        ("a.cif", "#" * 2_000_001, 400, "a.cif: the CIF is larger than 2 MB"),
        ("a.cif", "#" * 3_000_000, 413, "larger than 2 MB"),
    ],
)
def test_cifs_are_limited_in_name_kind_and_size(client, name, content, status, line):
    reply = upload_cif(client, name, content)
    assert (reply.status_code, line in reply.json()["error"]) == (status, True), reply.text
    assert client.get("/api/cifs").json() == []


def test_cifs_are_limited_in_number(client):
    for i in range(10):
        assert upload_cif(client, f"c{i}.cif").status_code == 201
    assert "10 CIFs, as many as a session may have" in upload_cif(client, "c10.cif").json()["error"]
    assert upload_cif(client, "c9.cif").status_code == 201


def test_what_a_file_says_is_told(client, scan):
    own = client.get(f"/api/scans/{scan}").json()
    assert own["scans"][0]["points"] == 601
    assert own["scans"][0]["whole_numbers"] is True
    two = upload(client, "day.xrdml", xrdml(xrdml_scan(), xrdml_scan(values=counts(seed=2)))).json()["scan"]
    own = client.get(f"/api/scans/{two}").json()
    assert (own["name"], len(own["scans"])) == ("day.xrdml", 2)
    assert own["scans"][1]["largest_counts"] == counts(seed=2).max()
    assert own["scans"][0]["wavelength_A"] == 1.540598
    broken = upload(client, "broken.xrdml", b"<xrdMeasurements").json()["scan"]
    line = client.get(f"/api/scans/{broken}").json()["error"]
    assert line.startswith("broken.xrdml: ")


def test_one_of_several_scans_in_a_file_is_chosen(client):
    two = upload(client, "day.xrdml", xrdml(xrdml_scan(), xrdml_scan(values=counts(seed=2)))).json()["scan"]
    # A sample that says nothing of columns: the file does.
    asked = {"sample": "crystal: GGG\nreflection: [4, 4, 4]\nwavelength: CuKa1", "scan": two}
    for place in ("simulate", "jobs"):
        line = client.post(f"/api/{place}", json=asked).json()["error"]
        assert "it holds 2 scans; choose one by number: 1: omega" in line
        assert line.startswith("day.xrdml: ")
    own = client.post("/api/simulate", json=asked | {"number": 2}).json()
    assert own["axis"] == "omega-deg", own
    job = client.post("/api/jobs", json=asked | {"number": 2}).json()
    assert job["name"] == "day-2.xrdml", job
    client.delete(f"/api/jobs/{job['job']}")
    assert "count from 1" in client.post("/api/jobs", json=asked | {"number": 3}).json()["error"]


def test_another_reflection_is_simulated_as_by_the_command(client, scan):
    described = load_sample("ggg444-888").at_reflection((8, 8, 8))
    wanted, _ = described.simulate(described.simulated_values({"Dmax1": 0.01}), span=(-900, 300), step=10)
    asked = {"sample": "ggg444-888", "reflection": [8, 8, 8], "values": {"Dmax1": 0.01}}
    own = client.post("/api/simulate", json=asked | {"range": [-900, 300], "step": 10}).json()
    assert own["intensity"] == wanted.intensity.tolist()
    at_scan = client.post("/api/simulate", json=asked | {"scan": scan}).json()
    assert at_scan["values"]["Dmax1"] == 0.01, at_scan
    wrong = client.post("/api/simulate", json=asked | {"reflection": [8, 8, 7]})
    assert (wrong.status_code, "reflection 8 8 7" in wrong.json()["error"]) == (400, True)


def test_a_joint_inversion_waits_with_the_names_of_its_scans(client, scan):
    other = upload(client, "888.xy").json()["scan"]
    asked = {"sample": "ggg444-888", "scan": [scan, other], "seed": 3}
    job = client.post("/api/jobs", json=asked).json()
    assert (job["name"], job["request"]["reflections"]) == ("scan.xy + 888.xy", ["444", "888"])
    client.delete(f"/api/jobs/{job['job']}")


def test_removed_scans_are_gone_from_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = ServerSettings(data=tmp_path / "data", workers=0)
    with TestClient(create_app(settings, page=False), base_url=LOCAL) as client:
        scan = upload(client, "unmistakable.dat").json()["scan"]
        assert len(list(tmp_path.rglob("*.dat"))) == 1
        assert client.delete(f"/api/scans/{scan}").status_code == 204
        assert list(tmp_path.rglob("*.dat")) == []
        assert client.delete(f"/api/scans/{scan}").status_code == 404


def test_what_is_not_there_is_said_in_json(client):
    assert client.get("/api/nothing").json() == {
        "error": "/api/nothing: there is no such thing; see /api/openapi.json."
    }
    assert json.loads(client.get("/api/jobs/nothing").text) == {
        "error": "this session has no inversion 'nothing'."
    }


def test_a_server_that_is_full_takes_no_more(tmp_path):
    settings = ServerSettings(data=tmp_path, workers=0, most_scans_mb=0.01, most_results=1)
    with TestClient(create_app(settings, page=False), base_url=LOCAL) as client:
        scan = upload(client).json()["scan"]
        assert "no room for more files" in upload(client).json()["error"]
        asked = ASK | {"scan": scan}
        job = client.post("/api/jobs", json=asked).json()["job"]
        client.delete(f"/api/jobs/{job}")
        refused = client.post("/api/jobs", json=asked)
        assert (refused.status_code, "1 inversions are kept" in refused.json()["error"]) == (429, True)
        client.delete(f"/api/jobs/{job}")
        assert client.post("/api/jobs", json=asked).status_code == 202


def test_nothing_of_a_session_outlasts_the_server_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    settings = ServerSettings(data=tmp_path / "data", workers=0)
    with TestClient(create_app(settings, page=False), base_url=LOCAL) as client:
        client.post("/api/jobs", json=ASK | {"scan": upload(client).json()["scan"]})
        written = [path.name for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
        assert len(written) == 3
        assert "scan.xy" not in written
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"scan": "x", ', "the body is no JSON: Expecting property name enclosed in double quotes at character 14"),
        ("[1]", "the body must be a JSON object"),
        ('{"scan": "x", "sampel": "ggg444"}', "sampel is no key of this request"),
        ('{"scan": "x", "sampel": "ggg444"}', "Did you mean sample?"),
    ],
)
def test_a_body_that_is_none_is_one_line(client, content, words):
    reply = client.post("/api/jobs", content=content, headers={"content-type": "application/json"})
    assert (reply.status_code, words in reply.json()["error"]) == (400, True)
