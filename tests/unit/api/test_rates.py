"""Limits of requests per client, counted in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from everloop.api.rates import MOST_KEYS, Rate, Rates, Shared, Verdict, Window, client_of, opened, read
from everloop.core.errors import Invalid


class Now:
    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


def allowed(rates: Rates, times: int, address: str = "10.0.0.1", key: bytes | None = None) -> int:
    return sum(rates.ask(address, key).refusal is None for _ in range(times))


def test_no_more_than_the_rate_and_one_client_does_not_cost_another(now: Now) -> None:
    rates = Rates([Rate(10, 1)], now)
    assert allowed(rates, 25) == 10
    assert allowed(rates, 25, "10.0.0.2") == 10


def test_in_no_second_are_there_more_than_the_rate_and_all_of_it_comes_back(now: Now) -> None:
    rates = Rates([Rate(10, 1)], now)
    now.at += 0.9
    assert allowed(rates, 20) == 10
    now.at += 0.2  # the next window, but nine tenths of the last one still count
    assert allowed(rates, 20) == 1
    now.at += 2
    assert allowed(rates, 20) == 10


def test_a_steady_client_below_the_rate_is_never_refused(now: Now) -> None:
    rates = Rates([Rate(10, 1)], now)
    for _ in range(500):
        assert rates.ask("10.0.0.1", None).refusal is None
        now.at += 0.101


def test_coming_again_when_told_to_is_allowed_and_sooner_is_not(now: Now) -> None:
    rates = Rates([Rate(7, 60)], now)
    for offset in (0.0, 13.0, 59.0, 61.0, 90.0):
        now.at = 60_000.0 + offset
        allowed(rates, 20, f"10.0.0.{offset}")
        refused = rates.ask(f"10.0.0.{offset}", None)
        assert refused.retry > 0
        now.at += refused.retry - 0.05
        assert rates.ask(f"10.0.0.{offset}", None).refusal is not None
        now.at += 0.06
        assert rates.ask(f"10.0.0.{offset}", None).refusal is None


def test_headers_tell_limit_rest_and_reset(now: Now) -> None:
    rates = Rates([Rate(3, 60)], now)
    seen = [dict(rates.ask("10.0.0.1", None).headers) for _ in range(4)]
    assert [one[b"ratelimit-remaining"] for one in seen] == [b"2", b"1", b"0", b"0"]
    assert {one[b"ratelimit-limit"] for one in seen} == {b"3"}
    assert 60 <= int(seen[0][b"ratelimit-reset"]) <= 120
    assert seen[0][b"ratelimit-policy"] == b'"default";q=3;w=60'
    refusal = rates.ask("10.0.0.1", None).refusal
    assert refusal is not None
    assert (refusal.status, refusal.code) == (429, "too_many_requests")
    assert refusal.retry >= 1


def test_of_several_rates_each_holds_and_what_one_refuses_costs_the_other_nothing(now: Now) -> None:
    rates = Rates([Rate(5, 1), Rate(12, 60)], now)
    assert allowed(rates, 100) == 5
    now.at += 3
    assert allowed(rates, 100) == 5
    now.at += 3
    assert allowed(rates, 100) == 2
    assert rates.ask("10.0.0.1", None).rate == Rate(12, 60)


def test_keys_count_for_themselves_but_inventing_them_does_not_help_for_ever(now: Now) -> None:
    rates = Rates([Rate(10, 60)], now)
    assert allowed(rates, 30, key=b"one") == 10
    assert allowed(rates, 30, key=b"two") == 10
    assert allowed(rates, 30, "10.0.0.9", b"one") == 0  # a key is the same from everywhere
    invented = sum(rates.ask("10.0.0.1", b"key %d" % n).refusal is None for n in range(1_000))
    assert invented < 20


def test_keys_of_one_address_are_bounded(now: Now) -> None:
    rates = Rates([Rate(1_000_000, 1)], now)
    for n in range(MOST_KEYS + 500):
        rates.ask("10.0.0.1", b"key %d" % n)
    assert len(rates._keys["10.0.0.1"]) == MOST_KEYS


def test_memory_is_bounded_and_the_newest_clients_are_remembered(now: Now) -> None:
    window = Window(Rate(5, 60), now, most=100)
    for n in range(10_000):
        window.count(f"client {n}")
    assert len(window) == 100
    assert window.look("client 9999").remaining == 4
    assert window.look("client 0").remaining == 5


def test_an_address_is_a_household() -> None:
    assert client_of("2001:db8::1", None) == client_of("2001:db8::ffff:1", None)
    assert client_of("2001:db8::1", None) != client_of("2001:db8:0:1::1", None)
    assert client_of("::ffff:10.0.0.1", None) == client_of("10.0.0.1", None)
    assert "secret" not in repr(client_of("10.0.0.1", b"secret"))


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("100/second", [[100, 1]]),
        ("5000/hour", [[5000, 3600]]),
        ("10 per 5 minutes", [[10, 300]]),
        ("100/second;5000/hour", [[100, 1], [5000, 3600]]),
    ],
)
def test_rates_are_read(text: str, rates: list[list[int]], now: Now) -> None:
    told = read(text, None)
    assert told == {"rates": rates, "store": None}
    assert isinstance(opened(told, now, print), Rates)


@pytest.mark.parametrize(
    "text", ["", "fast", "100", "100/fortnight", "-1/second", "0/second", "1/2", "a/second"]
)
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"serving\.limits\.rate"):
        read(text, None)


def test_a_store_is_redis_and_its_password_is_not_told() -> None:
    with pytest.raises(Invalid) as told:
        read("1/second", "memcached://me:secret@host")
    assert "secret" not in str(told.value)
    assert read("1/second", "redis://host") == {"rates": [[1, 1]], "store": "redis://host"}
    assert read(None, "redis://host") is None


# -- a store that does not answer ----------------------------------------------------------------------------


class Store(Shared):
    """Its store answers as the test says. ``asked`` is how often it was."""

    def __init__(self, now: Now, notes: list[tuple[str, str]]) -> None:
        def note(level: str, message: str) -> None:
            notes.append((level, message))

        super().__init__([Rate(10, 1)], "redis://127.0.0.1:1", now, note)
        self.asked = 0
        self.answer: Callable[[], Awaitable[Any]] = self.refuses

    async def _ask(self, client: str) -> Verdict:
        self.asked += 1
        await self.answer()
        return Verdict(Rate(10, 1), 9, 1.0)

    async def refuses(self) -> None:
        raise self._failed(ConnectionRefusedError())

    async def hangs(self) -> None:
        await asyncio.Event().wait()

    async def answers(self) -> None:
        """At once."""


@pytest.fixture
def notes() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def store(now: Now, notes: list[tuple[str, str]]) -> Store:
    return Store(now, notes)


def passed(store: Store, times: int) -> int:
    """How many of so many requests, one after another, were let through without the store."""

    async def ask() -> int:
        return sum([await store.ask_store("10.0.0.1", None) is None for _ in range(times)])

    return asyncio.run(ask())


def test_a_store_that_fails_is_not_asked_for_a_while_that_grows(store: Store, now: Now) -> None:
    tried = []
    for tenth in range(600):
        now.at = 1_000.0 + tenth / 10
        before = store.asked
        assert passed(store, 3) == 3
        assert store.asked - before in (0, 1)
        tried += [tenth / 10] * (store.asked - before)
    rests = [round(after - before, 1) for before, after in pairwise(tried)]
    assert rests == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0, 10.0]


def test_a_store_that_hangs_is_waited_for_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everloop.api.rates.PATIENCE", 0.01)
    store.answer = store.hangs
    assert passed(store, 12) == 12
    assert store.asked == 1


def test_one_request_tries_the_store_again_and_the_others_pass_meanwhile(store: Store, now: Now) -> None:
    async def together() -> list[Verdict | None]:
        return await asyncio.gather(*(store.ask_store("10.0.0.1", None) for _ in range(20)))

    assert passed(store, 1) == 1
    now.at += 1.0
    store.answer = lambda: asyncio.sleep(0)
    answered = asyncio.run(together())
    assert sum(one is not None for one in answered) == 1
    assert store.asked == 2
    assert passed(store, 5) == 0  # taken up again
    store.answer = store.refuses
    assert passed(store, 5) == 5
    assert store.asked == 8
    now.at += 1.0  # and the next rest is a short one
    assert passed(store, 5) == 5
    assert store.asked == 9


def test_those_that_were_under_way_when_it_failed_make_no_longer_rest(store: Store, now: Now) -> None:
    async def together() -> None:
        await asyncio.gather(*(store.ask_store("10.0.0.1", None) for _ in range(20)))

    async def slowly() -> None:
        await asyncio.sleep(0)
        await store.refuses()

    store.answer = slowly
    asyncio.run(together())
    assert store.asked == 20
    now.at += 1.0
    assert passed(store, 1) == 1
    assert store.asked == 21


def test_that_a_store_is_gone_and_back_is_told_once(
    store: Store, now: Now, notes: list[tuple[str, str]]
) -> None:
    for _ in range(100):
        passed(store, 5)
        now.at += 0.5
    ((level, message),) = notes
    assert level == "warning"
    assert "serving.limits.rate_store does not answer" in message
    store.answer = store.answers
    for _ in range(100):
        passed(store, 5)
        now.at += 0.5
    assert notes[1:] == [("info", "The store of serving.limits.rate_store answers again: rates are limited.")]
