"""The session's inversions: what became of each, and several of them compared."""

import json
from typing import Any
from urllib.parse import quote

from nicegui import ui

from strainscope.report import BADGES
from strainscope.web.page.desk import Desk
from strainscope.web.page.figures import quantities_figure, series_figure
from strainscope.web.requests import JobReply
from strainscope.web.service import NotThere


class SeriesView:
    """The list, and what is chosen in it.

    Args:
        desk: Of the visitor.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._chosen: dict[str, bool] = {}
        self._texts: dict[str, str] = {}
        with ui.element("section").classes("ss-card").props('aria-label="Inversions"'):
            ui.html("<h2>Inversions of this session</h2>", sanitize=False)
            self._list = ui.element("div").classes("ss-jobs")
        with ui.element("section").classes("ss-card").props('aria-label="Comparison"'):
            ui.html("<h2>Compared</h2>", sanitize=False)
            with ui.element("div").classes("ss-line"):
                self._label = ui.input("What the numbers are", value="dose").props("dense").classes("ss-even")
                ui.button("Compare the chosen", on_click=self.compare).props("no-caps unelevated")
            self._charts = ui.element("div").classes("ss-main")

    def refresh(self) -> None:
        """Show the list as it is now."""
        self._list.clear()
        jobs = self._desk.service.all_jobs(self._desk.session)
        with self._list:
            if not jobs:
                ui.label("None yet: drop a scan and press Invert.").classes("ss-soft")
            for own in jobs:
                self._row(own)

    def _row(self, own: JobReply) -> None:
        done = own.state == "done"
        with ui.element("div").classes("ss-job"):
            box = ui.checkbox(value=done and self._chosen.get(own.job, True))
            box.props(f'dense aria-label="Compare {own.name}"').set_enabled(done)
            box.on_value_change(lambda event: self._chosen.update({own.job: event.value}))
            if done:
                verdict = str((own.summary or {}).get("verdict"))
                tone, sign = BADGES.get(verdict, BADGES["do not use"])
                ui.link(f"{own.name}: {sign} {verdict}", f"/?result={own.job}").classes(f"ss-{tone}")
            else:
                ui.label(f"{own.name}: {own.state}")
            number = ui.input(value=self._texts.get(own.job, ""), placeholder="number")
            number.props(f'dense aria-label="Number of {own.name}"').style("width: 7rem").set_enabled(done)
            number.on_value_change(lambda event: self._texts.update({own.job: event.value or ""}))
            ui.button(icon="delete", on_click=lambda: self._remove(own.job)).props(
                f'flat dense aria-label="Remove {own.name}"'
            )
            if own.error:
                ui.label(own.error).classes("ss-why ss-soft")

    def _remove(self, job: str) -> None:
        try:
            self._desk.service.remove_job(self._desk.session, job)
        except NotThere as error:
            self._desk.fail(error)
        self.refresh()

    def compare(self) -> None:
        """Draw the chosen results over each other, and against their numbers where all have one."""
        service, session = self._desk.service, self._desk.session
        # The oldest first, as they were measured.
        jobs = [
            own
            for own in reversed(service.all_jobs(session))
            if own.state == "done" and self._chosen.get(own.job, True)
        ]
        self._charts.clear()
        if len(jobs) < 2:
            self._desk.fail(ValueError(f"{len(jobs)} results are chosen; choose at least two to compare."))
            return
        self._desk.clear_error()
        documents: list[dict[str, Any]] = [
            json.loads(service.file(session, own.job, "result.json")) for own in jobs
        ]
        texts = [self._texts.get(own.job, "").strip() for own in jobs]
        known = all(texts)
        try:
            places = [float(text) for text in texts] if known else [float(i + 1) for i in range(len(jobs))]
        except ValueError:
            self._desk.fail(
                ValueError(f"{self._label.value} = {', '.join(texts)}; give numbers, such as 1e15.")
            )
            return
        label = self._label.value if known else "scan"
        names = [
            f"{own.name} ({number:g})" if known else own.name
            for own, number in zip(jobs, places, strict=True)
        ]
        with self._charts:
            ui.plotly(series_figure(documents, names)).classes("ss-chart")
            ui.plotly(quantities_figure(documents, places, label)).classes("ss-chart")
            asked = ",".join(own.job for own in jobs)
            more = f"&against={quote(label)}&numbers={','.join(map(str, places))}" if known else ""
            ui.html(
                f'<div class="ss-downloads"><a class="ss-first" href="/api/series?jobs={asked}{more}" download>'
                "Report and table of the series (ZIP)</a></div>",
                sanitize=False,
            )
        ui.run_javascript("setTimeout(strainscope.theme, 50); setTimeout(strainscope.theme, 800)")
