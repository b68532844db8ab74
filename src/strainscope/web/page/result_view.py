"""A result: verdict in words, fit, profile, modes, parameters, corner plot, downloads."""

import html
import json
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Any

from nicegui import ui

from strainscope import plots
from strainscope.report import BADGES, number_text, shown_unit, strain_text, value_text
from strainscope.web.page.desk import Desk
from strainscope.web.page.figures import bands_figure, fit_figure
from strainscope.web.requests import JobReply
from strainscope.web.service import NotThere

_DOWNLOADS = (
    ("report.html", "Report"),
    ("result.json", "JSON"),
    ("result.nxs", "NeXus"),
    ("profile.csv", "Profile CSV"),
    ("fit.csv", "Fit CSV"),
    ("fit.svg", "Fit SVG"),
    ("fit.png", "Fit PNG"),
    ("profile.svg", "Profile SVG"),
    ("profile.png", "Profile PNG"),
    ("corner.svg", "Corner SVG"),
    ("corner.png", "Corner PNG"),
    ("sample.yaml", "Sample file"),
)


def show_result(desk: Desk, job: str, to_sliders: Callable[[dict[str, float]], None]) -> None:
    """Show a result of the session.

    Args:
        desk: Of the visitor.
        job: The inversion.
        to_sliders: Called with the best values, where the visitor wants them there.
    """
    try:
        reply = desk.service.job(desk.session, job)
        document = json.loads(desk.service.file(desk.session, job, "result.json"))
        beside = [own["label"] for own in document["reflections"]]
        names = ["fit.csv", *(f"fit_{label}.csv" for label in beside)]
        fits = [desk.service.file(desk.session, job, name).decode() for name in names]
    except NotThere as error:
        desk.fail(error)
        return
    _verdict(document)
    _facts(document)
    _downloads(reply)
    best = {name: own["value"] for name, own in document["parameters"].items()}
    for fit, own in zip(fits, [None, *document["reflections"]], strict=True):
        scan = (own or document)["scan"]["name"]
        with ui.element("section").classes("ss-card").props(f'aria-label="Fit of {scan}"'):
            ui.html(f"<h2>Measured and fitted: {html.escape(scan)}</h2>", sanitize=False)
            ui.plotly(fit_figure(document, fit, own)).classes("ss-chart")
            if own is None:
                with ui.element("div").classes("ss-line"):
                    put = ui.button("Put the best values on the sliders", on_click=lambda: to_sliders(best))
                    put.props("flat no-caps dense")
    with ui.element("section").classes("ss-card").props('aria-label="Profile"'):
        ui.html("<h2>Strain and disorder with depth</h2>", sanitize=False)
        ui.plotly(bands_figure(document)).classes("ss-chart")
        ui.label(document["band_meaning"]).classes("ss-soft")
    _parameters(document)
    if "corner.svg" in reply.files:
        with ui.element("section").classes("ss-card").props('aria-label="Corner plot"'):
            ui.html("<h2>Posterior of each pair of parameters</h2>", sanitize=False)
            ui.html(
                f'<img class="ss-corner" loading="lazy" src="{_place(job, "corner.png")}" alt="Corner plot: draws of '
                'the best mode for each pair of fitted parameters; lines are the best values">',
                sanitize=False,
            )
    ui.run_javascript("setTimeout(strainscope.theme, 50); setTimeout(strainscope.theme, 800)")


def _verdict(document: dict[str, Any]) -> None:
    tone, sign = BADGES.get(document["verdict"], BADGES["do not use"])
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in document["verdict_reasons"])
    ui.html(
        f'<div><span class="ss-badge" id="ss-verdict">{sign} {html.escape(document["verdict"])}</span> '
        f"<b>{html.escape(document['scan']['name'])}</b></div><ul>{reasons}</ul>",
        sanitize=False,
    ).classes(f"ss-card ss-verdict ss-{tone}").props('role="status" aria-label="Verdict"')


def _facts(document: dict[str, Any]) -> None:
    modes = document["modes"]
    chi2 = number_text(document["fit"]["reduced_chi2"], digits=3, trailing=True)
    low, high = document["derived"]["maximum_strain"]["interval_68"]
    strain, low, high, depth = strain_text(
        document["maximum_strain"], low, high, document["maximum_strain_depth_A"]
    )
    facts = [
        ("Largest strain Δd/d", f"{strain} %"),
        ("its 68 % interval", f"{low} to {high} %"),
        ("at a depth of", f"{depth} nm"),
        (
            "Solutions",
            "1" if len(modes) == 1 else ", ".join(plots.percent_text(mode["weight"]) for mode in modes),
        ),
        ("rms of log₁₀, reduced χ²", f"{document['fit']['rms_log10']:.4f}, {chi2}"),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    ui.html(f'<dl class="ss-facts">{rows}</dl>', sanitize=False).style("width: 100%")


def _downloads(reply: JobReply) -> None:
    links = [
        f'<a {"class=ss-first " if name == "report.html" else ""}href="{_place(reply.job, name)}?download=true" '
        f"download>{words}</a>"
        for name, words in _downloaded(reply.files)
    ]
    links.insert(1, f'<a href="/api/jobs/{reply.job}/archive" download>Everything (ZIP)</a>')
    ui.html(f'<div class="ss-downloads">{"".join(links)}</div>', sanitize=False)


def _downloaded(files: Sequence[str]) -> list[tuple[str, str]]:
    """Files and what they are called: those of every result, of further reflections, CIFs."""
    known = dict(_DOWNLOADS)
    named = [(name, words) for name, words in _DOWNLOADS if name in files]
    for name in files:
        path = PurePath(name)
        if name not in known and path.suffix == ".cif":
            named.append((name, name))
        elif name not in known:
            named.append((name, f"Fit {path.stem.removeprefix('fit_')} {path.suffix[1:].upper()}"))
    return named


def _place(job: str, name: str) -> str:
    return f"/api/jobs/{job}/files/{name}"


def _parameters(document: dict[str, Any]) -> None:
    """Means with standard deviations, values of what is held; every mode's where there are several."""
    modes = document["modes"]
    heads = ["Mean ± sd"] if len(modes) == 1 else [f"Mode {mode['rank']}" for mode in modes]
    head = "".join(f'<th class="n">{words}</th>' for words in heads)
    rows = []
    for name, own in document["parameters"].items():
        factor, unit = shown_unit(name, own["unit"])
        cells = "".join(
            f'<td class="n">{_value(mode["parameters"].get(name), factor)}</td>' for mode in modes
        )
        flags = [words for key, words in (("fixed", "held"), ("at_bound", "at a bound")) if own[key]]
        flags += [] if own["determined"] else ["not determined"]
        rows.append(f"<tr><th>{name}</th>{cells}<td>{unit}</td><td>{', '.join(flags)}</td></tr>")
    with ui.element("section").classes("ss-card").props('aria-label="Parameters"'):
        ui.html("<h2>Parameters</h2>", sanitize=False)
        ui.html(
            f'<div class="ss-table"><table><thead><tr><th>Name</th>{head}<th>Unit</th><th></th></tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>",
            sanitize=False,
        ).style("width: 100%")


def _value(own: dict[str, Any] | None, factor: float) -> str:
    if own is None:
        return ""
    if own["fixed"] or own["sd"] is None or own["mean"] is None:
        return html.escape(value_text(factor * own["value"], None))
    return html.escape(value_text(factor * own["mean"], factor * own["sd"]))
