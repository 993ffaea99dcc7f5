"""How many requests a client may make: by its address, or by the key in ``X-API-Key``.

A sliding window: the requests of this window, and of the one before it the part that still lies within one
length of the window. Keys are not proven here, so a client might invent some: a new key costs a request of
its address, and an address has no more than MOST_KEYS.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib import import_module
from ipaddress import IPv6Address
from math import ceil
from typing import Any

from everloop.api.logs import Outage
from everloop.api.problems import HttpError
from everloop.core.clock import SystemClock
from everloop.core.errors import Invalid, MissingExtra

EXEMPT = frozenset(
    ("/health", "/ready", "/v2/health/live", "/v2/health/ready", "/metrics", "/prometheus_metrics")
)
MOST_CLIENTS = 50_000  # that one worker remembers; the ones quiet for longest are forgotten
MOST_KEYS = 1_000
PATIENCE = 0.5  # seconds for the store
FIRST_REST, LONGEST_REST = 1.0, 10.0  # seconds in which a store that fails is not asked; each doubles
_MOST_RATES = 4
_STORES = ("redis://", "rediss://", "redis+unix://")

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Rate:
    """``amount`` requests in ``seconds``."""

    amount: int
    seconds: int


@dataclass(slots=True)
class Verdict:
    """``remaining`` requests are left of the ``rate``; in ``reset`` seconds none is counted any more, in
    ``retry`` seconds (0: now) the next one is allowed."""

    rate: Rate
    remaining: int
    reset: float
    retry: float = 0.0

    @property
    def headers(self) -> Headers:
        """The three headers in common use, and those of the IETF's draft (since the eighth version of
        draft-ietf-httpapi-ratelimit-headers)."""
        limit, left, reset = self.rate.amount, self.remaining, ceil(self.reset)
        return (
            (b"ratelimit-limit", b"%d" % limit),
            (b"ratelimit-remaining", b"%d" % left),
            (b"ratelimit-reset", b"%d" % reset),
            (b"ratelimit-policy", b'"default";q=%d;w=%d' % (limit, self.rate.seconds)),
            (b"ratelimit", b'"default";r=%d;t=%d' % (left, reset)),
        )

    @property
    def refusal(self) -> HttpError | None:
        if not self.retry:
            return None
        return HttpError(
            429, "too_many_requests",
            f"More than {self.rate.amount:,} requests in {self.rate.seconds:,} s came from this client.",
            remedy="Come again when Retry-After says; serving.limits.rate is the limit.",
            retry=max(1, ceil(self.retry)),
        )  # fmt: skip


def read(rate: str | None, store: str | None) -> dict[str, Any] | None:
    """What a worker is told of settings; None for no limit. Raises Invalid, and MissingExtra for Redis."""
    if rate is None:
        return None
    try:
        found = import_module("limits").parse_many(rate)
    except ValueError:
        found = []
    if not 0 < len(found) <= _MOST_RATES or any(one.amount < 1 for one in found):
        raise Invalid(
            f"serving.limits.rate is '{rate}'.",
            remedy="Write such as 100/second, 5000/hour, 10 per 5 minutes, or several with ';' between them.",
        )
    if store is not None:
        if not store.startswith(_STORES):
            raise Invalid(
                f"serving.limits.rate_store is '{store.partition('://')[0]}://…'.",
                remedy="Write redis://HOST:PORT, or leave it out to count in memory.",
            )
        try:
            import_module("redis")
        except ModuleNotFoundError as error:
            raise MissingExtra("redis", "redis") from error
    return {"rates": [[one.amount, one.get_expiry()] for one in found], "store": store}


def answers(store: str) -> bool:
    """Whether the store can be reached now."""
    storage = import_module("limits.storage").RedisStorage(
        store, key_prefix="everloop-rate", socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
    )
    return bool(storage.check())


def opened(
    told: Mapping[str, Any] | None, now: Callable[[], float], note: Callable[[str, str], None]
) -> Rates | None:
    """The limits of a worker; ``now`` is its monotonic clock, ``note`` writes to its log."""
    if told is None:
        return None
    rates = [Rate(amount, seconds) for amount, seconds in told["rates"]]
    return Shared(rates, told["store"], now, note) if told["store"] else Rates(rates, now)


def client_of(address: str, key: bytes | None) -> tuple[str, str | None]:
    """The address that counts (of IPv6 the network of a household, /64) and the key, unreadable."""
    counted = _network(address) if ":" in address else address
    return counted, blake2b(key, digest_size=16).hexdigest() if key else None


@lru_cache(4_096)
def _network(address: str) -> str:
    try:
        packed = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if packed.ipv4_mapped:
        return str(packed.ipv4_mapped)
    return str(IPv6Address(int(packed) >> 64 << 64)) + "/64"


class Rates:
    """Counts in the memory of this worker."""

    direct = True  # the answer is there at once

    def __init__(self, rates: Sequence[Rate], now: Callable[[], float], most: int = MOST_CLIENTS) -> None:
        self._windows = [Window(rate, now, most) for rate in rates]
        self._keys: OrderedDict[str, set[str]] = OrderedDict()
        self._most = most

    def ask(self, address: str, key: bytes | None) -> Verdict:
        """Count a request, if it is allowed; of several rates, how it stands with the one nearest its end."""
        by, named = client_of(address, key)
        if named is not None:
            by = self._known(by, named)
        if len(self._windows) == 1:
            return self._windows[0].take(by)
        found = [window.look(by) for window in self._windows]
        refused = [one for one in found if one.retry]
        if refused:
            return max(refused, key=lambda one: one.retry)
        return min([window.count(by) for window in self._windows], key=lambda one: one.remaining)

    async def ask_store(self, address: str, key: bytes | None) -> Verdict | None:
        """The same, where a store may have to be asked; None when it did not answer."""
        return self.ask(address, key)

    async def close(self) -> None:
        """Let go of connections."""

    def _keys_of(self, address: str) -> set[str]:
        """The keys that an address has paid for."""
        keys = self._keys.setdefault(address, set())
        self._keys.move_to_end(address)
        if len(self._keys) > self._most:
            self._keys.popitem(last=False)
        return keys

    def _known(self, address: str, key: str) -> str:
        """Whom a request with a key counts for: the key, when it is known or the address can pay for it."""
        keys = self._keys_of(address)
        if key not in keys:
            paid = all(not window.look(address).retry for window in self._windows)
            if len(keys) >= MOST_KEYS or not paid:
                return address
            for window in self._windows:
                window.count(address)
            keys.add(key)
        return key


class Window:
    """The counts of clients within one rate."""

    def __init__(self, rate: Rate, now: Callable[[], float], most: int) -> None:
        self._rate = rate
        self._now = now
        self._most = most
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # window, its count, the last's

    def __len__(self) -> int:
        return len(self._counts)

    def look(self, client: str) -> Verdict:
        """How it stands, without counting."""
        return self._verdict(*self._found(client))

    def take(self, client: str) -> Verdict:
        """Count it, if it is allowed."""
        window, count, before, passed = self._found(client)
        if before * (1 - passed / self._rate.seconds) + count >= self._rate.amount - 1e-9:
            return self._verdict(window, count, before, passed)
        return self._counted(client, window, count + 1, before, passed)

    def count(self, client: str) -> Verdict:
        window, count, before, passed = self._found(client)
        return self._counted(client, window, count + 1, before, passed)

    def _counted(self, client: str, window: int, count: int, before: int, passed: float) -> Verdict:
        self._counts[client] = window, count, before
        self._counts.move_to_end(client)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return self._verdict(window, count, before, passed, counted=True)

    def _found(self, client: str) -> tuple[int, int, int, float]:
        now, length = self._now(), self._rate.seconds
        window = int(now // length)
        known, count, before = self._counts.get(client, (window, 0, 0))
        if known == window - 1:
            count, before = 0, count
        elif known != window:
            count, before = 0, 0
        return window, count, before, now - window * length

    def _verdict(
        self, window: int, count: int, before: int, passed: float, *, counted: bool = False
    ) -> Verdict:
        amount, length = self._rate.amount, self._rate.seconds
        weighted = before * (1 - passed / length) + count
        left = max(0, ceil(amount - weighted - 1e-9))
        reset = 2 * length - passed if count else (length - passed if before else 0.0)
        if counted or left:
            return Verdict(self._rate, left, reset)
        if count >= amount:  # of this window alone there are too many: into the next one
            retry = length - passed + length * (1 - amount / count)
        else:
            retry = length * (1 - (amount - count) / before) - passed
        return Verdict(self._rate, 0, reset, retry + 1e-3)


class Shared(Rates):
    """Counts in Redis, where several servers and workers share a rate. While Redis does not answer, requests
    are let through: limits never take the predictions down. It is not asked then but by one request now and
    then (a circuit breaker), so that a store that hangs does not hold up the others."""

    direct = False

    def __init__(
        self, rates: Sequence[Rate], store: str, now: Callable[[], float],
        note: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        storage = import_module("limits.aio.storage").RedisStorage(
            f"async+{store}",
            implementation="redispy",
            wrap_exceptions=True,
            key_prefix="everloop-rate",
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
        )
        strategies = import_module("limits.aio.strategies")
        self._limiter = strategies.SlidingWindowCounterRateLimiter(storage)
        self._storage = storage
        self._failed: type[Exception] = import_module("limits.errors").StorageError
        item = import_module("limits").RateLimitItemPerSecond
        self._items = [(rate, item(rate.amount, rate.seconds)) for rate in rates]
        self._clock = SystemClock()
        self._now = now
        self._rest = 0.0  # seconds; 0 while the store answers
        self._again = 0.0  # when it is tried again
        self._outage = Outage(
            note, now, "The store of serving.limits.rate_store answers again: rates are limited."
        )
        super().__init__((), now)

    async def ask_store(self, address: str, key: bytes | None) -> Verdict | None:
        tries = self._rest > 0
        if tries:
            if self._now() < self._again:
                return None
            self._pause()  # for all others
        by, named = client_of(address, key)
        try:
            async with asyncio.timeout(PATIENCE):
                found = await self._ask(await self._payer(by, named) if named else by)
        except (self._failed, TimeoutError):
            if not self._rest:
                self._pause()
            self._outage.failed(
                "The store of serving.limits.rate_store does not answer: no rate is limited until it does."
            )
            return None
        if tries:
            self._rest = 0.0
        self._outage.worked()
        return found

    def _pause(self) -> None:
        """Ask the store no more for a while."""
        self._rest = min(2 * self._rest, LONGEST_REST) or FIRST_REST
        self._again = self._now() + self._rest

    async def _payer(self, address: str, key: str) -> str:
        """As ``_known``; each server has an address pay for a key once."""
        keys = self._keys_of(address)
        if key not in keys:
            if len(keys) >= MOST_KEYS or (await self._ask(address)).retry:
                return address
            keys.add(key)
        return key

    async def _ask(self, client: str) -> Verdict:
        found: list[Verdict] = []
        for rate, item in self._items:
            allowed = await self._limiter.hit(item, client)
            stats = await self._limiter.get_window_stats(item, client)
            reset = max(0.0, stats.reset_time - self._clock.now().timestamp())
            if not allowed:
                return Verdict(rate, 0, reset, max(reset, 1e-3))
            found.append(Verdict(rate, stats.remaining, reset))
        return min(found, key=lambda one: one.remaining)
