"""What workers answer, described for /docs; and the shapes of requests and answers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, WithJsonSchema

from everloop.core.errors import Unavailable

ABOUT = """Predictions with everything around them: labels, training data, retraining, history, metrics.

Every answer has an `X-Request-ID`; send your own to find a prediction again. Errors are
[RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) problem documents that name the value and the remedy.
`Request-Timeout` (seconds) says how long you wait. Bodies may be sent, and answers asked for, in gzip or
deflate. A time that names no zone is in UTC."""


def _is_written(value: Any) -> Any:
    """Numbers could be seconds or milliseconds of some epoch."""
    if isinstance(value, str) and _WRITTEN.match(value):
        return value
    raise ValueError("a time is written as in 2026-03-01T12:00:00Z")


def _in_utc(moment: datetime) -> datetime:
    """As on the command line."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_WRITTEN = re.compile(r"[0-9]{4}-")
Time = Annotated[datetime, BeforeValidator(_is_written), AfterValidator(_in_utc)]
Moment = Annotated[
    str,
    Field(
        max_length=40,
        description="A time (in UTC where it names no zone), how long ago (2h), now, today or yesterday.",
        examples=["2026-03-01T12:00:00Z"],
    ),
]
Name = Annotated[str, Path(description="A model's name.", examples=["iris"])]
Version = Annotated[str, Path(description="A version's number.", examples=["1.0.0"])]
router = APIRouter()


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    error: str
    request_id: str
    errors: list[dict[str, Any]] | None = None


_SAID = {
    400: "Not as described here.",
    403: "A rule of the project forbids it.",
    404: "There is no such thing.",
    405: "Not with this method.",
    408: "The request came too slowly.",
    409: "Something else stands against it.",
    413: "Too large.",
    415: "No JSON.",
    422: "An input that the model's contract refuses, or a value of another type; `errors` names inputs.",
    429: "Too many requests; `Retry-After` says when to come again.",
    431: "Too many or too long headers.",
    503: "Not now; `Retry-After` says when to try again.",
    504: "No answer within the deadline.",
}
Responses = dict[int | str, dict[str, Any]]
PROBLEMS: Responses = {status: {"model": Problem, "description": said} for status, said in _SAID.items()}
READING: Responses = {status: PROBLEMS[status] for status in (400, 404, 422, 429, 503, 504)}


SAYS = r"\S"  # a text that is more than blanks


class Shape(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


Row = list[Any] | dict[str, Any]
_ENTITY = "Who it is about: under a release an entity keeps its version. Or send `X-Entity-ID`."
_CONTEXT = 'What a release\'s rules look at, such as `{"country": "NO"}`. The model does not see it.'


class Predict(Shape):
    """Who asks; the same for all rows of a request."""

    entity_id: str | int | None = Field(None, description=_ENTITY)
    context: dict[str, str | int | float | bool | None] | None = Field(None, description=_CONTEXT)


class PredictOne(Predict):
    """A row, in the model's order or by name."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"features": [5.1, 3.5, 1.4, 0.2]},
                {
                    "features": {
                        "sepal_length": 5.1,
                        "sepal_width": 3.5,
                        "petal_length": 1.4,
                        "petal_width": 0.2,
                    },
                    "entity_id": "customer-7",
                    "context": {"country": "NO"},
                },
            ]
        },
    )
    features: Row


class PredictBatch(Predict):
    """Several rows, each in the model's order or by name."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"instances": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}]},
    )
    instances: list[Row] = Field(min_length=1)


PredictRequest = PredictOne | PredictBatch


class Predicted(Shape):
    """`prediction` is the class as a number, or the value of a regression, which has no name. `probability`
    is that with which `release` chose the `variant`. `hold_out`: act without it (`serving.feedback`)."""

    prediction: float | int
    prediction_name: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] | None = None
    model: str
    model_version: str
    variant: str
    release: str | None = None
    probability: float | None = None
    prediction_id: str
    warnings: list[str] = []
    hold_out: bool = False


class PredictedBatch(Shape):
    predictions: list[Predicted]
    model: str
    model_version: str
    variant: str
    release: str | None = None
    probability: float | None = None


