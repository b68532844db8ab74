"""The tab with the server's maps: choose one; hover a pixel, see its curve, fit and profile."""

from pathlib import Path

from nicegui import ui

from strainscope.web.maps import DATA, REPORT, map_names, place_of


class MapsView:
    """The maps in a folder.

    Args:
        folder: Of the server.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with ui.element("div").classes("ss-main"):
            self._choice = (
                ui.select([], label="Map", on_change=lambda event: self._show(event.value))
                .props('outlined dense aria-label="Map" id="ss-map-choice"')
                .style("min-width: 16rem; max-width: 30rem")
            )
            self._none = ui.label("").classes("ss-soft")
            self._frame = ui.element("div")
        self.refresh()

    def refresh(self) -> None:
        """Look what is there."""
        names = map_names(self._folder)
        chosen = self._choice.value if self._choice.value in names else next(iter(names), None)
        self._choice.set_options(names, value=chosen)
        self._choice.set_visibility(bool(names))
        how = "There are none yet: strainscope map STACK --sample SAMPLE -o FOLDER/NAME makes one."
        self._none.set_text("" if names else how)

    def _show(self, name: str | None) -> None:
        self._frame.clear()
        if name is None:
            return
        with self._frame:
            page = place_of(name, REPORT)
            ui.element("iframe").props(f'src="{page}" title="Map" id="ss-map"').classes("ss-map")
            with ui.element("div").classes("ss-line"):
                ui.link("Open by itself", page, new_tab=True)
                ui.link("Download everything (NeXus)", place_of(name, DATA))
