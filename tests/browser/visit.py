"""What visitors of the page do."""

import base64

SLIDERS = "() => strainscope.state.ask && strainscope.latencies.length > 0 && strainscope.idle()"
INVERSION_MS = 240_000


def settled(page):
    """Wait for the curve of the sliders as they are."""
    page.wait_for_function(SLIDERS)


def dropped(page, files):
    """Drop files, content by name, onto the page as a file manager does."""
    page.evaluate(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, content] of files)
            data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
          document.getElementById("ss-drop").dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [[name, base64.b64encode(content).decode()] for name, content in files.items()],
    )


def choose(page, label, option):
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option).click()


def search_quickly(page):
    """Options with which the example is inverted in seconds."""
    page.get_by_text("Options").click()
    page.get_by_label("Curves in the search").fill("512")
    page.get_by_label("Starts").fill("4")
    page.get_by_label("Starts").press("Tab")


def error(page, text):
    page.locator("#ss-error", has_text=text).wait_for()


def use_example(page):
    page.get_by_role("button", name="Use the example").click()
    settled(page)
