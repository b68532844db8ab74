"""The inversion: options, start, progress, cancel."""

import re

from nicegui import ui
from pydantic import ValidationError

from strainscope.sample.messages import first_problem
from strainscope.web.jobs import TooBusy
from strainscope.web.page.desk import Desk
from strainscope.web.requests import JobReply
from strainscope.web.service import NotThere

POLL_S = 0.4
_OPTIONS = {
    "seed": ("Seed", "0"),
    "draws": ("Curves in the search", "8192"),
    "starts": ("Starts", "12"),
    "model_error": ("Model error (relative)", "0.07"),
    "splines": ("Splines on top", "none"),
}


def invert_panel(desk: Desk) -> None:
    """Options, buttons, the progress of what runs."""
    with ui.element("section").classes("ss-card").props('aria-label="Inversion"'):
        ui.html("<h2>3. Invert</h2>", sanitize=False)
        with ui.element("div").classes("ss-line"):
            ui.button("Invert", icon="play_arrow", on_click=lambda: _start(desk, [desk.scan])).props(
                "no-caps unelevated id=ss-invert"
            )
            every = ui.button("Invert all scans", on_click=lambda: _start(desk, list(desk.session.uploads)))
            every.props("no-caps outline")
        with ui.expansion("Options").props("dense"):
            for name, (label, usual) in _OPTIONS.items():
                _option(desk, name, label, usual)
        running = ui.element("div").classes("ss-side").props('aria-live="polite"')

    shown: list[tuple[str, str]] = []

    async def refresh() -> None:
        unfinished = desk.service.jobs.unfinished(desk.session.owner)
        if not unfinished and not shown:
            return
        jobs = [own for own in desk.service.all_jobs(desk.session) if own.state in ("waiting", "running")]
        running.clear()
        with running:
            for own in jobs:
                _progress(desk, own)
        ended = {job for job, _ in shown} - {own.job for own in jobs}
        shown[:] = [(own.job, own.state) for own in jobs]
        for job in ended:
            await _ended(desk, job)

    ui.timer(POLL_S, refresh)
    desk.on_scans.append(lambda: every.set_visibility(len(desk.session.uploads) > 1))
    every.set_visibility(len(desk.session.uploads) > 1)


def _option(desk: Desk, name: str, label: str, usual: str) -> None:
    known = desk.settings.options.get(name)
    own = ui.input(label, value="" if known is None else f"{known:g}", placeholder=usual).props("dense stack-label")
    own.style("width: 100%")

    def changed() -> None:
        text = own.value.strip().replace(",", ".")
        desk.settings.options.pop(name, None)
        desk.clear_error()
        if not text:
            return
        if not re.fullmatch(r"\d+" if name != "model_error" else r"\d*\.?\d+([eE][+-]?\d+)?", text):
            kind = "number" if name == "model_error" else "whole number"
            desk.fail(ValueError(f"{name} = {own.value[:40]!r}; give a {kind} >= 0, or leave it empty."))
            own.set_value("")
            return
        desk.settings.options[name] = float(text) if name == "model_error" else int(text)

    own.on("change", changed)


async def _start(desk: Desk, scans: list[str | None]) -> None:
    desk.clear_error()
    for scan in scans:
        if scan is None:
            desk.fail(ValueError("there is no scan yet; drop one, or use the example."))
            return
        try:
            request = desk.inversion(scan)
            job = await desk.service.aside(lambda request=request: desk.service.invert(desk.session, request))
        except ValidationError as error:
            desk.fail(ValueError(first_problem(error)))
            return
        except (ValueError, TooBusy, NotThere) as error:
            desk.fail(error)
            return
        desk.job = job.job if len(scans) == 1 else None
    desk.keep()


def _progress(desk: Desk, own: JobReply) -> None:
    waits = own.state == "waiting"
    words = f"waiting, {own.waiting} before it" if waits else f"{own.stage}, {100 * own.progress:.0f} %"
    with ui.element("div").classes("ss-line"):
        ui.label(f"{own.name}: {words}").classes("ss-even ss-soft")
        ui.button("Cancel", on_click=lambda: _cancel(desk, own.job)).props("outline no-caps dense color=negative")
    ui.linear_progress(own.progress, show_value=False, size="8px").props(
        f'aria-label="Progress of {own.job}" instant-feedback'
    )


def _cancel(desk: Desk, job: str) -> None:
    desk.service.jobs.cancel(job, desk.session.owner)


async def _ended(desk: Desk, job: str) -> None:
    """Tell what has become of an inversion."""
    try:
        own = desk.service.job(desk.session, job)
    except NotThere:
        return
    if own.state == "failed":
        desk.fail(ValueError(str(own.error)))
    elif own.state == "cancelled":
        ui.notify(f"{own.name}: cancelled")
    elif desk.on_job is not None:
        if desk.job == job:
            await desk.on_job(job)
        else:
            ui.notify(f"{own.name}: done")
