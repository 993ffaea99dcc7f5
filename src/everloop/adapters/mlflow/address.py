"""Where MLflow's books are: from the text people write to the address MLflow takes. Loads no MLflow."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from everloop.core.errors import InvalidSettings

SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")


def tracking_uri(text: str, base: str | Path) -> str:
    """The address that MLflow takes for what a user wrote.

    A folder (``./mlruns``, ``file:///data/mlruns``) means ``<folder>/mlflow.db``, an SQLite store, with the
    artifacts in ``<folder>/artifacts``: MLflow refuses its old file store since 3.13. Relative folders and
    relative SQLite paths are meant from ``base``. Servers (http, https) and databases (PostgreSQL, MySQL,
    SQL Server) pass through. Raises InvalidSettings for anything else.
    """
    base = Path(base).resolve()
    scheme = text.split(":", 1)[0].split("+")[0].lower() if "://" in text or text.startswith("file:") else ""
    if scheme in SERVERS:
        return text.rstrip("/")
    if scheme in DATABASES:
        return text
    if scheme == "sqlite":
        return f"sqlite:///{base / text.split(':///', 1)[-1]}"
    if scheme == "file":
        return f"sqlite:///{base / unquote(urlsplit(text).path) / 'mlflow.db'}"
    if scheme or not text.strip():
        raise InvalidSettings(
            f"'{text}' is not an address of MLflow.",
            remedy="Give a folder, sqlite:///file, postgresql://… or the http(s) address of a server.",
        )
    return f"sqlite:///{base / Path(text).expanduser() / 'mlflow.db'}"


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address, None for every other kind."""
    return Path(uri.split(":///", 1)[1]) if uri.startswith("sqlite:///") else None


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in SERVERS


def artifact_folder(root: str | None, uri: str, experiment: str) -> str | None:
    """Where a new experiment keeps its files; None lets the server decide.

    SQLite stores keep them beside the database in ``artifacts/``. Raises InvalidSettings for a database
    reached directly without ``artifact_root``, where MLflow would scatter files over working directories.
    """
    database = sqlite_file(uri)
    if root is None and database is not None:
        root = str(database.parent / "artifacts")
    if root is None:
        if is_server(uri):
            return None
        raise InvalidSettings(
            f"MLflow at {shown(uri)} has no place for artifacts.",
            remedy="Set an artifact root: a folder or an s3:// address.",
        )
    if "://" not in root:
        root = Path(root).resolve().as_uri()
    digest = hashlib.sha256(experiment.encode()).hexdigest()[:8]
    return f"{root.rstrip('/')}/{re.sub(r'[^A-Za-z0-9_-]+', '-', experiment)[:60]}-{digest}"


def shown(uri: str) -> str:
    """The address without its password, for messages."""
    return re.sub(r"(://[^/:@]*):[^@/]*@", r"\1:…@", uri)
