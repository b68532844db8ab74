"""Whatever happened to a file, it gives scans or one line: no crash, no hang, nothing from outside."""

import io
import time
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.instrument_files import (
    OMEGA,
    brml,
    counts,
    nexus,
    raw_3,
    raw_4,
    raw_data,
    rigaku_header,
    rigaku_rows,
    spec_scan,
    xrdml,
    xrdml_scan,
)
from tests.instrument_files import ras as whole_ras
from tests.instrument_files import rasx as whole_rasx
from tests.instrument_files import spec as whole_spec

from strainscope.readers import aside, read_file

# Small, so that most changes hit something that means something.
POINTS = slice(0, None, 4)
FEW = {"values": counts()[POINTS]}
ROWS = rigaku_rows(OMEGA[POINTS], **FEW)
DOCUMENT = raw_data(moved={"Theta": OMEGA[POINTS]}, **FEW)
SEEDS = {
    "a.xrdml": xrdml(xrdml_scan(**FEW, factors=1 + OMEGA[POINTS])),
    "a.brml": brml(DOCUMENT),
    "three.raw": raw_3(**FEW, ranges=2),
    "four.raw": raw_4(**FEW),
    "a.ras": whole_ras((rigaku_header(), ROWS)),
    "a.rasx": whole_rasx((rigaku_header(), ROWS)),
    "a.spec": whole_spec(spec_scan(**FEW, angle=OMEGA[POINTS])),
}
LONGEST_S = 3.0
EXTREMES = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\x80\x7f",
    b"1e999",
    b"nan",
    b"-1",
    b"<",
    b"&a;",
]


@st.composite
def damaged(draw, seed):
    """A file in which bytes were changed, left out, doubled or put in."""
    content = bytearray(seed)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        length = draw(st.integers(1, 40))
        kind = draw(st.sampled_from(["change", "leave out", "double", "put in", "cut"]))
        if kind == "change":
            content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == "leave out":
            del content[at : at + length]
        elif kind == "double":
            content[at:at] = content[at : at + length]
        elif kind == "put in":
            extreme = draw(st.sampled_from(EXTREMES))
            content[at : at + len(extreme)] = extreme
        else:
            del content[at + len(content) // 2 :]
    return bytes(content)


def check(path, content):
    """Read it as the commands would."""
    path.write_bytes(content)
    began = time.perf_counter()
    assert "\n" not in message_of(path)
    assert time.perf_counter() - began < LONGEST_S


def message_of(path):
    """Why a file cannot be read; empty where it can."""
    try:
        for scan in read_file(path):
            scan.document()
            if scan.axes():
                scan.scan(name="x")
    except ValueError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_files_give_scans_or_one_line(folder, name):
    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(content=damaged(SEEDS[name]))
    def run(content):
        check(folder / name, content)

    run()


@pytest.mark.parametrize("name", ["a.brml", "a.rasx"])
def test_damaged_members_give_scans_or_one_line(folder, name):
    """A zip file's checksums would hide what is in its members from damage to the whole."""
    with zipfile.ZipFile(io.BytesIO(SEEDS[name])) as archive:
        members = {own: archive.read(own) for own in archive.namelist()}

    @settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data())
    def run(data):
        changed = data.draw(st.sampled_from(sorted(members)))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for own, content in members.items():
                archive.writestr(own, data.draw(damaged(content)) if own == changed else content)
        check(folder / name, file.getvalue())

    run()


@settings(deadline=None, max_examples=5, suppress_health_check=list(HealthCheck), database=None)
@given(content=damaged(nexus()))
def test_damaged_hdf5_gives_scans_or_one_line(folder, content):
    (folder / "a.nxs").write_bytes(content)
    assert "\n" not in message_of(folder / "a.nxs")


def test_hdf5_that_hangs_or_ends_its_reader_is_one_line(monkeypatch):
    monkeypatch.setattr(aside, "LONGEST_S", 0.001)
    with pytest.raises(ValueError, match="could not be read within 0.001 s"):
        aside.read_nexus(nexus())
    monkeypatch.setattr(aside, "LONGEST_S", 30.0)
    monkeypatch.setattr(aside.sys, "executable", "/bin/false")
    with pytest.raises(ValueError, match="reading it ended the library"):
        aside.read_nexus(nexus())


def test_a_zip_that_lies_about_a_members_size_is_read_to_the_limit_only(folder, monkeypatch):
    monkeypatch.setattr("strainscope.readers.archive.LARGEST_MEMBER_BYTES", 1000)
    with pytest.raises(ValueError, match="unpacks to more than 0.001 MB, the limit"):
        check_raises(folder / "a.brml", SEEDS["a.brml"])
    monkeypatch.setattr("strainscope.readers.archive.LARGEST_MEMBER_BYTES", 10_000_000)
    monkeypatch.setattr("strainscope.readers.archive.LARGEST_TOTAL_BYTES", 100)
    with pytest.raises(ValueError, match="unpacks to more than 0.0001 MB"):
        check_raises(folder / "a.brml", SEEDS["a.brml"])
    monkeypatch.setattr("strainscope.readers.archive.MOST_MEMBERS", 1)
    with pytest.raises(ValueError, match="has 2 members"):
        check_raises(folder / "a.brml", SEEDS["a.brml"])


def check_raises(path, content):
    path.write_bytes(content)
    read_file(path)


@pytest.mark.parametrize(
    "definition",
    [
        '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    ],
)
def test_entities_and_definitions_are_refused(folder, definition):
    content = xrdml(xrdml_scan()).replace(b"<xrdMeasurements", f"{definition}<xrdMeasurements".encode())
    with pytest.raises(ValueError, match="defines a document type or entities"):
        check_raises(folder / "a.xrdml", content)
