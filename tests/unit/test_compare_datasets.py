"""Two datasets side by side: figures known by hand, verdict, caveats, and the folder that is written."""

import csv
import io
import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest

from strainscope.dataset.compare import compare
from strainscope.dataset.comparison_figures import detail_name
from strainscope.dataset.comparison_report import (
    COMPARISON_FILES,
    check_comparison_target,
    comparison_files,
    write_comparison,
)
from strainscope.dataset.draw import Expectation, Levels
from strainscope.dataset.evenness import (
    Evenness,
    PairEvenness,
    ParameterEvenness,
    drawn_blocks,
    measure_evenness,
)
from strainscope.dataset.peaks import verify_peaks
from strainscope.dataset.plan import load_plan
from strainscope.dataset.published import V2_ERRORS


def parameter(name, counts, *, expected=None):
    counts = np.asarray(counts)
    size, share = counts.sum(), counts / counts.sum()
    mean = counts if expected is None else np.asarray(expected)
    return ParameterEvenness(
        levels=Levels(name=name, values=np.arange(1.0, len(counts) + 1)),
        unit="Å",
        counts=counts,
        expectation=Expectation(mean=mean.astype(float), variance=size * share * (1 - share)),
    )


def dataset(name="one", pairs=(), **counts):
    parameters = tuple(parameter(key, value) for key, value in counts.items())
    return Evenness(
        name=name,
        size=parameters[0].size,
        combinations=None,
        repeats=True,
        rounding="exact",
        method="random",
        parameters=parameters,
        pairs=tuple(pairs),
        best=None,
    )


