"""The sample: a file that ships or one's own, its crystal, reflection, wavelength and films."""

import math
import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from nicegui import ui

from strainscope.crystal import builtin_crystals
from strainscope.sample import preset_text, presets
from strainscope.web.page.desk import Desk

OWN = "own"
_NEW_FILM = {"crystal": "YIG", "thickness_A": 10000.0, "mismatch": 0.001}


def sample_panel(desk: Desk) -> None:
    """Preset, the keys that change most, and the whole file as text."""
    with ui.element("section").classes("ss-card").props('aria-label="Sample"'):
        ui.html("<h2>2. Sample</h2>", sanitize=False)
        preset = ui.select({}, label="Sample").props("dense options-dense")
        ui.html(
            '<label class="ss-choose">or load a <b>sample file (.yaml), and CIFs</b> that it names'
            '<input type="file" id="ss-sample-file" multiple accept=".yaml,.yml,.cif"></label>',
            sanitize=False,
        )
        ui.on("strainscope_sample", lambda event: loaded(str(event.args)))
        ui.on("strainscope_cifs", lambda: desk.take_sample(desk.settings.sample))
        fields = ui.element("div").classes("ss-side")
        with ui.expansion("Sample file (YAML)").props("dense"):
            text = (
                ui.textarea(value=desk.text())
                .classes("ss-yaml")
                .props('outlined dense aria-label="Sample file"')
            )
            text.style("width: 100%")
            with ui.element("div").classes("ss-line"):
                ui.button("Apply", on_click=lambda: desk.take_sample(text.value)).props(
                    "outline no-caps dense"
                )
                ui.button(
                    "Download", on_click=lambda: ui.download(desk.text().encode(), "sample.yaml")
                ).props("flat no-caps dense")

    async def chosen() -> None:
        if preset.value not in (desk.settings.sample, OWN):
            # Another sample's sliders mean something else.
            desk.settings.values = {}
            await desk.take_sample(preset.value)

    async def loaded(sample: str) -> None:
        desk.settings.values = {}
        await desk.take_sample(sample)

    def show() -> None:
        own = desk.settings.sample in presets()
        options = {name: f"{name}: {_title(name)}" for name in presets()}
        preset.set_options(
            options | ({} if own else {OWN: "your own, as below"}), value=desk.settings.sample if own else OWN
        )
        text.set_value(desk.text())
        fields.clear()
        with fields:
            _fields(desk)

    preset.on_value_change(chosen)
    desk.on_sample.append(show)
    show()


def _title(name: str) -> str:
    found = re.search(r"^title: (.*)$", preset_text(name), re.MULTILINE)
    return found[1] if found else ""


def _fields(desk: Desk) -> None:
    """Inputs for what changes most often; nothing where the text is damaged."""
    data = desk.data()
    if not data:
        return
    with ui.element("div").classes("ss-line"):
        crystal = _crystal(desk, "Crystal", data)
        crystal.on_value_change(lambda event: desk.change(**_source(desk, event.value), lattice_A=None))
        if len(desk.labels) > 1:
            ui.label(f"Reflections {', '.join(desk.labels)}").classes("ss-even")
        else:
            indices = " ".join(map(str, data.get("reflection") or []))
            reflection = _input("Reflection", indices, lambda value: desk.change(reflection=_indices(value)))
            reflection.classes("ss-even").props("dense options-dense")
    with ui.element("div").classes("ss-line"):
        lattice = data.get("lattice_A")
        single = lattice if isinstance(lattice, int | float) else ""
        _input("Lattice a (Å)", str(single), lambda value: desk.change(lattice_A=_number(value))).classes(
            "ss-even"
        )
        wavelength = str(data.get("wavelength", ""))
        _input(
            "Wavelength (Å or line)", wavelength, lambda value: desk.change(wavelength=_number(value))
        ).classes("ss-even")
    _films(desk, [film for film in data.get("films") or [] if isinstance(film, dict)])
    for name in desk.session.cifs:
        _cif(desk, name)
    _told(desk)


def _crystal(desk: Desk, label: str, data: dict[str, Any]) -> ui.select:
    """The built-in crystals and the session's CIFs."""
    known = [*builtin_crystals(), *desk.session.cifs]
    value = data.get("cif", data.get("crystal"))
    own = ui.select(known, label=label, value=value if value in known else None)
    return own.classes("ss-even").props("dense options-dense")


