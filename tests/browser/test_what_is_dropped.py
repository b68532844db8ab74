"""Files of instruments, samples with their CIFs and several reflections, dropped onto the page in a real browser."""

import json

import numpy as np
import pytest
from tests.browser.visit import INVERSION_MS, choose, dropped, error, search_quickly, settled, use_example
from tests.instrument_files import (
    OMEGA,
    brml,
    counts,
    nexus,
    ras,
    rasx,
    raw_3,
    raw_4,
    raw_data,
    rigaku_header,
    rigaku_rows,
    spec,
    spec_scan,
    xrdml,
    xrdml_scan,
)
from tests.unit.test_web_samples import SILICON

FACTOR = np.where(np.abs(OMEGA - OMEGA.mean()) < 0.01, 131.32, 1.0)
MEASURED = {
    "day.xrdml": (
        xrdml(
            xrdml_scan(values=np.round(counts() / FACTOR), factors=FACTOR),
            detector="<deadTime unit='microseconds'>0.5</deadTime>",
        ),
        ["PANalytical XRDML 1.5", "omega moved 25.432 to 25.632°", "counting time 2 s", "attenuation 1 to 131.32"]
        + ["dead time 500 ns", "wavelength 1.540598 Å (Cu: Ka1 1.540598", "raw counts up to"],
    ),
    "day.brml": (
        brml(raw_data(moved={"Theta": OMEGA}, values=counts())),
        ["omega moved 25.432 to 25.632°", "counting time 2 s", "wavelength 1.5406 Å", "raw counts up to"],
    ),
    "three.raw": (raw_3(), ["omega moved 25.432 to 25.632°", "counting time 2 s", "wavelength 1.540598 Å"]),
    "four.raw": (raw_4(), ["omega moved 25.432 to 25.632°"]),
    "day.ras": (ras((rigaku_header(), rigaku_rows())), ["omega moved 25.432 to 25.632°", "wavelength 1.54"]),
    "day.rasx": (rasx((rigaku_header(), rigaku_rows(separator="\t"))), ["omega moved 25.432 to 25.632°"]),
    "day.spec": (spec(spec_scan()), ["moved"]),
    "day.nxs": (nexus(), ["omega moved 25.432 to 25.632°"]),
}


def said(page):
    """What the page says that a file says, in one line."""
    page.locator(".ss-read").wait_for()
    rows = page.locator(".ss-read dt, .ss-read dd").all_inner_texts()
    return " ".join(" ".join(rows).split())


@pytest.mark.parametrize("name", MEASURED)
def test_what_an_instruments_file_says_is_shown_and_used(server, visitor, look, name):
    page = visitor(server.place)
    content, lines = MEASURED[name]
    dropped(page, {name: content})
    settled(page)
    for line in lines:
        assert line in said(page)
    # The file knows what its columns are.
    assert page.get_by_role("combobox", name="Second column").count() == 0
    assert page.get_by_role("combobox", name="First column").input_value().startswith("as the file says: ω")
    assert page.evaluate("strainscope.state.measured.angle[0]") == pytest.approx(OMEGA[0], abs=1e-4)
    look(page, f"dropped-{name}")
    choose(page, "First column", "Δθ from the peak (arcsec)")
    page.wait_for_function("() => strainscope.state.measured.angle[0] < 0")
    settled(page)


def test_one_of_several_scans_in_a_file_is_chosen(server, visitor, look):
    page = visitor(server.place)
    weak = xrdml_scan(values=counts(peak=9000, seed=2))
    turned = xrdml_scan(axis="Phi").replace('"Omega" unit', '"Chi" unit').replace('"Phi" unit', '"Omega" unit')
    dropped(page, {"day.xrdml": xrdml(xrdml_scan(), turned, weak)})
    settled(page)
    assert page.evaluate("strainscope.state.ask.number") == 3
    page.get_by_role("combobox", name="Scan", exact=True).click()
    page.get_by_role("option", name="day.xrdml, 3").wait_for()
    assert page.get_by_role("option").all_inner_texts() == [
        "day.xrdml, 1: omega 25.43 to 25.63° (101 points)",
        "day.xrdml, 3: omega 25.43 to 25.63° (101 points)",
    ]
    look(page, "several-scans")
    page.get_by_role("option", name="day.xrdml, 1").click()
    page.wait_for_function("() => strainscope.state.ask?.number === 1")
    settled(page)
    assert max(page.evaluate("strainscope.state.measured.intensity")) == counts().max()
    # What was chosen keeps the focus, so that the keyboard goes on from there.
    page.wait_for_function("() => document.activeElement.closest('.q-select') !== null")


