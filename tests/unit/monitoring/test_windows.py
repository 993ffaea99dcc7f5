"""Windows add up, exactly and in any order, whatever the rows are."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import Corrupt, Invalid
from everloop.monitoring import reference, windows

RNG = np.random.default_rng(0)
REFERENCE = reference.build(
    pa.table(
        {
            "x": RNG.normal(5, 2, 400),
            "y": RNG.integers(0, 4, 400),
            "c": RNG.choice(["a", "b"], 400),
            "b": RNG.random(400) < 0.5,
        }
    ),
    phases=np.arange(400) % 3,
)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-10, 20))
ROWS = st.lists(
    st.tuples(
        NUMBERS,
        st.one_of(st.none(), st.integers(-2, 6)),
        st.one_of(st.none(), st.text(max_size=3)),
        st.one_of(st.none(), st.booleans()),
        st.sampled_from(["0", "1", "2", "elsewhere"]),
    ),
    max_size=20,
)


def window(rows):
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    types = (pa.float64(), pa.int64(), pa.string(), pa.bool_())
    arrays = {
        name: pa.array(values, kind, from_pandas=False)
        for name, values, kind in zip("xycb", columns[:4], types, strict=True)
    }
    return windows.summarise(REFERENCE, pa.table(arrays), phases=list(columns[4]))


@settings(max_examples=100, deadline=None)
@given(ROWS, ROWS, ROWS)
def test_the_sum_is_that_of_all_rows_in_any_order(one, two, three):
    a, b, c = window(one), window(two), window(three)
    whole = window([*one, *two, *three]).to_document()
    assert a.merge(b).merge(c).to_document() == whole
    assert a.merge(b.merge(c)).to_document() == whole
    assert c.merge(a).merge(b).to_document() == whole
    assert windows.Window.from_document(REFERENCE, a.to_document()).to_document() == a.to_document()


def test_more_new_levels_than_are_named_add_up_in_any_order():
    parts = [
        windows.summarise(REFERENCE, pa.table({"c": [f"new {n % (97 + part)}" for n in range(500)]}))
        for part in range(4)
    ]
    one = windows.merge(parts)
    two = parts[3].merge(parts[1]).merge(parts[0].merge(parts[2]))
    assert one.to_document() == two.to_document()
    assert len(one.features["c"].named) == 64
    assert one.features["c"].present == 2_000


def test_batches_are_the_whole(monkeypatch):
    rng = np.random.default_rng(1)
    table = pa.table({"x": rng.normal(size=1_000), "c": rng.choice(["a", "z"], 1_000)})
    whole = windows.summarise(REFERENCE, table).to_document()
    monkeypatch.setattr(windows, "_BATCH", 64)
    assert windows.summarise(REFERENCE, table).to_document() == whole


def test_moments_are_those_of_the_values():
    values = np.random.default_rng(2).normal(1_000, 30, 5_000)
    one = windows.summarise(REFERENCE, pa.table({"x": values})).features["x"]
    assert one.mean(REFERENCE.features["x"]) == pytest.approx(values.mean(), rel=1e-6)
    assert one.deviation(REFERENCE.features["x"]) == pytest.approx(values.std(), rel=1e-3)
    assert (one.minimum, one.maximum) == (values.min(), values.max())


def test_infinite_and_missing_values_are_counted_apart():
    one = windows.summarise(REFERENCE, pa.table({"x": [math.inf, -math.inf, -math.inf, math.nan, None, 5.0]}))
    x = one.features["x"]
    assert (x.positive, x.negative, x.missing, x.present) == (1, 2, 2, 1)


def test_columns_that_came_or_went_are_noted():
    one = windows.summarise(REFERENCE, pa.table({"x": ["text"] * 3, "more": [1, 2, 3]}))
    assert one.absent == {"y": 3, "c": 3, "b": 3}
    assert one.unknown == {"more": 3}
    assert one.features["x"].strange == {"string": 3}


def test_zeros_and_ones_are_a_boolean():
    as_ints = windows.summarise(REFERENCE, pa.table({"b": [1, 0, 1]})).features["b"]
    as_booleans = windows.summarise(REFERENCE, pa.table({"b": [True, False, True]})).features["b"]
    assert as_ints.counts.tolist() == as_booleans.counts.tolist()
    assert not as_ints.named


def test_windows_of_another_reference_are_refused():
    other = reference.build(pa.table({"x": [1.0, 2.0]}))
    one, two = window([]), windows.summarise(other, pa.table({"x": [1.0]}))
    with pytest.raises(Invalid, match="different references"):
        one.merge(two)
    with pytest.raises(Corrupt, match="another reference"):
        windows.Window.from_document(other, one.to_document())
    with pytest.raises(Invalid, match="'phases' has 2 values"):
        windows.summarise(REFERENCE, pa.table({"x": [1.0]}), phases=["0", "1"])


@pytest.mark.parametrize("shape", ["normal", "heavy", "ties", "one", "huge"])
def test_bins_are_found_as_a_binary_search_finds_them(shape):
    rng = np.random.default_rng(3)
    values = {
        "normal": rng.normal(size=20_000),
        "heavy": rng.standard_cauchy(20_000) ** 3,
        "ties": np.where(rng.random(20_000) < 0.7, 0.0, np.round(rng.normal(size=20_000), 1)),
        "one": np.full(100, 7.0),
        "huge": rng.uniform(-1, 1, size=1_000) * 1.7e308,
    }[shape]
    bins = reference.build(pa.table({"x": values})).features["x"].bins
    tried = np.concatenate([values, bins.edges, np.nextafter(bins.edges, np.inf), [np.inf, -np.inf, np.nan]])
    located = bins.locate(tried)
    assert located[-3:].tolist() == [-1, -1, -1]
    assert located[:-3].tolist() == np.searchsorted(bins.edges, tried[:-3]).tolist()
    assert bins.counts.tolist() == np.bincount(bins.locate(values), minlength=bins.counts.size).tolist()
    assert bins.counts[0] == bins.counts[-1] == 0