def _source(desk: Desk, crystal: str) -> dict[str, str | None]:
    """The keys of a crystal that was chosen; None for the one to leave out."""
    return {"cif": crystal, "crystal": None} if crystal in desk.session.cifs else {"crystal": crystal, "cif": None}


def _cif(desk: Desk, name: str) -> None:
    async def removed() -> None:
        desk.service.sessions.remove_cif(desk.session, name)
        await desk.take_sample(desk.settings.sample)

    with ui.element("div").classes("ss-line"):
        ui.label(name).classes("ss-soft ss-even")
        ui.button(icon="delete", on_click=removed).props(f'flat dense aria-label="Remove {name}"')


def _told(desk: Desk) -> None:
    """What each reflection is like, so that a wrong crystal is seen."""
    described = desk.described()
    for seen in described.by_reflection() if described else ():
        own = seen.substrate
        angle, strain = math.degrees(own.bragg_angle), own.strain_per_arcsec
        which = f"{seen.label}: " if len(desk.labels) > 1 else ""
        words = f"{which}θB {angle:.3f}°, d {own.d_spacing:.4f} Å, one arcsec is a strain of {strain:.2e}"
        ui.label(words).classes("ss-soft")


def _films(desk: Desk, films: list[dict[str, Any]]) -> None:
    async def changed(i: int, **keys: object) -> None:
        if "mismatch" in keys:
            keys["perpendicular_lattice_A"] = None
        films[i] = {key: value for key, value in {**films[i], **keys}.items() if value is not None}
        await desk.change(films=films)

    async def removed(i: int) -> None:
        del films[i]
        await desk.change(films=films or None)

    for i, film in enumerate(films):
        _film(desk, i, film, partial(changed, i), partial(removed, i))
    ui.button("Add a film on top", on_click=lambda: desk.change(films=[dict(_NEW_FILM), *films])).props(
        "flat no-caps dense"
    )


def _film(
    desk: Desk,
    i: int,
    film: dict[str, Any],
    changed: Callable[..., Awaitable[None]],
    removed: Callable[[], Awaitable[None]],
) -> None:
    """Inputs for one film; lengths in nm, mismatch in %."""
    thickness, mismatch = film.get("thickness_A"), film.get("mismatch")
    with ui.element("div").classes("ss-line"):
        crystal = _crystal(desk, f"Film {i + 1}", film)
        crystal.on_value_change(lambda event: changed(**_source(desk, event.value)))
        remove = ui.button(icon="delete", on_click=removed)
        remove.props(f'flat dense aria-label="Remove film {i + 1}"')
    with ui.element("div").classes("ss-line"):
        shown = f"{thickness / 10:g}" if isinstance(thickness, int | float) else ""
        own = _input("Thickness (nm)", shown, lambda value: changed(thickness_A=_scaled(value, 10)))
        own.classes("ss-even")
        shown = f"{100 * mismatch:g}" if isinstance(mismatch, int | float) else ""
        own = _input("Mismatch (%)", shown, lambda value: changed(mismatch=_scaled(value, 0.01)))
        by_lattice = film.get("perpendicular_lattice_A")
        own.classes("ss-even").props(f'placeholder="by lattice, {by_lattice} Å"' if by_lattice else "")


def _input(label: str, value: str, changed: Callable[[str], Awaitable[None]]) -> ui.input:
    """An input that tells its text when it is left or Enter is pressed."""
    own = ui.input(label, value=value).props("dense")

    async def left() -> None:
        if own.value != value:
            await changed(own.value)

    own.on("change", left)
    return own


def _indices(text: str) -> list[Any]:
    words = re.split(r"[\s,]+", text.strip())
    if len(words) == 1 and re.fullmatch(r"\d{3}", words[0]):
        words = list(words[0])
    # What is no number goes on as it is, and the sample's own check says what is wrong with it.
    return [int(word) if re.fullmatch(r"[+-]?\d+", word) else word for word in words]


def _number(text: str) -> float | str | None:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return text.strip() or None


def _scaled(text: str, factor: float) -> object:
    value = _number(text)
    return float(f"{factor * value:.12g}") if isinstance(value, float) else value
