"""How models are served."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from everloop.core.releases import environment_name

from .section import Section

Reaction = Literal["allow", "warn", "refuse"]


class PredictionLog(Section):
    durability: Literal["wal", "sync"] = Field(
        "wal",
        description="An answer waits until its log line is written (wal: survives a killed process), or is "
        "on disk (sync: survives a power cut).",
    )
    when_full: Literal["refuse", "shed"] = Field(
        "refuse", description="When nothing can be logged: refuse predictions (503), or answer and count."
    )
    backlog: int = Field(1_000_000_000, ge=1, description="Bytes that may wait for the database.")
    rotate: int = Field(64_000_000, ge=1_000, description="Bytes of one log file.")
    keep_days: float = Field(30.0, ge=0, description="How long log files stay that are in the database.")


class Limits(Section):
    body: int = Field(4_000_000, ge=1, description="Bytes of a request.")
    rows: int = Field(10_000, ge=1, description="Rows of a request.")
    waiting: int = Field(1_000, ge=1, description="Requests that may wait in one worker.")
    deadline: float = Field(30.0, gt=0, description="Seconds for an answer.")
    read: float = Field(30.0, gt=0, description="Seconds a client may take to send a request.")
    keep_alive: float = Field(75.0, gt=0, description="Seconds a quiet connection stays open.")
    rate: str | None = Field(None, description="Requests of one client, such as 100/second or 5000/hour.")
    rate_store: str | None = Field(
        None, description="redis://… where several servers share the rate [memory]."
    )


class Serving(Section):
    host: str = Field("127.0.0.1", description="0.0.0.0 for all interfaces.")
    port: int = Field(5000, ge=0, le=65_535)
    workers: int = Field(1, ge=1, le=256)
    environment: str = Field("prod", description="The environment whose releases are served.")
    default_model: str | None = Field(None, description="Whom /predict asks [the first].")
    versions: int = Field(3, ge=1, description="Of each model, the newest so many are loaded.")
    drain: float = Field(10.0, ge=0, description="Seconds for requests under way when the server stops.")
    samples_to_retrain: int = Field(
        100, ge=1, description="So many new samples from /add_training_data start a retraining."
    )
    work: bool = Field(
        True, description="Do here what workers do: jobs, releases, checks, messages, records for MLflow."
    )
    retrain: bool = Field(True, description="Do queued retrainings here, in a process of their own.")
    log: PredictionLog = PredictionLog()
    limits: Limits = Limits()

    @field_validator("environment")
    @classmethod
    def _one_name(cls, environment: str) -> str:
        return environment_name(environment)


class InputRules(Section):
    missing: Reaction | None = Field(
        None, description="A missing value [refuse where training data missed none]."
    )
    range: Reaction | None = Field(None, description="A number out of the contract's range [its severity].")
    category: Reaction | None = Field(None, description="An unknown category [the contract's severity].")
    extra: Reaction = Field("refuse", description="A field that the model does not have.")


class Feedback(Section):
    answers: tuple[str, ...] | Literal["all"] = Field(
        (), description="Answers that hide or make their own label, as classes are called; all: each one."
    )
    hold_out: float = Field(
        0.0, ge=0, le=0.5, description="Share of rows that are told to be acted on without the answer."
    )

    @field_validator("answers", mode="before")
    @classmethod
    def _classes_or_all(cls, given: Any) -> Any:
        if given == "all":
            return given
        if not isinstance(given, (list, tuple)) or not all(isinstance(one, (str, int)) for one in given):
            raise ValueError(f"it is {given!r}. Name classes in a list, such as [refuse], or say all.")
        if "all" in given:
            raise ValueError("'all' stands in a list, as if it were a class. Write answers: all.")
        return tuple(str(one).lower() if isinstance(one, bool) else one for one in given)

    @model_validator(mode="after")
    def _held_out_from_something(self) -> Feedback:
        if self.hold_out and not self.answers:
            raise ValueError(
                f"hold_out is {self.hold_out:g}, and no answers are named that decide over their labels. "
                "Name them in answers, or all."
            )
        return self


class ModelServing(Section):
    inputs: InputRules = InputRules()
    feedback: Feedback = Feedback()
    mask: dict[str, Literal["hide", "hash"]] = Field(
        default_factory=dict, description="Fields whose values are not logged, or only as a keyed hash."
    )
    fallback: Literal["previous", "constant", "none"] = Field(
        "previous", description="Who answers when the model fails: the champion before it, or class shares."
    )
