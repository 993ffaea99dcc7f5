"""Where stored objects live: folders and ``s3://`` addresses, the credentials for those, and encryption.

Settings name secrets, they do not hold them: credentials come from ``AWS_*`` variables or a file, and
encryption keys from a file or a variable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as Malformed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from everloop.core.errors import FileMissing, InvalidSettings, StorageDenied, nearest

from .section import Section

_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^\\?#:]*))?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://?")


def is_url(place: str) -> bool:
    return place.startswith("s3://")


def place_of(place: str) -> str:
    """A folder, or ``s3://BUCKET/PREFIX`` in one spelling. Raises ValueError for any other URL."""
    if not _SCHEME.match(place):
        return place
    if not _URL.fullmatch(place):
        raise ValueError(f"'{place}' is neither a folder nor s3://BUCKET/PREFIX")
    return place.rstrip("/")


Place = Annotated[str, AfterValidator(place_of)]


class Encryption(Section):
    key_file: str | None = Field(None, description="Keys, as 'everloop data keys new' writes them.")
    key_variable: str | None = Field(
        None, description="An environment variable with keys, instead of a file."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Encryption:
        if self.key_file and self.key_variable:
            raise ValueError("set key_file or key_variable, not both")
        return self

    @property
    def wanted(self) -> bool:
        return bool(self.key_file or self.key_variable)


class Storage(Section):
    endpoint: str | None = Field(None, description="An S3 server's URL [AWS_ENDPOINT_URL, else Amazon].")
    region: str | None = Field(None, description="[AWS_REGION, else us-east-1]")
    credentials_file: str | None = Field(None, description="As AWS has it [AWS_ACCESS_KEY_ID and its kind].")
    profile: str = Field("default", description="The section of credentials_file.")
    allow_http: bool = Field(False, description="Whether an endpoint may be http://, without encryption.")
    timeout: float = Field(60.0, gt=0, description="Seconds one request to S3 may take.")
    retries: int = Field(4, ge=0, description="How often a request to S3 is tried again.")
    encryption: Encryption = Encryption()


@dataclass(frozen=True)
class S3Access:
    """A prefix ("" or ending in ``/``) in a bucket, and how to get there. Without keys the credentials are
    those of the machine's role. ``timeout`` is seconds that one request may take."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    allow_http: bool = False
    timeout: float = 60.0
    retries: int = 4

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}" + (f" at {self.endpoint}" if self.endpoint else "")


def s3_access(storage: Storage, place: str, root: Path, variables: Mapping[str, str]) -> S3Access:
    """What is needed to open an ``s3://`` address. Raises InvalidSettings, FileMissing."""
    address = _URL.fullmatch(place.rstrip("/"))
    if address is None:
        raise InvalidSettings(f"'{place}' is no address in S3.", remedy="Write it as s3://BUCKET/PREFIX.")
    prefix = (address["prefix"] or "").strip("/")
    endpoint = storage.endpoint or _first(variables, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint is not None and not re.match(r"https?://[^/]", endpoint):
        raise InvalidSettings(f"'{endpoint}' is no address of an S3 server.", remedy="Begin with https://.")
    if endpoint is not None and endpoint.startswith("http://") and not storage.allow_http:
        raise InvalidSettings(
            f"{endpoint} is asked without encryption on the way.",
            remedy="Use https://, or set storage.allow_http: true where nobody listens in.",
        )
    keys = _from_file(storage, root) if storage.credentials_file else _from_variables(variables)
    return S3Access(
        bucket=address["bucket"],
        prefix=f"{prefix}/" if prefix else "",
        endpoint=endpoint.rstrip("/") if endpoint else None,
        region=storage.region or _first(variables, "AWS_REGION", "AWS_DEFAULT_REGION") or "us-east-1",
        access_key=keys.get("aws_access_key_id"),
        secret_key=keys.get("aws_secret_access_key"),
        session_token=keys.get("aws_session_token"),
        allow_http=storage.allow_http,
        timeout=storage.timeout,
        retries=storage.retries,
    )


def _first(variables: Mapping[str, str], *names: str) -> str | None:
    return next((variables[name] for name in names if variables.get(name)), None)


def _from_variables(variables: Mapping[str, str]) -> Mapping[str, str]:
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    keys = {name.lower(): variables[name] for name in names if variables.get(name)}
    return _both(keys, "The environment", "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, both or neither.")


def _from_file(storage: Storage, root: Path) -> Mapping[str, str]:
    path = root / Path(storage.credentials_file or "").expanduser()
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise FileMissing(
            f"There is no credentials file {path}.", remedy="Correct storage.credentials_file."
        ) from error
    except PermissionError as error:
        raise StorageDenied(f"{path} cannot be read.", remedy="Check its permissions.") from error
    except (Malformed, UnicodeDecodeError):  # their text would show what is in the file
        raise InvalidSettings(
            f"{path} is no credentials file.", remedy="Write [default] and lines as aws_access_key_id = …"
        ) from None
    if storage.profile not in parser:
        known = [name for name in parser if name != "DEFAULT"]
        raise InvalidSettings(
            f"{path} has no profile '{storage.profile}'.", remedy=nearest(storage.profile, known)
        )
    keys = _both(dict(parser[storage.profile]), f"{path} [{storage.profile}]", "Add the other one.")
    if not keys.get("aws_access_key_id"):
        raise InvalidSettings(
            f"{path} [{storage.profile}] has no aws_access_key_id.", remedy="Add it and its secret."
        )
    return keys


def _both(keys: Mapping[str, str], whose: str, remedy: str) -> Mapping[str, str]:
    if bool(keys.get("aws_access_key_id")) != bool(keys.get("aws_secret_access_key")):
        raise InvalidSettings(f"{whose} has half of S3's credentials only.", remedy=remedy)
    return keys
