"""What one visitor works at: the sample, the scan, the sliders; what the parts of the page share."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from nicegui import Client

from strainscope.inversion import require_nested
from strainscope.report import yaml_text
from strainscope.sample import preset_text, presets
from strainscope.sample.sample import OF_THE_SAMPLE, Sample
from strainscope.web.live import LiveModel
from strainscope.web.messages import line_of
from strainscope.web.page.figures import angle_label, intensity_label
from strainscope.web.page.link import DeskSettings
from strainscope.web.requests import InvertRequest, SampleRequest, SimulateRequest
from strainscope.web.samples import read_sample, sample_data, sample_text
from strainscope.web.service import NotThere, Service
from strainscope.web.sessions import Session


@dataclass(frozen=True)
class Choice:
    """A scan of the session.

    Attributes:
        scan: The uploaded file.
        number: Which of the scans in it; None where it holds one.
    """

    scan: str
    number: int | None = None


@dataclass(kw_only=True, eq=False)
class Desk:
    """The state of a page and what is told when it changes.

    Attributes:
        service: What does the work.
        session: Of the visitor.
        client: The page in the visitor's browser.
        settings: What was chosen.
        labels: Of the sample's reflections.
        choices: The scan of each reflection; None where there is none yet.
        seen: Which of the reflections is looked at.
        estimators: Those that serve the sample.
        lacks: What the server has not installed: why there are no estimators, or no nested sampling.
        job: The inversion that was asked for last on this page.
        watched: Inversions whose end has not been told.
        ids: Of the charts and the sliders in the document.
    """

    service: Service
    session: Session
    client: Client
    settings: DeskSettings
    labels: list[str] = field(default_factory=lambda: [""])
    choices: list[Choice | None] = field(default_factory=lambda: [None])
    seen: int = 0
    estimators: tuple[str, ...] = ()
    lacks: dict[str, str] = field(default_factory=dict)
    job: str | None = None
    watched: set[str] = field(default_factory=set)
    ids: dict[str, Any] = field(default_factory=dict)
    on_error: Callable[[str], None] = lambda line: None
    on_sample: list[Callable[[], None]] = field(default_factory=list)
    on_scans: list[Callable[[], None]] = field(default_factory=list)
    on_ended: Callable[[], None] = lambda: None
    on_estimators: Callable[[], None] = lambda: None
    on_job: Callable[[str], Awaitable[None]] | None = None
    _loaded: bool = False

    def request(self) -> SampleRequest:
        """The sample, and what the scan's columns are."""
        own = self.settings
        return SampleRequest.model_validate(
            {"sample": own.sample, "axis": own.axis, "intensity": own.intensity}
        )

    def inversion(self, choices: list[Choice]) -> InvertRequest:
        """What is asked of an inversion of scans, one for each reflection.

        Raises:
            ValueError: an option out of its range.
        """
        own = self.settings
        scans, numbers = [choice.scan for choice in choices], [choice.number for choice in choices]
        alone = len(choices) == 1
        named = {"scan": scans[0], "number": numbers[0]} if alone else {"scan": scans, "number": numbers}
        asked = self.request().model_dump() | own.options | named
        return InvertRequest.model_validate(asked | {"estimator": own.estimator, "gold": own.gold})

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

    def described(self) -> Sample | None:
        """The sample; None where its text is damaged."""
        try:
            return read_sample(self.settings.sample, self.session.cif_paths())
        except ValueError:
            return None

    def fit_reflections(self) -> None:
        """Have a place for the scan of each of the sample's reflections; of a damaged sample those of before."""
        described = self.described()
        if described is not None:
            self.labels = [own.label for own in described.by_reflection()]
            number = len(self.labels)
            self.choices = (self.choices + [None] * number)[:number]
            self.seen = min(self.seen, number - 1)

    async def take_sample(self, sample: str) -> None:
        """Go on with another sample: a preset's name, or the text of a sample file."""
        same = [name for name in presets() if preset_text(name) == sample]
        self.settings.sample = same[0] if same else sample
        self.fit_reflections()
        for tell in (*self.on_sample, *self.on_scans):
            tell()
        await self.load()
        await self.find_estimators()

    async def find_estimators(self) -> None:
        """See which estimators serve the sample, and whether there is nested sampling."""
        request, session = self.request(), self.session
        looks: dict[str, Callable[[], Any]] = {
            "estimator": lambda: self.service.estimators(session, request),
            "gold": require_nested,
        }
        found: dict[str, Any] = {}
        self.lacks = {}
        for name, look in looks.items():
            try:
                found[name] = await self.service.aside(look)
            except ValueError as error:
                self.lacks[name] = line_of(error)
        if request != self.request() or self.described() is None:
            # Another one is asked about by now, or what is wrong with it is said elsewhere.
            return
        self.estimators = found.get("estimator", ())
        self.on_estimators()

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

    @property
    def choice(self) -> Choice | None:
        """The scan that is looked at."""
        return self.choices[self.seen]

    def scans(self) -> dict[Choice, str]:
        """The session's scans in words; of a file with several those that can be inverted, each by itself."""
        found: dict[Choice, str] = {}
        for own in list(self.session.uploads.values()):
            documents = self.documents(own.id)
            numbers = range(1, len(documents) + 1)
            usable = [i for i in numbers if documents[i - 1].get("usable_axes")] or list(numbers)
            if len(documents) > 1:
                found |= {Choice(own.id, i): f"{own.name}, {i}: {_moved(documents[i - 1])}" for i in usable}
            else:
                found[Choice(own.id)] = own.name
        return found

    def documents(self, scan: str) -> list[dict[str, Any]]:
        """What is understood of an uploaded file; nothing of a damaged one, which is said when it is looked at."""
        try:
            return self.service.understood(self.service.scan(self.session, scan))
        except (ValueError, NotThere):
            return []

    async def take_scans(self, scans: list[str]) -> None:
        """Go on with scans that have just come: each gets a reflection that has none, the last one is looked at."""
        for scan in scans:
            # Read aside, so that a long file holds up nobody.
            await self.service.aside(partial(self.documents, scan))
        for choice in (choice for choice in self.scans() if choice.scan in scans):
            if len(self.choices) > 1 and None in self.choices:
                self.seen = self.choices.index(None)
            self.choices[self.seen] = choice
        await self.look()

    async def look(self, at: int | None = None) -> None:
        """Go on with another scan or reflection."""
        self.seen = self.seen if at is None else at
        known = self.session.uploads
        self.choices = [own if own and own.scan in known else None for own in self.choices]
        for tell in self.on_scans:
            tell()
        await self.load()

    async def load(self) -> None:
        """Prepare the scan and show it with sliders."""
        self.clear_error()
        self.keep()
        try:
            request = self._simulation()
            if request is None:
                if self._loaded:
                    self.client.run_javascript("strainscope.hold()")
                return
            model = await self.service.aside(lambda: self.service.model(self.session, request))
        except (ValueError, NotThere) as error:
            self.client.run_javascript("strainscope.hold()")
            self.fail(error)
            return
        if request == self._simulation():
            self._loaded = True
            # The input that was changed may be gone by now, so it is the page that is asked.
            self.client.run_javascript(f"strainscope.load({json.dumps(self._shown(model, request))})")

    def _simulation(self) -> SimulateRequest | None:
        """What the sliders ask; None where there is no scan to look at.

        Raises:
            ValueError: what is wrong with the sample.
        """
        described = read_sample(self.settings.sample, self.session.cif_paths())
        if self.choice is None:
            return None
        reflection = list(described.by_reflection()[self.seen].reflection) if self.seen else None
        asked = self.request().model_dump() | {"scan": self.choice.scan, "number": self.choice.number}
        return SimulateRequest.model_validate(asked | {"reflection": reflection})

    def _shown(self, model: LiveModel, request: SimulateRequest) -> dict[str, Any]:
        """What the page's script needs of a model."""
        parameters = model.parameters()
        kept = self.shown_values(self.settings.values)
        values = {
            own["name"]: kept[own["name"]]
            if not own["held"] and own["lower"] <= kept.get(own["name"], float("nan")) <= own["upper"]
            else own["value"]
            for own in parameters
        }
        return {
            "ids": self.ids,
            "ask": request.model_dump(exclude={"values"}),
            "parameters": parameters,
            "values": values,
            "factor": f"E of {self.labels[self.seen]}" if len(self.labels) > 1 else "E",
            "measured": {
                "angle": model.scan.angle.tolist(),
                "intensity": model.scan.intensity.tolist(),
                "label": angle_label(model.scan.axis),
                "words": intensity_label(model.scan.intensity_kind),
            },
        }

    # Values of sliders ------------------------------------------------------------------------------------------

    def shown_values(self, values: dict[str, float]) -> dict[str, float]:
        """Values of a result, or kept, by the names that they have at the reflection that is looked at."""
        if not self.seen:
            return values
        ending, shared = self._ending(), self._shared()
        return {name: value for name, value in values.items() if name in shared} | {
            name.removesuffix(ending): value for name, value in values.items() if name.endswith(ending)
        }

    def moved(self, values: dict[str, float]) -> None:
        """Note where the sliders were left, by the names of a result."""
        if self.seen:
            ending, shared = self._ending(), self._shared()
            values = {name if name in shared else name + ending: value for name, value in values.items()}
        self.settings.values |= values
        self.keep()

    def _ending(self) -> str:
        return f"_{self.labels[self.seen]}"

    def _shared(self) -> set[str]:
        """Parameters of the sample, which all its reflections have in common."""
        described = self.described()
        specs = described.experiment().profile.parameters if described else ()
        return {spec.name for spec in specs} | set(OF_THE_SAMPLE)


def _moved(document: dict[str, Any]) -> str:
    """What moved in a scan, from where to where, in how many points."""
    name, (first, last) = next(iter(document["axes_deg"].items()), ("nothing", (0.0, 0.0)))
    return f"{name} {first:.4g} to {last:.4g}° ({document['points']} points)"
