"""Blobs in S3 or what speaks its protocol, through obstore.

A new object is created on condition that there is none (``If-None-Match: *``), so of two writers one wins and
nobody overwrites. Each write is one request, whole or not at all, so one that is interrupted leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import cached_property
from importlib import import_module
from typing import Any

from everloop.core.errors import MissingExtra, NotFound
from everloop.core.ids import token
from everloop.core.ports import Entry
from everloop.settings.storage import S3Access

from .names import DRAFT, checked, is_draft, unsealed
from .s3_errors import answered, knows_no_conditions, translated

Span = tuple[int, int]
_NEAR = 1 << 20  # bytes between parts that are fetched in one request
_PAGE = 1000


class S3Blobs:
    """Blobs below a prefix of a bucket. Nothing is asked of the server before the first use. ``sealed``:
    whoever asks has the keys of encrypted objects."""

    def __init__(self, place: S3Access, *, sealed: bool = False) -> None:
        self.place = place
        self._sealed = sealed
        self._conditional = True
        self._met = False  # whether the bucket has answered

    def put(self, key: str, data: bytes) -> None:
        """Store under a new key; a key that is there stays as it is. A store that knows no conditional writes
        is asked first: with two writers at once the last one wins."""
        if self._conditional:
            self._conditional = self._create(key, data)
        if not self._conditional and not self.exists(key):
            self.replace(key, data)

    def replace(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._asking(path):
            self._library.put(self._store, path, data, mode="overwrite", use_multipart=False)

    def get(self, key: str) -> bytes:
        path = self._path(key)
        with self._asking(path):
            data = bytes(self._library.get(self._store, path).bytes())
        return data if self._sealed else unsealed(data, self.where(key))

    def ranges(self, key: str, spans: Sequence[Span]) -> list[bytes]:
        """Parts that lie near each other come in one request. The first answer says how long the object is:
        obstore must not be asked for what lies beyond its end."""
        path = self._path(key)
        wanted = sorted({(start, start + length) for start, length in spans if length > 0})
        if not wanted and self.size(key) is None:
            raise self._missing(path)
        near = _near(wanted)
        total, parts = self._first(path, near) if near else (0, {})
        far = [(start, stop) for start, stop in wanted[len(near) :] if start < total]
        if far:
            starts, ends = [start for start, _ in far], [min(stop, total) for _, stop in far]
            with self._asking(path):
                found = self._library.get_ranges(self._store, path, starts=starts, ends=ends, coalesce=_NEAR)
            parts.update(zip(far, map(bytes, found), strict=True))
        return [parts.get((start, start + length), b"") for start, length in spans]

    def size(self, key: str) -> int | None:
        path = self._path(key)
        try:
            with self._asking(path):
                size: int = self._library.head(self._store, path)["size"]
                return size
        except NotFound:
            if not self._met:  # such an answer does not tell a missing bucket from a missing object
                self._list_one()
            return None

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        above = prefix.rpartition("/")[0]
        place = f"{self.place.prefix}{checked(above, str(self.place))}" if above else self.place.prefix
        with self._asking(place):
            for page in self._library.list(self._store, prefix=place or None, chunk_size=_PAGE):
                for found in page:
                    key = found["path"].removeprefix(self.place.prefix)
                    if key.startswith(prefix) and not is_draft(key.rpartition("/")[2]):
                        yield Entry(key, found["size"], found["last_modified"])

    def remove(self, key: str) -> None:
        path = self._path(key)
        with suppress(NotFound), self._asking(path):
            self._library.delete(self._store, path)

    def where(self, key: str) -> str:
        return f"s3://{self.place.bucket}/{self._path(key)}"

    def sweep_drafts(self, older_than: datetime) -> int:
        """There are none: a write that was killed has stored nothing."""
        return 0

    def probe(self) -> str:
        """What can be done here, found by doing it with a small object."""
        self._list_one()
        key = f".{token()}{DRAFT}"
        try:
            self.put(key, b"")
            self.get(key)
        finally:
            self.remove(key)
        return "readable, writable, " + ("conditional" if self._conditional else "no conditional") + " writes"

    def _create(self, key: str, data: bytes) -> bool:
        """Store under a new key, if it is new. False where the store knows no conditional writes."""
        path = self._path(key)
        known = (self._library.exceptions.AlreadyExistsError, self._library.exceptions.PreconditionError)
        with self._asking(path):
            try:
                self._library.put(self._store, path, data, mode="create", use_multipart=False)
            except known as error:
                if answered(error)[0] == 409 and not self.exists(key):  # it lost to a write that then failed
                    self.replace(key, data)
            except self._library.exceptions.BaseError as error:
                if not knows_no_conditions(error):
                    raise
                return False
        return True

    def _first(self, path: str, near: Sequence[Span]) -> tuple[int, dict[Span, bytes]]:
        """The object's size and some parts of it, fetched in one request."""
        begin, end = near[0][0], max(stop for _, stop in near)
        with self._asking(path):
            try:
                answer = self._library.get(self._store, path, options={"range": (begin, end)})
                total: int = answer.meta["size"]
                body = memoryview(answer.bytes())
            except self._library.exceptions.BaseError as error:
                if answered(error)[0] != 416:
                    raise
                return 0, {}  # all of it lies beyond the end
        return total, {(start, stop): bytes(body[start - begin : stop - begin]) for start, stop in near}

    def _list_one(self) -> None:
        with self._asking(self.place.prefix):
            next(iter(self._library.list(self._store, prefix=self.place.prefix or None, chunk_size=1)), None)

    @contextmanager
    def _asking(self, path: str) -> Iterator[None]:
        try:
            yield
        except (self._library.exceptions.BaseError, OSError, ValueError) as error:
            raise translated(error, self.place.bucket, path, self._endpoint) from error
        self._met = True

    def _missing(self, path: str) -> NotFound:
        return NotFound(f"The stored object s3://{self.place.bucket}/{path} is missing.")

    def _path(self, key: str) -> str:
        return self.place.prefix + checked(key, str(self.place))

    @property
    def _endpoint(self) -> str:
        return self.place.endpoint or f"Amazon S3 in {self.place.region}"

    @cached_property
    def _library(self) -> Any:
        try:
            import_module("obstore.store")
            return import_module("obstore")
        except ImportError as error:
            raise MissingExtra("obstore", "s3") from error

    @cached_property
    def _store(self) -> Any:
        place = self.place
        given = {
            "endpoint": place.endpoint,
            "access_key_id": place.access_key,
            "secret_access_key": place.secret_key,
            "session_token": place.session_token,
        }
        seconds = timedelta(seconds=place.timeout)
        return self._library.store.S3Store(
            place.bucket,
            region=place.region,
            disable_bulk_delete=True,  # many stores have only the single one
            **{name: value for name, value in given.items() if value is not None},
            client_options={
                "allow_http": place.allow_http,
                "timeout": seconds,
                "connect_timeout": min(seconds, timedelta(seconds=5)),
            },
            retry_config={
                "max_retries": place.retries,
                "retry_timeout": seconds * (place.retries + 1),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=5),
                    "base": 2,
                },
            },
        )


def _near(wanted: Sequence[Span]) -> list[Span]:
    """The first of the spans and those that follow closely."""
    near: list[Span] = []
    end = 0
    for start, stop in wanted:
        if near and start > end + _NEAR:
            break
        near.append((start, stop))
        end = max(end, stop)
    return near
