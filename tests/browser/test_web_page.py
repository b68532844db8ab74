"""The page in a real browser: from the dropped file to the downloaded report, and what goes wrong on the way."""

import json
import statistics
from pathlib import Path

import pytest
from tests.browser.conftest import EXAMPLE, Server
from tests.browser.visit import INVERSION_MS, choose, dropped, error, search_quickly, settled, use_example

TOKEN = "a-token-of-this-test"


def test_the_whole_way_from_drop_to_download(server, visitor, look, tmp_path):
    page = visitor(server.place)
    look(page, "empty")
    dropped(page, {EXAMPLE.name: EXAMPLE.read_bytes()})
    choose(page, "Second column", "counts")
    # The sliders are made anew for it; those of before would lose the keys.
    page.wait_for_function("() => strainscope.state.ask?.intensity === 'counts'")
    settled(page)
    look(page, "dropped")
    before = page.evaluate("strainscope.state.values.Dmax1")
    line = page.locator(".subplot.xy .scatterlayer .trace path.js-line").first
    drawn = line.get_attribute("d")
    page.locator("#ss-Dmax1").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    settled(page)
    assert page.evaluate("strainscope.state.values.Dmax1") < before
    assert line.get_attribute("d") != drawn
    search_quickly(page)
    page.get_by_role("button", name="Invert", exact=True).click()
    page.get_by_role("button", name="Cancel").wait_for()
    look(page, "running")
    page.locator("#ss-verdict").wait_for(timeout=INVERSION_MS)
    page.get_by_text("Angles are relative to the peak").wait_for()
    page.get_by_role("img", name="Corner plot").wait_for()
    page.wait_for_timeout(1500)
    look(page, "result")
    for link, ending in (("Report", "-report.html"), ("JSON", "-result.json"), ("Everything", ".zip")):
        with page.expect_download() as download:
            page.get_by_role("link", name=link).click()
        assert download.value.suggested_filename == f"ggg444-simulated{ending}"
        download.value.save_as(tmp_path / link)
    document = json.loads((tmp_path / "JSON").read_text())
    assert document["maximum_strain"] == pytest.approx(0.01325, rel=2e-3)
    assert "<h1>" in (tmp_path / "Report").read_text()
    page.get_by_role("button", name="Put the best values").click()
    page.wait_for_function(
        "() => parseFloat(document.getElementById('ss-rms')?.textContent.split(' ').pop()) < 0.03"
    )
    assert page.evaluate("strainscope.state.values.L1") == document["parameters"]["L1"]["value"]
    look(page, "best-values")


def test_every_slider_draws_as_it_moves(server, visitor):
    page = visitor(server.place)
    use_example(page)
    page.wait_for_timeout(500)
    page.evaluate("strainscope.latencies.length = 0")
    sliders = page.locator("#ss-sliders input[type=range]:enabled")
    for i in range(sliders.count()):
        sliders.nth(i).focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(60)
    settled(page)
    times = page.evaluate("strainscope.latencies")
    print(
        f"slider to curve: median {statistics.median(times):.0f} ms, most {max(times):.0f} ms of {len(times)}"
    )
    assert len(times) >= sliders.count() > 10


def test_slider_events_are_not_queued(server, visitor):
    page = visitor(server.place)
    use_example(page)
    sent = page.evaluate(
        """async () => {
          let sent = 0;
          const real = window.fetch;
          window.fetch = (...given) => { sent += 1; return real(...given); };
          const slider = document.getElementById("ss-L1");
          for (let step = 100; step < 900; step += 2) {
            slider.value = step;
            slider.dispatchEvent(new Event("input"));
          }
          while (!strainscope.idle()) await new Promise((r) => setTimeout(r, 5));
          return sent;
        }"""
    )
    assert sent <= 3
    values = page.evaluate("strainscope.state")
    own = next(p for p in values["parameters"] if p["name"] == "L1")
    assert values["values"]["L1"] == pytest.approx(own["lower"] + 0.898 * (own["upper"] - own["lower"]))