def test_a_sample_with_its_cif_is_dropped(server, visitor, look):
    page = visitor(server.place)
    sample = "cif: silicon.cif\nreflection: [0, 0, 4]\nwavelength: CuKa1\nscan: {axis: omega-deg, intensity: counts}\n"
    dropped(page, {"mine.yaml": sample.encode()})
    error(page, "CIFs of this session (none so far): upload it")
    look(page, "cif-missing")
    dropped(page, {"silicon.cif": SILICON.encode()})
    page.get_by_text("θB 34.5").wait_for()
    page.get_by_role("button", name="Simulate one").click()
    settled(page)
    assert not page.locator("#ss-error").is_visible()
    look(page, "cif")
    # Any sample may be of that crystal.
    choose(page, "Sample", "si004")
    # When the sample comes its form is drawn anew, and an open menu with it.
    page.wait_for_function("() => strainscope.state.ask?.sample === 'si004'")
    page.get_by_role("combobox", name="Crystal").click()
    page.get_by_role("option", name="silicon.cif").click()
    page.wait_for_function("() => strainscope.state.ask?.sample.includes('cif: silicon.cif')")
    page.get_by_role("button", name="Remove silicon.cif").click()
    error(page, "upload it")
    dropped(page, {"dear diary.cif": b"x"})
    error(page, "dear diary.cif: CIFs are called by one word")
    dropped(page, {"mine.yaml": b"x" * 200_000})
    error(page, "mine.yaml: is larger than 100 kB")


def test_reflections_are_inverted_together(server, visitor, look, tmp_path):
    page = visitor(server.place)
    choose(page, "Sample", "ggg444-888")
    page.get_by_role("button", name="Invert", exact=True).click()
    error(page, "there is no scan of 444, 888 yet")
    page.get_by_role("button", name="Simulate one").click()
    page.get_by_role("combobox", name="Scan of 888").wait_for()
    settled(page)
    assert page.evaluate("strainscope.state.ask.reflection") == [8, 8, 8]
    page.locator("#ss-n-fwhm_arcsec").fill("77")
    page.locator("#ss-n-fwhm_arcsec").press("Enter")
    page.locator("#ss-n-L1").fill("333")
    page.locator("#ss-n-L1").press("Enter")
    settled(page)
    look(page, "joint")
    page.get_by_role("radio", name="444").click()
    page.wait_for_function("() => strainscope.state.ask?.reflection === null")
    settled(page)
    # The profile is one; each reflection has its own instrument.
    values = page.evaluate("strainscope.state.values")
    assert values["L1"] == pytest.approx(3330)
    assert values["fwhm_arcsec"] != 77
    page.get_by_role("radio", name="888").click()
    page.wait_for_function("() => strainscope.state.values.fwhm_arcsec === 77")
    search_quickly(page)
    page.get_by_role("button", name="Invert", exact=True).click()
    page.locator("#ss-verdict").wait_for(timeout=INVERSION_MS)
    assert page.get_by_role("heading", name="Measured and fitted").count() == 2
    page.get_by_role("link", name="Fit 888 CSV").wait_for()
    page.wait_for_timeout(1500)
    look(page, "joint-result")
    with page.expect_download() as download:
        page.get_by_role("link", name="JSON").click()
    assert download.value.suggested_filename == "simulated-444-1-simulated-888-2-result.json"
    download.value.save_as(tmp_path / "result.json")
    fit = json.loads((tmp_path / "result.json").read_text())["reflections"][0]["fit"]
    page.get_by_role("button", name="Put the best values").click()
    page.wait_for_function(
        """(rms) => Math.abs(parseFloat(document.getElementById('ss-rms')?.textContent.split(' ').pop()) / rms - 1)
          < 0.01""",
        arg=fit["rms_log10"],
    )


def test_a_network_proposes_where_one_serves_the_sample(server, visitor, look):
    page = visitor(server.place)
    use_example(page)
    search_quickly(page)
    choose(page, "Profiles are proposed by", "the network ggg444-lab")
    look(page, "options")
    page.get_by_role("button", name="Invert", exact=True).click()
    page.locator("#ss-verdict").wait_for(timeout=INVERSION_MS)
    page.get_by_role("tab", name="Fit").click()
    choose(page, "Sample", "si004")
    page.get_by_text("ggg444-lab does not serve this sample: the search proposes again").wait_for()
    page.get_by_role("combobox", name="Profiles are proposed by").wait_for(state="hidden")
