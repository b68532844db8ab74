"""The page: drop a scan, choose the sample, move sliders, invert, take the report."""

import json
from importlib import resources

from fastapi import FastAPI, Request
from nicegui import ui
from starlette.responses import Response

from strainscope.plots import BEST
from strainscope.web.messages import line_of
from strainscope.web.page.desk import Desk
from strainscope.web.page.figures import live_curve, live_profile
from strainscope.web.page.invert_panel import invert_panel
from strainscope.web.page.link import DeskSettings, checked_settings, settings_of, settings_text
from strainscope.web.page.maps_view import MapsView
from strainscope.web.page.result_view import show_result
from strainscope.web.page.sample_panel import sample_panel
from strainscope.web.page.scan_panel import scan_panel
from strainscope.web.page.series_view import SeriesView
from strainscope.web.service import Service

STATIC = "/static"
_FILES = {"strainscope.js": "text/javascript; charset=utf-8", "strainscope.css": "text/css; charset=utf-8"}
_HEAD = f"""<link rel="stylesheet" href="{STATIC}/strainscope.css"><script src="{STATIC}/strainscope.js"></script>
<meta name="description" content="X-ray rocking curves to strain and disorder with depth">"""


def add_page(app: FastAPI, service: Service) -> None:
    """Add the page to an application; a process can have one.

    Args:
        app: Gets the page at /.
        service: What does the work.
    """

    @app.get(f"{STATIC}/{{name}}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in _FILES:
            return Response(status_code=404)
        content = resources.files("strainscope").joinpath("web", "static", name).read_bytes()
        return Response(content, media_type=_FILES[name], headers={"cache-control": "no-cache"})

    @ui.page("/")
    def page(request: Request, settings: str = "", result: str = "") -> None:
        _build(service, request, settings, result)

    ui.run_with(
        app,
        title="Strainscope",
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=20,
        show_welcome_message=False,
    )


def _build(service: Service, request: Request, settings: str, result: str) -> None:
    ui.add_head_html(_HEAD)
    session = service.sessions.of(request.state.secret)
    chosen, problem = _settings(service, session.owner, settings)
    desk = Desk(service=service, session=session, client=ui.context.client, settings=chosen)
    desk.fit_reflections()
    if len(desk.labels) == 1:
        desk.choices = [next(reversed(desk.scans()), None)]
    tabs = _header(desk)
    error = ui.element("div").classes("ss-error").props('role="alert" id="ss-error"')
    with error:
        words = ui.label().classes("ss-grow")
        ui.button(icon="close", on_click=lambda: desk.on_error("")).props(
            'flat dense aria-label="Close the message"'
        )

    def show_error(line: str) -> None:
        words.set_text(line)
        error.set_visibility(bool(line))

    desk.on_error = show_error
    show_error("")
    ui.on("strainscope_error", lambda event: show_error(str(event.args)))
    ui.on("strainscope_values", lambda event: _moved(desk, event.args))
    with ui.tab_panels(tabs, value="Fit", keep_alive=True, animated=False).style("width: 100%"):
        with ui.tab_panel("Fit"):
            _fit_tab(desk)
        with ui.tab_panel("Result"):
            shown = ui.element("div").classes("ss-main")
            with shown:
                ui.label("None is open: press Invert, or choose one under Series.").classes("ss-soft")
        with ui.tab_panel("Series"):
            series = SeriesView(desk)
        if service.settings.maps is not None:
            with ui.tab_panel("Maps"):
                maps = MapsView(service.settings.maps)
            tabs.on_value_change(lambda event: maps.refresh() if event.value == "Maps" else None)
    tabs.on_value_change(lambda event: series.refresh() if event.value == "Series" else None)
    desk.on_ended = series.refresh
    tabs.on_value_change(lambda: ui.run_javascript("setTimeout(strainscope.shown, 100)"))

    def to_sliders(values: dict[str, float]) -> None:
        desk.settings.values = dict(values)
        tabs.set_value("Fit")
        ui.run_javascript(f"strainscope.setValues({json.dumps(desk.shown_values(values))})")

    async def show_job(job: str) -> None:
        shown.clear()
        with shown:
            show_result(desk, job, to_sliders)
        tabs.set_value("Result")

    desk.on_job = show_job
    ui.timer(0.1, lambda: _first(desk, problem, result), once=True)


async def _first(desk: Desk, problem: str, result: str) -> None:
    """What is shown to somebody who just came."""
    await desk.load()
    await desk.find_estimators()
    if problem:
        desk.on_error(problem)
    if result and desk.on_job is not None:
        await desk.on_job(result)


def _settings(service: Service, owner: str, link: str) -> tuple[DeskSettings, str]:
    """Those of a link, or of the last visit, or usual ones; and what is wrong with the link."""
    problem = ""
    if link:
        try:
            return settings_of(link), ""
        except ValueError as error:
            problem = line_of(error)
    try:
        return checked_settings(service.store.settings(owner) or {}), problem
    except ValueError:
        return DeskSettings(), problem


def _header(desk: Desk) -> ui.tabs:
    ui.colors(primary=BEST, negative="#b42318")
    dark = ui.dark_mode(None)
    with ui.header().classes("ss-header"):
        ui.html("<h1>Strainscope</h1>", sanitize=False)
        with ui.tabs().props("no-caps dense inline-label") as tabs:
            maps = ["Maps"] if desk.service.settings.maps is not None else []
            for name in ("Fit", "Result", "Series", *maps):
                ui.tab(name)
        ui.element("div").classes("ss-grow")
        ui.button("Copy link", icon="link", on_click=lambda: _link(desk)).props("flat no-caps dense").tooltip(
            "A link that restores sample, sliders and options"
        )

        async def turn() -> None:
            dark.set_value(await ui.run_javascript("strainscope.turned()"))

        async def as_before() -> None:
            dark.set_value(await ui.run_javascript("strainscope.kept()"))

        ui.timer(0.1, as_before, once=True)
        ui.button(icon="dark_mode", on_click=turn).props('flat dense aria-label="Dark or light" id="ss-dark"')
    return tabs


async def _link(desk: Desk) -> None:
    desk.keep()
    text = settings_text(desk.settings)
    link = await ui.run_javascript(f'location.origin + "/?settings={text}"')
    copied = await ui.run_javascript(f"strainscope.copy({json.dumps(link)})")
    with ui.dialog() as dialog, ui.card():
        ui.label("Copied. " if copied else "Copy this link:")
        ui.textarea(value=link).props('readonly outlined dense aria-label="Link" id="ss-link"').style(
            "width: 30rem; max-width: 80vw"
        )
        ui.label("It holds sample, sliders and options, neither scans nor CIFs.").classes("ss-soft")
        ui.button("Close", on_click=dialog.close).props("flat no-caps")
    dialog.open()


def _moved(desk: Desk, values: object) -> None:
    """Note where the sliders were left."""
    if isinstance(values, dict):
        desk.moved({str(name): float(v) for name, v in values.items() if isinstance(v, int | float)})


def _fit_tab(desk: Desk) -> None:
    with ui.element("div").classes("ss-desk"):
        with ui.element("div").classes("ss-side"):
            scan_panel(desk)
            sample_panel(desk)
            invert_panel(desk)
        with ui.element("div").classes("ss-main"):
            with ui.element("div").classes("ss-main"):
                with ui.element("section").classes("ss-card ss-stays").props('aria-label="Curves"'):
                    with ui.element("div").classes("ss-line"):
                        ui.html("<h2>Measured and simulated</h2>", sanitize=False)
                        ui.html('<span id="ss-rms" class="ss-soft"></span>', sanitize=False)
                    curve = ui.plotly(live_curve()).classes("ss-chart ss-live")
                    ui.html('<div id="ss-notes" class="ss-soft" role="status"></div>', sanitize=False)
                with ui.element("section").classes("ss-card").props('aria-label="Sliders"'):
                    ui.html("<h2>Sliders</h2>", sanitize=False)
                    ui.html(
                        '<div id="ss-sliders" class="ss-sliders ss-live"><span class="ss-soft">They come with a scan: '
                        "drop one, or use the example.</span></div>",
                        sanitize=False,
                    )
            with ui.element("section").classes("ss-card").props('aria-label="Profile"'):
                ui.html("<h2>Profile of the sliders</h2>", sanitize=False)
                profile = ui.plotly(live_profile()).classes("ss-chart-low ss-live")
    desk.ids = {"curve": curve.id, "profile": profile.id, "sliders": "ss-sliders"}
