"""What the REST interface takes and gives, as it stands in OpenAPI."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Axis = Literal["delta-theta-arcsec", "omega-deg", "two-theta-deg"]
Intensity = Literal["counts", "normalised"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
ScanNumber = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Request(BaseModel):
    """Known keys alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleRequest(Request):
    """A sample, and what the columns of its scan are.

    Attributes:
        sample: A preset's name, or the text of a sample file.
        axis: What the first column is; left out, what the sample says.
        intensity: What the second column is; left out, what the sample says.
    """

    sample: Annotated[
        str,
        Field(
            description="A preset's name, or the text (YAML) of a sample file; a CIF that it names by its file name is "
            "uploaded before."
        ),
    ]
    axis: Annotated[Axis | None, Field(description="First column; else the sample's.")] = None
    intensity: Annotated[Intensity | None, Field(description="Second column; else the sample's.")] = None


class SimulateRequest(SampleRequest):
    """A curve: at the points of an uploaded scan, or at angles as `strainscope simulate` chooses them."""

    scan: Annotated[str | None, Field(description="An uploaded scan, at whose points to simulate.")] = None
    number: Annotated[
        ScanNumber | None, Field(description="Which scan of an instrument's file; needed where it holds several.")
    ] = None
    reflection: Annotated[
        list[int] | None, Field(min_length=3, max_length=4, description="Another reflection of the sample.")
    ] = None
    values: Annotated[
        dict[str, Finite], Field(description="Values of parameters; the others are usual ones.")
    ] = {}
    counts: Annotated[Finite | None, Field(description="At the strongest point: adds counting noise.")] = None
    seed: Annotated[Seed, Field(description="Of the noise.")] = 0
    range: Annotated[tuple[Finite, Finite] | None, Field(description="First and last angle.")] = None
    step: Annotated[Finite | None, Field(description="Of the angles.")] = None


class SimulateReply(BaseModel):
    """A simulated curve.

    `angle` is on `axis`, in `unit`; `profile` has `depth_A`, `strain` and `debye_waller`; `rms_log10` is null without
    a scan.
    """

    axis: str
    unit: str
    intensity_kind: str
    angle: list[float]
    intensity: list[float]
    values: dict[str, float]
    notes: list[str]
    profile: dict[str, list[float]]
    rms_log10: float | None
    server_ms: float


class ScanReply(BaseModel):
    """An uploaded scan."""

    scan: str
    name: str
    bytes: int


class UnderstoodReply(ScanReply):
    """What is understood of an uploaded file; `scans` is that of `strainscope info --json`."""

    scans: list[dict[str, Any]]


class CifReply(BaseModel):
    """An uploaded CIF; samples name it by its `name`."""

    name: str
    bytes: int


class InvertRequest(SampleRequest):
    """An inversion, as `strainscope invert` with the same options."""

    scan: Annotated[
        str | list[str],
        Field(description="An uploaded scan; of several reflections of a sample one for each, in their order."),
    ]
    number: Annotated[
        ScanNumber | list[ScanNumber | None] | None,
        Field(description="Which scan of an instrument's file; needed where it holds several. Of several a list."),
    ] = None
    seed: Annotated[Seed, Field(description="Of the search; the same seed gives the same result.")] = 0
    model_error: Annotated[
        float | None, Field(ge=0, lt=1, description="Relative error granted to the model.")
    ] = None
    draws: Annotated[int | None, Field(ge=16, le=200_000, description="Curves simulated in the search.")] = (
        None
    )
    starts: Annotated[int | None, Field(ge=1, le=200, description="Draws that are refined.")] = None
    splines: Annotated[
        int | None, Field(ge=3, le=40, description="Refine with so many B-spline weights.")
    ] = None
    estimator: Annotated[
        str | None, Field(description="One that ships, to propose profiles in place of the search.")
    ] = None
    gold: Annotated[
        bool, Field(description="Check by nested sampling, with the evidence: minutes instead of seconds.")
    ] = False


class JobReply(BaseModel):
    """How an inversion stands.

    `progress` is the share done, `stage` what is being done, `waiting` how many are before it, `error` why it failed,
    `summary` a few figures of the result, called as in result.json, `files` its files.
    """

    job: str
    name: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    stage: str | None
    progress: float
    waiting: int | None
    error: str | None
    created: float
    finished: float | None
    request: dict[str, Any]
    summary: dict[str, Any] | None
    files: list[str]


class Problem(BaseModel):
    """What is wrong, in one line."""

    error: str