def test_what_is_wrong_is_said_in_one_line(server, visitor, look):
    page = visitor(server.place)
    page.get_by_role("button", name="Invert", exact=True).click()
    error(page, "there is no scan yet; drop one, or use the example.")
    dropped(page, {"scan.docx": b"x"})
    error(page, "scan.docx: ends in .docx; scans end in .xy")
    dropped(page, {"large.xy": b"1 2\n" * 3_000_000})
    error(page, "the file is larger than 10 MB, the limit of this server")
    dropped(page, {"diary.txt": b"dear diary\nnothing happened\n"})
    error(page, "diary.txt: line 2:")
    look(page, "error-scan")
    use_example(page)
    choose(page, "First column", "2θ (degrees)")
    error(page, "They look like delta-theta-arcsec")
    choose(page, "First column", "as the sample says")
    settled(page)
    assert not page.locator("#ss-error").is_visible()
    page.get_by_label("Reflection").fill("4 4 3")
    page.get_by_label("Reflection").press("Enter")
    error(page, "reflection")
    look(page, "error-sample")
    page.get_by_text("Sample file (YAML)").click()
    page.get_by_role("textbox", name="Sample file").fill("cif: /etc/passwd\nreflection: [4, 4, 4]")
    page.get_by_role("button", name="Apply").click()
    error(page, "the server reads no files that a sample names")
    number = page.locator("#ss-n-Dmax1")
    number.fill("7")
    number.press("Enter")
    error(page, "Dmax1 = 7; it must lie in 0.0005 to 0.03.")
    assert "\n" not in page.locator("#ss-error").inner_text().strip().replace("close", "").strip()


def test_another_sample_with_a_film_is_simulated(server, visitor, look):
    page = visitor(server.place)
    choose(page, "Sample", "yig-on-ggg444: Implanted YIG film")
    page.get_by_label("Thickness (nm)").fill("2000")
    page.get_by_label("Thickness (nm)").press("Enter")
    page.get_by_role("button", name="Simulate one").click()
    settled(page)
    assert "thickness_A: 20000.0" in page.evaluate("strainscope.state.ask.sample")
    page.get_by_role("button", name="Add a film on top").click()
    page.get_by_role("combobox", name="Film 2").wait_for()
    page.wait_for_function("() => strainscope.state.ask?.sample.includes('thickness_A: 10000.0')")
    settled(page)
    assert (
        page.locator(".subplot.xy .scatterlayer .trace path.js-line").first.get_attribute("d").count("L")
        > 100
    )
    look(page, "films")


def test_an_inversion_is_cancelled(server, visitor, look):
    page = visitor(server.place)
    use_example(page)
    page.get_by_role("button", name="Invert", exact=True).click()
    cancel = page.get_by_role("button", name="Cancel")
    cancel.click()
    page.get_by_text("cancelled").wait_for()
    cancel.wait_for(state="detached")
    page.get_by_role("tab", name="Series").click()
    page.get_by_label("Inversions").get_by_text("ggg444-simulated.xy: cancelled").wait_for()
    look(page, "cancelled")


def test_a_link_restores_the_settings_and_another_session_sees_nothing_else(server, visitor, look):
    page = visitor(server.place)
    use_example(page)
    page.get_by_label("Wavelength").fill("1.5407")
    page.get_by_label("Wavelength").press("Enter")
    page.wait_for_function("() => strainscope.state.ask?.sample.includes('1.5407')")
    settled(page)
    page.locator("#ss-n-L1").fill("333")
    page.locator("#ss-n-L1").press("Enter")
    settled(page)
    page.get_by_role("button", name="Copy link").click()
    link = page.get_by_role("textbox", name="Link").input_value()
    look(page, "link")
    other = visitor(link)
    assert other.get_by_label("Wavelength").input_value() == "1.5407"
    assert not other.locator("#ss-Dmax1").is_visible()
    other.get_by_role("tab", name="Series").click()
    other.get_by_text("None yet").wait_for()
    other.get_by_role("tab", name="Fit").click()
    other.set_input_files("#ss-file", EXAMPLE)
    settled(other)
    assert other.evaluate("strainscope.state.values.L1") == pytest.approx(3330)
    broken = visitor(link[:-30])
    error(broken, "the link's settings cannot be read")


def test_the_page_works_by_keyboard_alone(server, visitor):
    page = visitor(server.place)
    page.get_by_role("button", name="Use the example").focus()
    page.keyboard.press("Enter")
    settled(page)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert {"ss-Dmax1", "ss-n-Dmax1", "ss-log10_background", "ss-invert"} <= reached


