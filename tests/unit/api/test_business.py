"""Metrics that users define."""

from __future__ import annotations

from typing import Literal

import pytest

from everloop.api.office.business import Business
from everloop.core.errors import Conflict


@pytest.mark.parametrize(
    ("first", "kind", "second", "other"),
    [
        ("orders_total", "counter", "orders", "counter"),
        ("orders", "counter", "orders_total", "counter"),
        ("orders_total", "gauge", "orders", "counter"),
        ("orders", "counter", "orders_total_total", "gauge"),
        ("orders_total_total", "counter", "orders_total", "counter"),
    ],
)
def test_two_names_that_would_be_shown_as_one_are_refused(
    first: str, kind: Literal["counter", "gauge"], second: str, other: Literal["counter", "gauge"]
) -> None:
    business = Business()
    business.observe(first, 1, kind, "", {"channel": "web"})
    with pytest.raises(Conflict, match=f"'{second}' .*everloop_business_orders.*'{first}'"):
        business.observe(second, 1, other, "", {})
    business.observe("orders_totals", 1, other, "", {})
    business.observe(first, 1, kind, "", {"channel": "shop"})
    assert len(list(business.metrics())) == 2
