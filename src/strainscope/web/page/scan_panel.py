"""Where a scan comes from, and what its columns are."""

from nicegui import ui

from strainscope.scan import AXES, INTENSITIES
from strainscope.web.page.desk import Desk
from strainscope.web.service import EXAMPLE, EXAMPLE_INTENSITY, EXAMPLE_SAMPLE
from strainscope.web.settings import SCAN_SUFFIXES

_AXIS_WORDS = {
    "delta-theta-arcsec": "Δθ from the peak (arcsec)",
    "omega-deg": "ω (degrees)",
    "two-theta-deg": "2θ (degrees)",
}
_INTENSITY_WORDS = {"counts": "counts (whole photons)", "normalised": "normalised (anything else)"}
_OPEN = "as the sample says"


def scan_panel(desk: Desk) -> None:
    """Drop area, example, the session's scans, axis and intensity."""
    with ui.element("section").classes("ss-card").props('aria-label="Scan"'):
        ui.html("<h2>1. Scan</h2>", sanitize=False)
        limit = desk.service.settings.largest_upload_mb
        ui.html(
            f'<label class="ss-drop" id="ss-drop">Drop the file that your diffractometer wrote, or <b>choose one</b>'
            f'<input type="file" id="ss-file" multiple accept="{",".join(SCAN_SUFFIXES)}">'
            f'<br><span class="ss-soft">{" ".join(SCAN_SUFFIXES)}, at most {limit:g} MB</span></label>',
            sanitize=False,
        )
        ui.run_javascript('strainscope.drop("ss-drop", "ss-file")')
        ui.on("strainscope_uploaded", lambda event: _uploaded(desk, event.args))
        with ui.element("div").classes("ss-line"):
            ui.button("Use the example", on_click=lambda: _example(desk)).props("outline no-caps dense")
            ui.button("Simulate one", on_click=lambda: _simulated(desk)).props(
                "outline no-caps dense"
            ).tooltip("A scan of the sample below, with counting noise where it counts")
        with ui.element("div").classes("ss-line"):
            chosen = ui.select({}, label="Scan", on_change=lambda event: _chosen(desk, event.value))
            chosen.classes("ss-even").props("dense options-dense")
            removing = ui.button(icon="delete", on_click=lambda: _removed(desk)).props(
                'flat dense aria-label="Remove this scan"'
            )
        axis = ui.select(_words(AXES, _AXIS_WORDS, None), label="First column", value="")
        intensity = ui.select(_words(INTENSITIES, _INTENSITY_WORDS, None), label="Second column", value="")
        for select in (axis, intensity):
            select.props("dense options-dense")

    def show_scans() -> None:
        chosen.set_options({own.id: own.name for own in desk.session.uploads.values()}, value=desk.scan)
        for own in (chosen, removing):
            own.set_visibility(bool(desk.session.uploads))

    def show_columns() -> None:
        said = desk.data().get("scan") or {}
        said = said if isinstance(said, dict) else {}
        axis.set_options(_words(AXES, _AXIS_WORDS, said.get("axis")), value=desk.settings.axis or "")
        intensity.set_options(
            _words(INTENSITIES, _INTENSITY_WORDS, said.get("intensity")), value=desk.settings.intensity or ""
        )

    async def columns_chosen() -> None:
        own = desk.settings
        if (own.axis or "", own.intensity or "") == (axis.value, intensity.value):
            return
        own.axis, own.intensity = axis.value or None, intensity.value or None
        await desk.load()

    for select in (axis, intensity):
        select.on_value_change(columns_chosen)
    desk.on_scans.append(show_scans)
    desk.on_sample.append(show_columns)
    show_columns()
    show_scans()


def _words(known: tuple[str, ...], words: dict[str, str], said: str | None) -> dict[str, str]:
    """What may be chosen, the sample's own word first."""
    own = f"{_OPEN}: {words[said]}" if said in words else "choose"
    return {"": own} | {word: words[word] for word in known}


async def _uploaded(desk: Desk, scans: list[str]) -> None:
    await desk.look_at(scans[-1])


async def _example(desk: Desk) -> None:
    desk.clear_error()
    scan = desk.service.example(desk.session)
    desk.settings.axis, desk.settings.intensity = None, EXAMPLE_INTENSITY
    desk.scan = scan.id
    await desk.take_sample(EXAMPLE_SAMPLE)
    await desk.look_at(scan.id)
    ui.notify(f"{EXAMPLE}: a simulated measurement with counting noise, not a measured one.")


async def _simulated(desk: Desk) -> None:
    try:
        request = desk.request()
        scan = await desk.service.aside(lambda: desk.service.simulated(desk.session, request))
    except ValueError as error:
        desk.fail(error)
        return
    await desk.look_at(scan.id)


async def _chosen(desk: Desk, scan: str | None) -> None:
    if scan is not None and scan != desk.scan:
        await desk.look_at(scan)


async def _removed(desk: Desk) -> None:
    if desk.scan is not None:
        desk.service.sessions.remove(desk.session, desk.scan)
    await desk.look_at(next(iter(desk.session.uploads), None))
