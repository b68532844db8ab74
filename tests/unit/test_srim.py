import re
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.test_cli import fake_result, simulated_example

from strainscope import plots
from strainscope.profile import IonProfile
from strainscope.readers import read_srim
from strainscope.report import report_html, result_document

HEAD = """====== GGG =======
        SRIM-2013.00
==========================================
{title}
==========================================
 Ion    = He   Energy = 30 keV
 Total Ions calculated =9999.00
   TARGET     {names}
-----------  -----------  ------------
"""
DEPTHS = np.arange(1, 101) * 60.0


def basic(value):
    """A number as Visual Basic prints it: as many digits before the point as its width has."""
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{mantissa.replace('.', '')}.E{int(exponent) - 5:+03d}"


def table(title, names, *columns, comma=False):
    rows = "".join(
        f"{'  '.join(basic(value) for value in row)}  \r\n" for row in zip(DEPTHS, *columns, strict=True)
    )
    text = (
        HEAD.format(title=title, names=names).replace("\n", "\r\n")
        + rows
        + "\r\n To convert to Energy Lost - "
    )
    return text.replace(".E", ",E").encode() if comma else text.encode()


IONS = np.exp(-(((DEPTHS - 3000) / 900) ** 2)) * 1e4
DAMAGE = np.exp(-(((DEPTHS - 2400) / 1200) ** 2)) * 0.01
RANGE = table("ION and final RECOIL ATOM Distributions", "Ions   Distribution", IONS, 0 * IONS)
QUICK = table("Ion and Target VACANCY production", "VACANCIES    VACANCIES", DAMAGE, 2 * DAMAGE)
FULL = table(
    "Ion and Target VACANCY production", "Knock-Ons   Vacancies  Vacancies", 9 * IONS, DAMAGE, 2 * DAMAGE
)


@pytest.fixture
def read(tmp_path):
    def run(content):
        (tmp_path / "table.txt").write_bytes(content)
        return read_srim(tmp_path / "table.txt")

    return run


def test_ions_at_rest(read):
    found = read(RANGE)
    assert (found.what, found.ion, found.program, found.label) == (
        "ions",
        "He 30 keV",
        "SRIM-2013.00",
        "He ions",
    )
    np.testing.assert_allclose(found.depth, DEPTHS)
    np.testing.assert_allclose(found.value, IONS, rtol=1e-5)
    assert found.peak_depth == 3000


@pytest.mark.parametrize("content", [QUICK, FULL, QUICK.replace(b".E", b",E")])
def test_damage_is_the_sum_of_the_vacancies_and_not_of_the_knock_ons(read, content):
    found = read(content)
    assert found.what == "damage"
    np.testing.assert_allclose(found.value, 3 * DAMAGE, rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1" * 1_000_000 + b"x", "a line of more than 1000 characters"),
        (b"1 2\n3 4\n", "this is no RANGE.txt or VACANCY.txt of SRIM"),
        (RANGE[:420], "its table has 3 rows of numbers; SRIM writes 100"),
        (RANGE.replace(basic(IONS[3]).encode(), b"-1"), "the values must be >= 0"),
        (
            table("ION and final RECOIL ATOM Distributions", "Ions", 0 * IONS),
            "some above 0; was it calculated",
        ),
        (table("Ion and Target VACANCY production", "Knock-Ons", DAMAGE), "no column of vacancies"),
    ],
)
def test_what_is_wrong_is_one_line(read, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        read(content)
    assert re.match(r"\S*table\.txt: ", str(caught.value))
    assert "\n" not in str(caught.value)


def test_ions_are_drawn_behind_the_strain_and_told_in_page_and_document(read):
    ions = read(RANGE), read(QUICK)
    result = replace(fake_result(simulated_example(), {}, 0), ions=ions)
    strain, _, twin = plots.profile_figure(result).axes
    assert twin.get_zorder() < strain.get_zorder()
    assert twin.get_xlim() == strain.get_xlim()
    drawn = {line.get_label(): line for line in twin.lines}
    np.testing.assert_allclose(drawn["He ions"].get_xdata(), DEPTHS / 10)
    assert max(drawn["He damage"].get_ydata()) == 1
    assert len(plots.profile_figure(replace(result, ions=())).axes) == 2
    assert "where comes to rest\nHe 30 keV, largest at 300 nm" in report_html(result)
    document = result_document(result)["ions"]
    assert [own["peak_depth_A"] for own in document] == [3000, 2400]


def test_a_profile_of_ions_is_checked():
    with pytest.raises(ValueError, match="must be >= 0 Å and ascend"):
        IonProfile(
            what="ions", ion="He", depth=np.array([2.0, 1.0]), value=np.ones(2), unit="1", program="SRIM"
        )


def test_tables_of_another_program_that_writes_as_srim_does(tmp_path):
    """Totals of the tables are those that the files' heads state."""
    lunasrim = pytest.importorskip("lunasrim")
    lunasrim.trim(
        "Ga",
        "SiO2",
        energy=100,
        thickness=2000,
        ions=5,
        seed=1,
        directory=tmp_path,
        density=2.3,
        calculation=2,
    )
    folder = tmp_path / "SRIM Outputs"
    damage, ions = read_srim(folder / "VACANCY.txt"), read_srim(folder / "RANGE.txt")
    assert damage.ion == ions.ion == "Ga 100 keV"
    step = float(np.diff(ions.depth)[0])
    assert ions.value.sum() * step == pytest.approx(1e8, rel=1e-3)
    stated = float(
        re.search(r"Total Target Vacancies\s*=\s*(\d+)", (folder / "VACANCY.txt").read_text("latin-1"))[1]
    )
    assert damage.value.sum() * step == pytest.approx(stated, rel=0.01)