@pytest.mark.parametrize("size", [(1366, 768), (390, 844)])
def test_the_curve_stays_in_sight_of_every_slider_and_hides_none(server, visitor, size):
    page = visitor(server.place, viewport={"width": size[0], "height": size[1]})
    use_example(page)
    page.wait_for_timeout(500)
    for name in ("Dmax1", "n", "log10_background"):
        page.locator(f"#ss-{name}").focus()
        page.wait_for_timeout(200)
        curve, slider = page.evaluate(
            """(id) => [document.querySelector(".ss-stays"), document.getElementById(id)].map((e) => {
              const box = e.getBoundingClientRect();
              return [box.top, box.bottom];
            })""",
            f"ss-{name}",
        )
        assert curve[1] <= slider[0] + 1, (name, curve, slider)
        assert 0 < slider[1] <= size[1], (name, slider)
        assert curve[1] > 200, (name, curve)


def test_a_narrow_dark_screen_shows_everything(server, visitor, look):
    page = visitor(server.place, viewport={"width": 390, "height": 844}, color_scheme="dark")
    use_example(page)
    page.wait_for_timeout(500)
    look(page, "narrow-dark")
    assert page.evaluate("document.body.classList.contains('body--dark')")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    colours = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap((e) => e.data.map((t) => t.line?.color))"
    )
    assert "#56B4E9" in colours
    page.get_by_role("button", name="Dark or light").click()
    page.wait_for_function("() => !document.body.classList.contains('body--dark')")
    page.reload()
    settled(page)
    page.wait_for_function("() => !document.body.classList.contains('body--dark')")


def test_scans_of_a_series_are_compared(server, visitor, look):
    page = visitor(server.place)
    use_example(page)
    page.get_by_role("button", name="Simulate one").click()
    page.wait_for_function("() => strainscope.state.ask && document.querySelector('.q-field__native span')")
    search_quickly(page)
    page.get_by_role("button", name="Invert all scans").click()
    page.get_by_role("button", name="Cancel").first.wait_for()
    page.reload()
    page.get_by_role("button", name="Cancel").first.wait_for()
    page.wait_for_function("() => !document.querySelector('[role=progressbar]')", timeout=INVERSION_MS)
    page.get_by_role("tab", name="Series").click()
    for i, dose in enumerate(("1e15", "2e15")):
        number = page.get_by_placeholder("number").nth(i)
        number.fill(dose)
        number.press("Tab")
    page.get_by_role("button", name="Compare the chosen").click()
    page.locator(".js-plotly-plot .errorbar").first.wait_for()
    page.wait_for_timeout(1000)
    look(page, "series")
    with page.expect_download() as download:
        page.get_by_role("link", name="Report and table").click()
    assert download.value.suggested_filename == "series.zip"
    # The page comes anew with the result; the sliders are there when one goes back to them.
    page.get_by_role("link", name="ggg444-simulated.xy").click()
    page.locator("#ss-verdict").wait_for()
    page.wait_for_timeout(1000)
    page.get_by_role("tab", name="Fit").click()
    page.locator("#ss-L1").wait_for()
    settled(page)
    before = page.evaluate("strainscope.state.values.L1")
    page.get_by_role("tab", name="Result").click()
    page.get_by_role("button", name="Put the best values").click()
    page.wait_for_function(f"() => strainscope.state.values.L1 !== {before}")
    settled(page)


def test_a_restart_keeps_results_and_a_token_is_asked_for(browser, tmp_path, look):
    server = Server(tmp_path, STRAINSCOPE_TOKEN=TOKEN)
    context = browser.new_context()
    page = context.new_page()
    try:
        page.goto(server.place)
        page.get_by_label("Token of this server").fill("wrong")
        page.get_by_role("button", name="Open").click()
        page.get_by_text("This is not the token.").wait_for()
        look(page, "login")
        page.get_by_label("Token of this server").fill(TOKEN)
        page.get_by_role("button", name="Open").click()
        use_example(page)
        search_quickly(page)
        page.get_by_role("button", name="Invert", exact=True).click()
        page.locator("#ss-verdict").wait_for(timeout=INVERSION_MS)
        assert server.stop() == 0
        server.start()
        page.goto(server.place)
        page.get_by_role("tab", name="Series").click()
        page.get_by_role("link", name="ggg444-simulated.xy").click()
        page.locator("#ss-verdict").wait_for()
        assert Path(tmp_path / "web.sqlite").exists()
    finally:
        context.close()
        server.stop()