class InferTensor(Shape):
    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class WantedTensor(Shape):
    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(Shape):
    """Open Inference Protocol V2. Of `parameters`, `entity_id` says who it is about; releases' rules see
    all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP64", "data": [5.1, 3.5, 1.4, 0.2]}]}
            ]
        }
    )
    id: str | None = None
    inputs: list[InferTensor] = Field(min_length=1)
    outputs: list[WantedTensor] | None = None
    parameters: dict[str, Any] | None = None


class InferResponse(Shape):
    """`parameters.prediction_id` names the prediction; of several rows each has its own: `ID.0`, `ID.1` …"""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[InferTensor]


class Health(Shape):
    """`degraded`: a champion cannot be loaded and another version answers in its place, or what is predicted
    cannot be logged or recorded. `problem`: what cannot be done now, and what to do."""

    status: Literal["healthy", "degraded", "unavailable"]
    timestamp: datetime
    ready: bool
    problem: str | None = None
    last_problem: str | None = None
    default_model: str
    models: dict[str, Any]
    version: str


_HEALTH: Responses = {503: PROBLEMS[503]}


def _elsewhere() -> NoReturn:
    raise Unavailable(
        "Predictions are answered by the workers.", remedy="Ask the address of 'everloop serve'."
    )


@router.get("/health", tags=["health"], response_model=Health)
def health() -> Any:
    """Whether a prediction would succeed, and which models are served."""
    _elsewhere()


@router.get("/ready", tags=["health"], responses=_HEALTH)
def ready() -> Any:
    """200 only when a prediction would succeed. `problem` tells where predictions are answered but cannot be
    recorded in the database."""
    _elsewhere()


@router.post("/predict", tags=["predictions"], response_model=Predicted | PredictedBatch, responses=PROBLEMS)
def predict(body: PredictRequest) -> Any:
    """Ask the default model."""
    _elsewhere()


@router.post(
    "/models/{name}/predict",
    tags=["predictions"],
    response_model=Predicted | PredictedBatch,
    responses=PROBLEMS,
)
def predict_with(name: Name, body: PredictRequest) -> Any:
    """Ask a model."""
    _elsewhere()


@router.post(
    "/models/{name}/versions/{version}/predict",
    tags=["predictions"], response_model=Predicted | PredictedBatch, responses=PROBLEMS,
)  # fmt: skip
def predict_with_version(name: Name, version: Version, body: PredictRequest) -> Any:
    """Ask one version of a model."""
    _elsewhere()


@router.get("/v2", tags=["inference protocol"])
def server_metadata() -> dict[str, Any]:
    """The server's name, version and extensions."""
    _elsewhere()


@router.get("/v2/health/live", tags=["inference protocol"])
def live() -> dict[str, bool]:
    """Whether the server runs."""
    _elsewhere()


@router.get("/v2/health/ready", tags=["inference protocol"], responses=_HEALTH)
def server_ready() -> dict[str, bool]:
    """Whether a prediction would succeed."""
    _elsewhere()


class IndexRequest(Shape):
    ready: bool | None = None


@router.post("/v2/repository/index", tags=["inference protocol"], responses=READING)
def repository_index(body: IndexRequest | None = None) -> list[dict[str, str]]:
    """The models that are served, version by version."""
    _elsewhere()


@router.get("/v2/models/{name}/versions/{version}", tags=["inference protocol"], responses=READING)
def version_metadata(name: Name, version: Version) -> dict[str, Any]:
    """A version's inputs and outputs."""
    _elsewhere()


@router.get("/v2/models/{name}", tags=["inference protocol"], responses=READING)
def model_metadata(name: Name) -> dict[str, Any]:
    """A model's versions, inputs and outputs."""
    _elsewhere()


@router.get("/v2/models/{name}/versions/{version}/ready", tags=["inference protocol"], responses=READING)
def version_ready(name: Name, version: Version) -> dict[str, Any]:
    """Whether a version answers."""
    _elsewhere()


@router.get("/v2/models/{name}/ready", tags=["inference protocol"], responses=READING)
def model_ready(name: Name) -> dict[str, Any]:
    """Whether a model answers."""
    _elsewhere()


@router.post(
    "/v2/models/{name}/infer", tags=["inference protocol"], response_model=InferResponse, responses=PROBLEMS
)
def infer(name: Name, body: InferRequest) -> Any:
    """Ask a model, with tensors of JSON, or binary ones behind it."""
    _elsewhere()


@router.post(
    "/v2/models/{name}/versions/{version}/infer",
    tags=["inference protocol"], response_model=InferResponse, responses=PROBLEMS,
)  # fmt: skip
def infer_version(name: Name, version: Version, body: InferRequest) -> Any:
    """Ask one version of a model."""
    _elsewhere()


class TrainingSample(Shape):
    """One row with its true outcome, for the next retraining."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"features": [4.9, 3.0, 1.4, 0.2], "target": 0}]}
    )
    features: list[Any] | dict[str, Any]
    target: bool | int | float | str
    model: str | None = Field(None, description="[the default model]")


class RetrainRequest(Shape):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force_retrain": True}]})
    force_retrain: StrictBool = Field(False, description="Train whatever speaks against it.")
    model: str | None = Field(None, description="[the default model]")
    reason: str = Field("", max_length=500)


class Label(Shape):
    """The true outcome of a prediction; `at` is when it came true [now]. One that is neither text nor number
    is invalid, as one without a prediction's id is, and the others are kept."""

    model_config = ConfigDict(extra="forbid")
    prediction_id: Annotated[Any, WithJsonSchema({"type": "string"})]
    label: Annotated[Any, WithJsonSchema({"type": ["boolean", "number", "string", "null"]})]
    at: Time | None = None


class Labels(Shape):
    """One label or several under `labels`, 10,000 at most."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"labels": [{"prediction_id": "pred_…", "label": "setosa"}]}]},
    )
    labels: list[Label] = Field(min_length=1, max_length=10_000)


class BusinessMetric(Shape):
    """A figure of your own for Prometheus: a counter grows by `value`, a gauge becomes it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "orders_total", "value": 1, "labels": {"channel": "web"}}]},
    )
    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,79}$")
    value: float = Field(strict=True, allow_inf_nan=False)
    kind: Literal["counter", "gauge"] = "counter"
    help: str = Field("", max_length=200)
    labels: dict[str, str] = Field(default_factory=dict, max_length=5)
