"""Limits of requests per client, counted in memory."""

from __future__ import annotations

import pytest

from everloop.api.rates import MOST_KEYS, Rate, Rates, Window, client_of, opened, read
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
    assert isinstance(opened(told, now), Rates)


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
