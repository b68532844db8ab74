"""What one visitor works at: the sample, the scan, the sliders; what the parts of the page share."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from nicegui import Client

from strainscope.sample import preset_text, presets
from strainscope.web.live import LiveModel
from strainscope.web.messages import line_of
from strainscope.web.page.figures import angle_label, intensity_label
from strainscope.web.page.link import DeskSettings
from strainscope.web.requests import InvertRequest, SampleRequest
from strainscope.web.samples import sample_data, sample_text, yaml_text
from strainscope.web.service import NotThere, Service
from strainscope.web.sessions import Session


@dataclass(kw_only=True, eq=False)
class Desk:
    """The state of a page and what is told when it changes.

    Attributes:
        service: What does the work.
        session: Of the visitor.
        client: The page in the visitor's browser.
        settings: What was chosen.
        scan: The uploaded scan that is looked at.
        job: The inversion that was asked for last on this page.
        watched: Inversions whose end has not been told.
        ids: Of the charts and the sliders in the document.
    """

    service: Service
    session: Session
    client: Client
    settings: DeskSettings
    scan: str | None = None
    job: str | None = None
    watched: set[str] = field(default_factory=set)
    ids: dict[str, Any] = field(default_factory=dict)
    on_error: Callable[[str], None] = lambda line: None
    on_sample: list[Callable[[], None]] = field(default_factory=list)
    on_scans: list[Callable[[], None]] = field(default_factory=list)
    on_job: Callable[[str], Awaitable[None]] | None = None

    def request(self) -> SampleRequest:
        """The sample, and what the scan's columns are."""
        own = self.settings
        return SampleRequest.model_validate(
            {"sample": own.sample, "axis": own.axis, "intensity": own.intensity}
        )

    def inversion(self, scan: str) -> InvertRequest:
        """What is asked of an inversion.

        Raises:
            ValueError: an option out of its range.
        """
        return InvertRequest.model_validate(
            {**self.request().model_dump(), **self.settings.options, "scan": scan}
        )

    def fail(self, error: Exception) -> None:
        """Show what is wrong."""
        self.on_error(line_of(error))

    def clear_error(self) -> None:
        """Show that nothing is."""
        self.on_error("")

    def keep(self) -> None:
        """Note the settings, for the next visit."""
        self.service.store.keep_settings(self.session.owner, asdict(self.settings))

    # The sample -------------------------------------------------------------------------------------------------

    def data(self) -> dict[Any, Any]:
        """What the sample's text holds; empty where it is damaged."""
        try:
            return sample_data(self.settings.sample)
        except ValueError:
            return {}

    def text(self) -> str:
        """The sample's text."""
        try:
            return sample_text(self.settings.sample)
        except ValueError:
            return self.settings.sample

    async def take_sample(self, sample: str) -> None:
        """Go on with another sample: a preset's name, or the text of a sample file."""
        same = [name for name in presets() if preset_text(name) == sample]
        self.settings.sample = same[0] if same else sample
        for tell in self.on_sample:
            tell()
        await self.load()

    async def change(self, **changes: Any) -> None:  # noqa: ANN401
        """Go on with keys of the sample changed; None removes one."""
        data = self.data()
        for key, value in changes.items():
            if value is None:
                data.pop(key, None)
            else:
                data[key] = value
        await self.take_sample(yaml_text(data))

    # The scan ---------------------------------------------------------------------------------------------------

    async def look_at(self, scan: str | None) -> None:
        """Go on with another scan."""
        self.scan = scan if scan in self.session.uploads else None
        for tell in self.on_scans:
            tell()
        await self.load()

    async def load(self) -> None:
        """Prepare the scan and show it with sliders."""
        self.clear_error()
        self.keep()
        if self.scan is None:
            return
        scan, request = self.scan, self.request()
        try:
            model = await self.service.aside(lambda: self.service.model(self.session, scan, request))
        except (ValueError, NotThere) as error:
            self.client.run_javascript("strainscope.hold()")
            self.fail(error)
            return
        # The input that was changed may be gone by now, so it is the page that is asked.
        self.client.run_javascript(f"strainscope.load({json.dumps(self._shown(model, scan, request))})")

    def _shown(self, model: LiveModel, scan: str, request: SampleRequest) -> dict[str, Any]:
        """What the page's script needs of a model."""
        parameters = model.parameters()
        kept = self.settings.values
        values = {
            own["name"]: kept[own["name"]]
            if not own["held"] and own["lower"] <= kept.get(own["name"], float("nan")) <= own["upper"]
            else own["value"]
            for own in parameters
        }
        return {
            "ids": self.ids,
            "ask": request.model_dump() | {"scan": scan},
            "parameters": parameters,
            "values": values,
            "measured": {
                "angle": model.scan.angle.tolist(),
                "intensity": model.scan.intensity.tolist(),
                "label": angle_label(model.scan.axis),
                "words": intensity_label(model.scan.intensity_kind),
            },
        }