def halves(chi2, size=1_000_000):
    """Two counts with about that chi²: 4 d²/N for N/2 ± d."""
    d = round(math.sqrt(chi2 * size) / 2)
    return [size // 2 + d, size // 2 - d]


def published():
    """The two datasets with the chi² of an earlier report."""
    first = {"L1": 449_869, "Rp1": 40_280, "L2": 26_322, "Rp2": 1}
    second = {"L1": 548_555, "Rp1": 28_762, "L2": 0, "Rp2": 18}
    return [
        dataset(name, **{key: halves(chi2) for key, chi2 in figures.items()})
        for name, figures in (("not balanced", first), ("balanced", second))
    ]


def criterion(comparison, name):
    return next(c for c in comparison.criteria if c.name.startswith(name))


def test_improvements_and_their_weighted_sum_are_the_published_ones():
    comparison = compare(*published(), weighted_names=["L2", "L1", "Rp1"])
    found = {row.name: row.improvement for row in comparison.rows}
    assert found["L1"] == pytest.approx(-21.9, abs=0.05)
    assert found["Rp1"] == pytest.approx(28.6, abs=0.05)
    assert found["L2"] == 100
    # The first is as even as chance allows: nothing to improve, whatever the second is.
    assert found["Rp2"] is None
    exact = 100 * 5.86 + (1 - 548_555 / 449_869) * 100 * 3.40 + (1 - 28_762 / 40_280) * 100 * 2.47
    assert comparison.weighted_improvement == pytest.approx(exact, abs=0.1)
    # Published with rounded improvements: 100 × 5.86 - 22 × 3.40 + 29 × 2.47 = 583.
    assert comparison.weighted_improvement == pytest.approx(583, abs=1)
    assert comparison.weighted_names == ("L1", "Rp1", "L2")


def test_all_parameters_with_an_improvement_are_weighted_unless_some_are_named():
    comparison = compare(*published())
    assert comparison.weighted_names == ("L1", "Rp1", "L2")
    assert comparison.weights == {name: V2_ERRORS[name] for name in ("L1", "Rp1", "L2", "Rp2")}
    own = compare(*published(), weights={"L1": 2.0})
    assert own.weighted_improvement == pytest.approx(-2 * 21.937, abs=0.01)


def test_parameters_of_other_samples_weigh_the_same():
    comparison = compare(dataset(a=[100, 300], b=[200, 200]), dataset(a=[150, 250], b=[200, 200]))
    assert comparison.weights == {"a": 1.0, "b": 1.0}
    # chi² from 100 to 25.
    assert comparison.weighted_improvement == pytest.approx(75)


def test_verdict_by_criterion():
    comparison = compare(*published())
    assert criterion(comparison, "mean χ²").winner == "first"
    assert criterion(comparison, "weighted improvement").winner == "second"
    better = criterion(comparison, "parameters that are clearly")
    assert (better.first, better.second, better.winner) == (1, 2, "second")
    assert criterion(comparison, "size").winner is None
    assert comparison.votes("second") > 0
    assert any("L1 (improvement −21.9 %)" in text for text in comparison.better_for)
    assert any("beyond chance: Rp2" in text for text in comparison.better_for)


def test_a_dataset_ties_with_itself():
    first, _ = published()
    comparison = compare(first, first)
    assert {c.winner for c in comparison.criteria} == {None}
    assert comparison.winner is None
    assert comparison.name_of(comparison.winner) == "neither"
    assert {row.better for row in comparison.rows} == {None}


def test_two_seeds_of_one_plan_differ_by_no_more_than_chance():
    plans = [load_plan("random-1m").with_options(size=50_000, seed=seed) for seed in (1, 2)]
    first, second = (measure_evenness(plan, drawn_blocks(plan)) for plan in plans)
    comparison = compare(first, second)
    assert {row.better for row in comparison.rows} == {None}
    assert comparison.winner is None


def test_a_clear_difference_wins_and_turns_round_with_the_order():
    worse, better = dataset("worse", a=[100, 900]), dataset("better", a=[480, 520])
    there, back = compare(worse, better), compare(better, worse)
    assert there.name_of(there.winner) == back.name_of(back.winner) == "better"
    assert criterion(there, "worst bias").winner == "second"


def test_an_empty_value_is_the_worst_bias():
    comparison = compare(dataset(a=[0, 500, 500]), dataset(a=[10, 490, 500]))
    bias = criterion(comparison, "worst bias")
    assert (bias.first, bias.second, bias.winner) == (math.inf, 50, "second")
    assert any("a in one (1 of 3)" in text for text in comparison.caveats)


def test_unequal_grids_and_sizes_are_compared_per_sample_and_said():
    small = dataset("small", a=[10, 30])
    large = dataset("large", a=[1000, 1000, 3000, 3000])
    comparison = compare(small, large)
    # chi²/N = k Σ share² - 1 = 0.25 for both.
    (row,) = comparison.rows
    assert row.first.chi2 / 40 == row.second.chi2 / 8000 == 0.25
    assert criterion(comparison, "mean χ² per sample").winner is None
    assert criterion(comparison, "size").winner == "second"
    text = " ".join(comparison.caveats)
    assert "a (2 values and 4 values)" in text
    assert "(40 and 8,000)" in text


def test_pair_coverage_counts():
    def pair(counts):
        return PairEvenness(one="a", other="b", valid=np.ones((2, 2), dtype=bool), counts=np.array(counts))

    half = dataset("half", a=[5, 5], b=[5, 5], pairs=[pair([[5, 0], [0, 5]])])
    full = dataset("full", a=[5, 5], b=[5, 5], pairs=[pair([[2, 3], [3, 2]])])
    coverage = criterion(compare(half, full), "pair coverage")
    assert (coverage.first, coverage.second, coverage.winner) == (0.5, 1.0, "second")


def test_unexplained_bias_costs_a_vote():
    good = dataset("good", a=[500, 500])
    bad = Evenness(**vars(good) | {"parameters": (parameter("a", [500, 500], expected=[300, 700]),)})
    assert criterion(compare(bad, good), "parameters with unexplained bias").winner == "second"


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        (dataset("two", a=[1, 2]), {}, "one has the parameters a, b, two has a; only datasets of the same"),
        (None, {"weights": {"c": 1.0}}, "weight of c: no such parameter; there are a, b"),
        (
            None,
            {"weighted_names": ["bb"]},
            "weight of bb: no such parameter; there are a, b. Did you mean b?",
        ),
        (None, {"weights": {"a": -1.0}}, "weight of a = -1; it must be a number >= 0"),
        (None, {"weights": {"a": math.nan}}, "weight of a = nan"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, options, message):
    one = dataset("one", a=[1, 2], b=[2, 1])
    with pytest.raises(ValueError, match=message.replace(".", r"\.").replace("?", r"\?")):
        compare(one, other or one, **options)


def test_caveats_compute_their_figures():
    plans = [load_plan("random-1m-report", size=20_000), load_plan("balanced-1m", size=1_000_000)]
    first, second = (
        measure_evenness(plan, drawn_blocks(plan), name=name)
        for plan, name in zip(plans, ("A", "B"), strict=True)
    )
    text = " ".join(compare(first, second).caveats)
    once = sum(second.best.once.values()) / 7
    assert f"with every combination at most once it is {once:,.0f}" in text
    assert "A has a mean χ²" in text
    assert "the least possible is 0, which needs" in text
    assert "; with every combination at most once, too." in text
    assert "10 of the 430 of Dmax1, D01, D02" in text
    assert "A: 20,000 samples of 1,162,350 valid combinations (1.7 %)" in text
    assert "B: 1,000,000 samples of 4,388,150 valid combinations (22.8 %)" in text
    assert "L2 (5 values and 10 values), Rp2 (7 values and 13 values)" in text
    assert "Constraints of A were compared in floating point" in text


# The folder -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def comparison():
    plans = [load_plan(name).with_options(size=20_000) for name in ("random-1m", "balanced-1m")]
    return compare(*(measure_evenness(plan, drawn_blocks(plan)) for plan in plans))


@pytest.fixture(scope="module")
def peaks():
    return verify_peaks([np.eye(5, 60, dtype=np.float32)], np.arange(60.0))


@pytest.fixture(scope="module")
def files(comparison, peaks):
    return comparison_files(comparison, peaks=(peaks, None), command="strainscope dataset compare a b")


class Page(HTMLParser):
    """Tags left open, and what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)
        self.loads += [value for key, value in attrs if key in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(files, comparison):
    page = Page()
    text = files["report.html"].decode()
    page.feed(text)
    assert page.open == []
    assert all(value.startswith("data:") for value in page.loads)
    assert sum(value.startswith("data:image/png") for value in page.loads) == 5
    assert comparison.name_of(comparison.winner) in text


def test_table_json_and_markdown_agree(files, comparison):
    table = list(csv.DictReader(io.StringIO(files["table.csv"].decode())))
    document = json.loads(files["report.json"])
    markdown = files["report.md"].decode()
    assert [row["parameter"] for row in table] == [row.name for row in comparison.rows]
    for line, row in zip(table, comparison.rows, strict=True):
        assert float(line["chi2_first"]) == pytest.approx(row.first.chi2)
        assert line["improvement_percent"] == "" or float(line["improvement_percent"]) == pytest.approx(
            row.improvement
        )
        assert document["second"]["parameters"][row.name]["counts"] == row.second.counts.tolist()
        assert f"| {row.name} | {comparison.first.name} |" in markdown
    assert table[-1]["improvement_percent"] == ""
    assert document["winner_name"] == comparison.name_of(comparison.winner)
    assert document["peaks"][0]["curves"] == 5
    assert document["peaks"][1] is None
    assert len(document["first"]["pairs"]) == 21


def test_markdown_tables_have_as_many_cells_in_every_line(files):
    blocks, block = [], []
    for line in [*files["report.md"].decode().splitlines(), ""]:
        if line.startswith("|"):
            block.append(line.count("|"))
        elif block:
            blocks.append(block)
            block = []
    assert [len(block) for block in blocks] == [2 + 14 + 1, 2 + 8, 2 + 6]
    assert all(len(set(block)) == 1 for block in blocks)


def test_the_same_comparison_gives_the_same_bytes(files, comparison, peaks):
    again = comparison_files(comparison, peaks=(peaks, None), command="strainscope dataset compare a b")
    assert again == files


def test_names_are_text_not_markup():
    one, two = dataset("<b>&|$x$", a=[100, 300]), dataset("two", a=[200, 200])
    files = comparison_files(compare(one, two))
    assert "<b>&|" not in files["report.html"].decode()
    assert r"<b>&\|$x$" in files["report.md"].decode()


def test_the_parameter_in_detail():
    assert detail_name(compare(*published())) == "L2"
    one, two = dataset(a=[100, 300], b=[100, 300]), dataset(a=[110, 290], b=[200, 200])
    assert detail_name(compare(one, two)) == "b"


@pytest.fixture
def small():
    return compare(dataset("one", a=[100, 300]), dataset("two", a=[200, 200]))


def test_folder_is_written_refused_and_replaced(small, peaks, tmp_path):
    target = tmp_path / "deep" / "report"
    write_comparison(small, target, peaks=(peaks, None))
    names = {entry.name for entry in target.iterdir()}
    assert names == set(COMPARISON_FILES) - {"peaks-second.png"}
    assert [entry.name for entry in target.parent.iterdir()] == ["report"]
    with pytest.raises(FileExistsError, match=r"or replace it \(--force; in Python force=True\)"):
        write_comparison(small, target)
    write_comparison(small, target, force=True)
    assert {entry.name for entry in target.iterdir()} == names - {"peaks-first.png"}
    (target / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds notes\.txt besides a former comparison"):
        write_comparison(small, target, force=True)
    assert (target / "notes.txt").read_text() == "mine"


def test_foreign_folders_and_files_are_not_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex and no report\.json, so it is no former"):
        check_comparison_target(tmp_path / "other", force=True)
    with pytest.raises(FileExistsError, match="is a file"):
        check_comparison_target(tmp_path / "other" / "thesis.tex", force=True)
    with pytest.raises(OSError, match="is a file, not a folder"):
        check_comparison_target(tmp_path / "other" / "thesis.tex" / "deeper")


def test_a_failure_midway_leaves_the_former_folder(small, tmp_path, monkeypatch):
    target = tmp_path / "report"
    write_comparison(small, target)
    former = {entry.name: entry.read_bytes() for entry in target.iterdir()}
    write = type(target).write_bytes

    def full(path, data):
        if path.name == "table.csv":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(type(target), "write_bytes", full)
    with pytest.raises(OSError, match=r"the comparison could not be written \(No space left on device\)"):
        write_comparison(small, target, force=True)
    with pytest.raises(OSError, match="No space left"):
        write_comparison(small, tmp_path / "deep" / "fresh")
    assert {entry.name: entry.read_bytes() for entry in target.iterdir()} == former
    assert [entry.name for entry in tmp_path.iterdir()] == ["report"]
