"""Who is told of alerts, of which ones, and how often."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator

from everloop.core import spans
from everloop.core.monitoring import Family, Level

from .section import Section, Span

_ADDRESS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://\S+")


def masked(address: str) -> str:
    """An address without anything that could be secret: its scheme."""
    found = _ADDRESS.fullmatch(address)
    return f"{found['scheme']}://…" if found else "…"


def _is_web(address: str) -> bool:
    """Whether it is one of http or https, with a host and a port that there can be."""
    try:
        parts = urlsplit(address)
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and not re.search(r"\s", address)


def _addresses(given: Any) -> Any:
    """What is wrong is told without the value: it may be a password."""
    if not isinstance(given, dict):
        raise ValueError("write it as names with addresses under them; see docs/how-to/alerts.md")
    for name, address in given.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", str(name)):
            raise ValueError(f"'{name}' cannot be the name of a channel; use letters, digits, _ and -")
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address.strip()):
            raise ValueError(f"the address of '{name}' is none; it begins as in mailto:// or slack://")
        if address.strip().startswith("cloudevents+") and not _is_web(
            address.strip().removeprefix("cloudevents+")
        ):
            raise ValueError(f"the address of '{name}' is none; write cloudevents+https://host/path")
    return {str(name).lower(): address.strip() for name, address in given.items()}


class AlertRule(Section):
    models: tuple[str, ...] = Field((), description="Names or patterns (flights, shop_*) [any].")
    families: tuple[Family, ...] = Field((), description="[any]")
    subjects: tuple[str, ...] = Field((), description="Features or metrics, or patterns [any].")
    level: Level = Field("warning", description="From this level on.")
    channels: tuple[str, ...] = Field((), description="Who is told [all channels].")
    separate: bool = Field(False, description="What it fits is an alert of its own.")


class Alerts(Section):
    channels: Annotated[dict[str, str], BeforeValidator(_addresses)] = Field(
        default_factory=dict,
        repr=False,
        description="Addresses by name: mailto://…, slack://…, cloudevents+https://… They may hold secrets.",
    )
    rules: tuple[AlertRule, ...] = Field((), description="Who is told of what [everybody, from warning on].")
    link: str | None = Field(None, description="Where people reach this server, for links.")
    quiet: int = Field(3, ge=1, le=1000, description="Windows without a finding, then an alert closes.")
    weekly: int = Field(
        5, ge=1, le=1000, description="Messages of a model in 7 days; more go into one digest a day."
    )
    closing: bool = Field(True, description="Tell those who were told that an alert is closed.")
    timeout: float = Field(15.0, gt=0, le=300, description="Seconds that one delivery may take.")
    give_up: Span = Field("24h", description="So long a message is tried again.")

    @field_validator("give_up")
    @classmethod
    def _tries_again(cls, give_up: str) -> str:
        if not spans.seconds(give_up):
            raise ValueError("a message that fails once would be lost; give at least 30s, or 24h as usual")
        return give_up

    @field_validator("link")
    @classmethod
    def _is_link(cls, link: str | None) -> str | None:
        if link is not None and not _is_web(link):
            raise ValueError("is no address; write it as https://ml.example.org")
        return link

    @model_validator(mode="after")
    def _rules_name_channels(self) -> Alerts:
        for rule in self.rules:
            for name in rule.channels:
                if name.lower() not in self.channels:
                    known = ", ".join(self.channels) or "none"
                    raise ValueError(f"a rule names the channel '{name}', which is none of: {known}")
        return self
