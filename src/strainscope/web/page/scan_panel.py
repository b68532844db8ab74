"""Where a scan comes from, and what its columns are."""

import html
from collections.abc import Iterable
from functools import partial
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from strainscope.readers import document_heading, document_lines
from strainscope.scan import AXES, INTENSITIES
from strainscope.web.messages import without_options
from strainscope.web.page.desk import Choice, Desk
from strainscope.web.service import EXAMPLE, EXAMPLE_INTENSITY, EXAMPLE_SAMPLE
from strainscope.web.settings import SCAN_SUFFIXES

_AXIS_WORDS = {
    "delta-theta-arcsec": "Δθ from the peak (arcsec)",
    "omega-deg": "ω (degrees)",
    "two-theta-deg": "2θ (degrees)",
}
_INTENSITY_WORDS = {"counts": "counts (whole photons)", "normalised": "normalised (anything else)"}
_OPEN, _FILE = "as the sample says", "as the file says"


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
        with ui.element("div").classes("ss-line"):
            ui.button("Use the example", on_click=lambda: _example(desk)).props("outline no-caps dense")
            ui.button("Simulate one", on_click=lambda: _simulated(desk)).props(
                "outline no-caps dense"
            ).tooltip("A scan of the sample below, with counting noise where it counts")
        ui.on("strainscope_uploaded", lambda event: desk.take_scans(event.args))
        chosen = _Chosen(desk)
        axis = ui.select({}, label="First column")
        intensity = ui.select({}, label="Second column")
        for select in (axis, intensity):
            select.props("dense options-dense")
        with ui.expansion("What the file says", value=True).props("dense") as read:
            facts = ui.html("", sanitize=False)

    def show_scans() -> None:
        chosen.show()
        document = _document(desk)
        read.set_visibility(document is not None)
        if document is not None:
            facts.set_content(_facts(document))
        show_columns()

    def show_columns() -> None:
        said, document, own = desk.data().get("scan") or {}, _document(desk), desk.settings
        said = said if isinstance(said, dict) else {}
        recorded = document is not None and _recorded(document)
        if document is not None and recorded:
            # What was chosen stays among them, and what is wrong with it is said.
            known = [*document["usable_axes"], *([own.axis] if own.axis else [])]
            usual = next(iter(document["usable_axes"]), None)
            axis.set_options(_words(known, _AXIS_WORDS, usual, _FILE), value=own.axis or "")
        else:
            axis.set_options(_words(AXES, _AXIS_WORDS, said.get("axis"), _OPEN), value=own.axis or "")
        words = _words(INTENSITIES, _INTENSITY_WORDS, said.get("intensity"), _OPEN)
        intensity.set_options(words, value=own.intensity or "")
        intensity.set_visibility(not recorded)

    async def columns_chosen() -> None:
        own = desk.settings
        if (own.axis or "", own.intensity or "") == (axis.value, intensity.value):
            return
        own.axis, own.intensity = axis.value or None, intensity.value or None
        await desk.load()

    for select in (axis, intensity):
        select.on_value_change(columns_chosen)
    desk.on_scans.append(show_scans)
    show_scans()


class _Chosen:
    """The scan of each reflection, and which of these is looked at.

    Args:
        desk: Of the visitor.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._box = ui.element("div").classes("ss-side")
        self._built: object = None
        self._selects: list[ui.select] = []
        self._seen: ui.radio | None = None

    def show(self) -> None:
        """Show what is chosen now; inputs stay the same elements where they can, so that they keep the focus."""
        desk, scans = self._desk, self._desk.scans()
        if self._built != (desk.labels, scans):
            self._built = (list(desk.labels), scans)
            self._box.clear()
            self._selects, self._seen = [], None
            with self._box:
                self._build(scans)
        for select, choice in zip(self._selects, desk.choices, strict=True):
            select.set_value(choice)
        if self._seen is not None:
            self._seen.set_value(desk.seen)
        self._box.set_visibility(bool(scans))

    def _build(self, scans: dict[Choice, str]) -> None:
        desk, several = self._desk, len(self._desk.labels) > 1
        for i, label in enumerate(desk.labels):
            words = f" of {label}" if several else ""
            with ui.element("div").classes("ss-line"):
                own = ui.select(scans, label=f"Scan{words}", value=desk.choices[i])
                own.classes("ss-even").props("dense options-dense")
                own.on_value_change(partial(self._chose, i))
                remove = ui.button(icon="delete", on_click=partial(self._remove, i))
                remove.props(f'flat dense aria-label="Remove this file{words}"')
            self._selects.append(own)
        if several:
            self._seen = ui.radio(dict(enumerate(desk.labels)), value=desk.seen)
            self._seen.props('inline dense aria-label="Curve and sliders of"')
            self._seen.on_value_change(self._look)

    async def _chose(self, i: int, event: ValueChangeEventArguments[Any]) -> None:
        if event.value != self._desk.choices[i]:
            self._desk.choices[i] = event.value
            await self._desk.look(i)

    async def _look(self, event: ValueChangeEventArguments[Any]) -> None:
        if event.value != self._desk.seen:
            await self._desk.look(event.value)

    async def _remove(self, i: int) -> None:
        desk, choice = self._desk, self._desk.choices[i]
        if choice is not None:
            desk.service.sessions.remove(desk.session, choice.scan)
        if len(desk.labels) == 1:
            desk.choices = [next(iter(desk.scans()), None)]
        await desk.look(i)


def _document(desk: Desk) -> dict[str, Any] | None:
    """What is understood of the scan that is looked at."""
    choice = desk.choice
    documents = [] if choice is None else desk.documents(choice.scan)
    return documents[(choice.number if choice and choice.number else 1) - 1] if documents else None


def _recorded(document: dict[str, Any]) -> bool:
    """Whether an instrument's file says what it holds."""
    return "usable_axes" in document


def _facts(document: dict[str, Any]) -> str:
    lines = [("format", document["format"])]
    if _recorded(document):
        lines.append(("scan", document_heading(document)))
    lines += document_lines(document)
    if not _recorded(document):
        kind = "whole numbers, so they may be counts" if document["whole_numbers"] else "no whole numbers"
        lines.append(("note", f"the intensities are {kind}; what the columns are is not in the file"))
    rows = (f"<dt>{html.escape(words)}</dt><dd>{html.escape(value)}</dd>" for words, value in lines)
    return f'<dl class="ss-read">{without_options("".join(rows))}</dl>'


def _words(known: Iterable[str], words: dict[str, str], said: str | None, who: str) -> dict[str, str]:
    """What may be chosen, what sample or file say first."""
    own = f"{who}: {words[said]}" if said in words else "choose"
    return {"": own} | {word: words[word] for word in known}


async def _example(desk: Desk) -> None:
    desk.clear_error()
    scan = desk.service.example(desk.session)
    desk.settings.axis, desk.settings.intensity = None, EXAMPLE_INTENSITY
    desk.choices, desk.seen = [Choice(scan.id)], 0
    await desk.take_sample(EXAMPLE_SAMPLE)
    ui.notify(f"{EXAMPLE}: a simulated measurement with counting noise, not a measured one.")


async def _simulated(desk: Desk) -> None:
    try:
        request = desk.request()
        scans = await desk.service.aside(lambda: desk.service.simulated(desk.session, request))
    except ValueError as error:
        desk.fail(error)
        return
    # They belong together.
    desk.choices = [None] * len(scans)
    await desk.take_scans([scan.id for scan in scans])
