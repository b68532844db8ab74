import os

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from strainscope.readers import LARGEST_SCAN_BYTES, read_scan, read_text
from strainscope.scan import MIN_POINTS

ROWS = [f"{-400 + 4 * k}.5 {k + 1}" for k in range(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scans")


def read(folder, content, *, axis="delta-theta-arcsec", intensity_kind="normalised"):
    path = folder / "curve.xy"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_scan(path, axis=axis, intensity_kind=intensity_kind)


def replaced(line, text):
    return "\n".join([*ROWS[: line - 1], text, *ROWS[line:]])


def test_names_the_scan_after_the_file(folder):
    assert read(folder, "\n".join(ROWS)).name == "curve"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        ("\n \n", "only comments or blank lines"),
        ("# nothing\n! at\n// all\n", "only comments or blank lines"),
        ("angle counts\n", "no numbers below the column names"),
        ("\n".join(f"{k}.5" for k in range(30)), "line 1: one column"),
        ("\n".join(f"{k}.5 1 2 3" for k in range(30)), "line 1: 4 columns; at most three"),
        (replaced(7, "12.5 abc"), "line 7: 'abc' in column 2 is not a number"),
        (replaced(1, "12.5 abc"), "line 1: 'abc' in column 2 is not a number"),
        (replaced(7, "12.5 1 # late comment"), "line 7: '#' in column 3 is not a number"),
        (replaced(7, "1_000 5"), "line 7: '1_000' in column 1 is not a number"),
        (replaced(7, "12.5 ١٢"), "line 7: .* in column 2 is not a number"),
        (replaced(7, "12.5 nan"), "line 7: 'nan' is not finite"),
        (replaced(1, "nan nan"), "line 1: 'nan' is not finite"),
        (replaced(7, "-Infinity 5"), "line 7: '-Infinity' is not finite"),
        (replaced(7, "12.5 1.#INF"), "line 7: '1.#INF' in column 2 is not a number"),
        (replaced(7, "12.5 1e999"), "line 7: '1e999' is too large"),
        (replaced(7, "12.5 -3"), "line 7: intensity -3 is negative; it must be >= 0"),
        (replaced(7, "12.5"), "line 7: one column"),
        (replaced(7, "12.5 3 1"), "line 7: 3 columns, but line 1 has 2"),
        (replaced(7, "12.5;3"), "line 7: '12.5;3' in column 1 is not a number"),
        (
            replaced(7, "12.5 1,234"),
            r"line 7: decimal commas \(line 7\) and decimal points \(line 1\) are mixed",
        ),
        (replaced(7, "12.5 1,234.5"), "line 7: decimal commas"),
        ("\n".join(f"{k},5;{k};0" for k in range(30)), r"line 1: sigma 0 \(third column\) must be > 0"),
        ("\n".join(f"{k};;1" for k in range(30)), "line 1: column 2 is empty"),
        ("\n".join(f"{k}.5,1," for k in range(30)), "line 1: column 3 is empty"),
        ("\n".join("1,5,2,3" for _ in range(30)), "line 1: '1,5,2,3' is ambiguous"),
        ("\n".join(f"{k},5,2" for k in range(30)), "line 1: '0,5,2' is ambiguous"),
        ("\n".join(f"{k},5, 2" for k in range(30)), "line 1: '0,5, 2' is ambiguous"),
        ("\n".join(ROWS[: MIN_POINTS - 1]), f"{MIN_POINTS - 1} points; a scan needs at least"),
        ("\n".join(f"{abs(k - 15) + 1} {k}.5" for k in range(30)), "the second column runs .* swap them"),
        (b"\x89PNG\0\0\1", "is binary"),
        ("\n".join(ROWS).encode("utf-16"), "UTF-16"),
        (replaced(7, "12.5 " + "x" * 10000), r"line 7: '" + "x" * 40 + r"'\.\.\. in column 2"),
    ],
)
def test_bad_content_is_refused_in_one_line_that_starts_with_the_path(folder, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(folder, content)
    assert str(caught.value).startswith(str(folder / "curve.xy") + ": ")
    assert "\n" not in str(caught.value)


def test_fractions_of_counts_are_refused_with_the_remedy(folder):
    with pytest.raises(ValueError, match=r"curve.xy: intensity = 1.5 .*--intensity normalised"):
        read(folder, replaced(7, "-376.5 1.5"), intensity_kind="counts")


@pytest.mark.parametrize("name", ["none.xy", "no/such.xy"])
def test_a_missing_file_is_named(folder, name):
    with pytest.raises(FileNotFoundError) as caught:
        read_scan(folder / name, axis="omega-deg", intensity_kind="counts")
    assert str(caught.value) == f"{folder / name}: there is no such scan file."


def test_a_folder_is_no_scan(folder):
    with pytest.raises(IsADirectoryError, match="is a folder; name one scan file"):
        read_scan(folder, axis="omega-deg", intensity_kind="counts")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting_for_it(folder):
    os.mkfifo(folder / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        read_text(folder / "pipe", what="sample", limit_bytes=100)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read everything"
)
def test_an_unreadable_file_is_named(folder):
    path = folder / "locked.xy"
    path.write_text("1 2")
    path.chmod(0)
    with pytest.raises(PermissionError, match="no permission to read this scan file"):
        read_scan(path, axis="omega-deg", intensity_kind="counts")


@pytest.mark.parametrize("name", ["nul\0inside", "x" * 5000])
def test_an_impossible_file_name_is_refused(name):
    with pytest.raises((ValueError, OSError)) as caught:
        read_text(name, what="scan", limit_bytes=100)
    assert "\n" not in str(caught.value)


def test_an_enormous_file_is_refused_before_it_is_parsed(folder):
    path = folder / "large.xy"
    with path.open("wb") as file:
        file.truncate(LARGEST_SCAN_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 50 MB"):
        read_scan(path, axis="omega-deg", intensity_kind="counts")
    path.unlink()


def test_read_text_gives_one_newline_and_no_byte_order_mark(folder):
    path = folder / "sample.yaml"
    path.write_bytes("\ufeffa: 1 µm\r\nb\rc\n".encode())
    assert read_text(path, what="sample", limit_bytes=100) == "a: 1 µm\nb\nc\n"
    with pytest.raises(ValueError, match="sample file is larger than 1e-05 MB"):
        read_text(path, what="sample", limit_bytes=10)


def test_column_names_may_stand_first_only(folder):
    assert read(folder, '"2theta (°)" "counts/s"\n' + "\n".join(ROWS)).angle.size == 120
    with pytest.raises(ValueError, match="line 2: 'more' in column 1"):
        read(folder, "angle counts\nmore names\n" + "\n".join(ROWS))


finite = st.floats(allow_nan=False, allow_infinity=False)
angles = st.lists(st.floats(-9000, 9000), min_size=MIN_POINTS, max_size=40).filter(
    lambda x: max(x) - min(x) > 30.1
)
intensities = st.one_of(st.integers(0, 10**6).map(float), st.floats(0, 1e12))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_scan_in_any_style_gives_the_same_numbers(folder, data):
    angle = np.array(data.draw(angles))
    size = {"min_size": angle.size, "max_size": angle.size}
    columns = [angle, np.array(data.draw(st.lists(intensities, **size)))]
    columns[1][0] += 1.0
    if data.draw(st.booleans(), label="sigma"):
        columns.append(np.array(data.draw(st.lists(st.floats(1e-6, 1e6), **size))))
    separator = data.draw(st.sampled_from([" ", "\t", "   ", " \t", ";", " ; ", ",", ", ", " , "]))
    mark = "." if "," in separator else data.draw(st.sampled_from([".", ","]))
    comment = data.draw(st.sampled_from(["#", "%", "!", ";", "//", "'"])) + " θ, I\u2028 1 2;3"
    newline = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    head = data.draw(
        st.sampled_from([[], [comment], ["angle,counts"], ["", comment, "2theta [deg]; I", comment]])
    )
    number = data.draw(st.sampled_from([repr, "{:.17e}".format, "{:+.17E}".format]))
    rows = [
        separator.join(number(float(v)).replace(".", mark) for v in row) for row in zip(*columns, strict=True)
    ]
    rows[5:5] = [comment, ""]
    text = newline.join([*head, *rows]) + data.draw(st.sampled_from(["", newline, newline + " "]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]))
    if encoding == "latin-1":
        text = text.replace("θ", "°").replace("\u2028", "\x0c")

    result = read(folder, text.encode(encoding))

    order = np.argsort(angle, kind="stable")
    np.testing.assert_array_equal(result.angle, columns[0][order])
    np.testing.assert_array_equal(result.intensity, columns[1][order])
    if len(columns) == 2:
        assert result.sigma is None
    else:
        np.testing.assert_array_equal(result.sigma, columns[2][order])


number_like = st.text(alphabet="0123456789.,;+-eE \t\n\r#_naif", max_size=400)
row = st.tuples(finite, finite).map(lambda pair: f"{pair[0]!r} {pair[1]!r}")


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=400),
        number_like.map(str.encode),
        st.lists(row, min_size=MIN_POINTS, max_size=30).map(lambda rows: "\n".join(rows).encode()),
    ),
    axis=st.sampled_from(["delta-theta-arcsec", "omega-deg", "two-theta-deg"]),
    intensity_kind=st.sampled_from(["counts", "normalised"]),
)
@example(
    content="\n".join(["-1.7e308 1", *["1.7e308 2"] * 20]).encode(), axis="omega-deg", intensity_kind="counts"
)
@example(
    content="\n".join(["-1.7e308 1", *["1.7e308 2"] * 20]).encode(),
    axis="delta-theta-arcsec",
    intensity_kind="counts",
)
def test_any_bytes_give_a_scan_or_one_line(folder, content, axis, intensity_kind):
    message = refusal(folder, content, axis=axis, intensity_kind=intensity_kind)
    assert message is None or (message.startswith(f"{folder / 'curve.xy'}: ") and "\n" not in message)


def refusal(folder, content, **kinds):
    try:
        read(folder, content, **kinds)
    except ValueError as error:
        return str(error)
    return None
