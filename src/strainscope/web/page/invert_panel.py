"""The inversion: options, start, progress, cancel."""

import re
import time
from functools import partial

from nicegui import ui
from pydantic import ValidationError

from strainscope.sample.messages import first_problem
from strainscope.web.jobs import TooBusy
from strainscope.web.page.desk import Choice, Desk
from strainscope.web.requests import JobReply
from strainscope.web.service import NotThere
from strainscope.web.store import UNFINISHED

POLL_S = 0.4
_SEARCH = "the search"
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
            ui.button("Invert", icon="play_arrow", on_click=lambda: _start(desk, [desk.choices])).props(
                "no-caps unelevated id=ss-invert"
            )
            every = ui.button(
                "Invert all scans", on_click=lambda: _start(desk, [[choice] for choice in desk.scans()])
            )
            every.props("no-caps outline")
        running = ui.element("div").classes("ss-side").props('aria-live="polite"')
        with ui.expansion("Options").props("dense"):
            for name, (label, usual) in _OPTIONS.items():
                _option(desk, name, label, usual)
            _ways(desk)

    rows: dict[str, _Row] = {}

    async def refresh() -> None:
        """Show how the inversions stand; each row stays the same element, so that Cancel keeps the focus."""
        # A page that is open is no idle session, however little happens on it.
        desk.session.seen = time.monotonic()
        if not desk.watched and not desk.service.jobs.unfinished(desk.session.owner):
            return
        jobs = {own.job: own for own in desk.service.all_jobs(desk.session)}
        going = {job: own for job, own in jobs.items() if own.state in UNFINISHED}
        for job, own in going.items():
            desk.watched.add(job)
            if job not in rows:
                with running:
                    rows[job] = _Row(desk, own)
            rows[job].show(own)
        for job in desk.watched - going.keys():
            desk.watched.discard(job)
            if job in rows:
                rows.pop(job).remove()
            if job in jobs:
                await _ended(desk, jobs[job])
                desk.on_ended()

    def show_every() -> None:
        every.set_visibility(len(desk.choices) == 1 and len(desk.scans()) > 1)

    ui.timer(POLL_S, refresh)
    desk.on_scans.append(show_every)
    show_every()


class _Row:
    """The progress of one inversion, with a button to cancel it."""

    def __init__(self, desk: Desk, own: JobReply) -> None:
        with ui.element("div") as self._box:
            with ui.element("div").classes("ss-line"):
                self._words = ui.label().classes("ss-even ss-soft")
                cancel = ui.button("Cancel", on_click=lambda: self._cancel(desk, own.job))
                cancel.props("outline no-caps dense color=negative")
            self._bar = ui.linear_progress(0.0, show_value=False, size="8px")
            self._bar.props(f'aria-label="Progress of {own.name}"')

    def show(self, own: JobReply) -> None:
        """How it stands now."""
        waits = own.state == "waiting"
        how = f"waiting, {own.waiting} before it" if waits else f"{own.stage}, {100 * own.progress:.0f} %"
        self._words.set_text(f"{own.name}: {how}")
        self._bar.set_value(own.progress)

    def remove(self) -> None:
        """Take it off the page."""
        self._box.delete()

    def _cancel(self, desk: Desk, job: str) -> None:
        desk.service.jobs.cancel(job, desk.session.owner)


def _option(desk: Desk, name: str, label: str, usual: str) -> None:
    known = desk.settings.options.get(name)
    own = ui.input(label, value="" if known is None else f"{known:g}", placeholder=usual).props(
        "dense stack-label"
    )
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


def _ways(desk: Desk) -> None:
    """What proposes profiles, and how the draws are made."""
    proposer = ui.select({"": _SEARCH}, label="Profiles are proposed by", value="").props("dense options-dense")
    proposer.style("width: 100%")
    gold = ui.checkbox("Check by nested sampling: minutes, not seconds", value=desk.settings.gold).props("dense")
    said = ui.label().classes("ss-soft")

    def show() -> None:
        own = desk.settings
        if own.estimator not in (None, *desk.estimators):
            ui.notify(f"{own.estimator} does not serve this sample: the search proposes again.")
            own.estimator = None
        proposer.set_options(
            {"": _SEARCH} | {name: f"the network {name}" for name in desk.estimators},
            value=own.estimator or "",
        )
        proposer.set_visibility(bool(desk.estimators))
        gold.set_enabled("gold" not in desk.lacks)
        said.set_text(" ".join(f"{line.rstrip('.')}." for line in desk.lacks.values()))

    def chosen() -> None:
        desk.settings.estimator, desk.settings.gold = proposer.value or None, bool(gold.value)

    for own in (proposer, gold):
        own.on_value_change(chosen)
    desk.on_estimators = show


async def _start(desk: Desk, asked: list[list[Choice | None]]) -> None:
    desk.clear_error()
    for choices in asked:
        missing = [label for label, own in zip(desk.labels, choices, strict=True) if own is None]
        if missing:
            which = "" if len(choices) == 1 else f" of {', '.join(missing)}"
            desk.fail(ValueError(f"there is no scan{which} yet; drop one, or use the example."))
            return
        try:
            request = desk.inversion([own for own in choices if own is not None])
            job = await desk.service.aside(partial(desk.service.invert, desk.session, request))
        except ValidationError as error:
            desk.fail(ValueError(first_problem(error)))
            return
        except (ValueError, TooBusy, NotThere) as error:
            desk.fail(error)
            return
        desk.watched.add(job.job)
        desk.job = job.job if len(asked) == 1 else None
    desk.keep()


async def _ended(desk: Desk, own: JobReply) -> None:
    """Tell what has become of an inversion."""
    if own.state == "failed":
        desk.fail(ValueError(str(own.error)))
    elif own.state == "cancelled":
        ui.notify(f"{own.name}: cancelled")
    elif desk.on_job is not None and desk.job == own.job:
        await desk.on_job(own.job)
    else:
        ui.notify(f"{own.name}: done")
