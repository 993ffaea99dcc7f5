"""Row rules: what they may say, what they mean, and that they never run code."""

from __future__ import annotations

import ast

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.core.errors import InvalidSettings
from everloop.validation.expressions import MAX_LENGTH, read_expression

FRAME = pd.DataFrame(
    {
        "a": [1.0, 2.0, None, 4.0],
        "b c": [2, 1, 1, 5],
        "carrier": ["UA", "AA", None, "DL"],
        "at": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", None]),
        "flag": [True, False, True, True],
        "whole": pd.array([1, None, 3, 4], dtype="Int64"),
        "maybe": pd.array([True, None, False, True], dtype="boolean"),
    }
)


@pytest.mark.parametrize(
    ("expression", "held"),
    [
        ("a <= `b c`", [True, False, True, True]),
        ("0 <= a <= 3", [True, True, True, False]),
        ("a > 1 & `b c` < 3", [False, True, True, False]),
        ("a > 3 | `b c` == 1", [False, True, True, True]),
        ("(a > 1 or `b c` > 4) and carrier != 'AA'", [False, False, True, True]),
        ("not (a > 1)", [True, False, True, False]),
        ("~(a > 1)", [True, False, True, False]),
        ("carrier in ['UA', 'AA']", [True, True, True, False]),
        ("carrier not in ('UA',)", [False, True, True, True]),
        ("a in [-1, 2]", [False, True, True, False]),
        ("at > '2020-01-01'", [False, True, True, True]),
        ("flag", [True, False, True, True]),
        ("not flag", [False, True, False, False]),
        ("(a > 1) == flag", [False, False, True, True]),
        ("whole > 2", [False, True, True, True]),
        ("maybe", [True, True, False, True]),
        ("-a + 1 < 2 * `b c` % 3", [True, True, True, True]),
        ("carrier != 'a & b | `c`'", [True, True, True, True]),
    ],
)
def test_a_rule_means_what_pandas_reads_and_leaves_rows_with_missing_values_unjudged(expression, held):
    assert read_expression(expression).holds(FRAME).tolist() == held


def test_columns_are_named_in_the_order_they_appear():
    assert read_expression("`b c` > a and a > 0").columns == ("b c", "a")


CODE = [
    "__import__('os').system('true')",
    "a.sum() > 1",
    "a.__class__ == 1",
    "`b c`.values > 1",
    "abs(a) > 1",
    "sin(a) > 1",
    "@pd.io > 1",
    "a > @secret",
    "[x for x in a] == 1",
    "(x for x in a) == 1",
    "{x: 1 for x in a} == 1",
    "(lambda: 1)() == a",
    "lambda x: x",
    "a[0] > 1",
    "a if flag else a",
    "(z := a) > 1",
    "a = 1",
    "a; a",
    "f'{a}' == carrier",
    "f'{a.__class__}' == carrier",
    "*a",
    "await a",
    "a ** 9 > 1",
    "a << 3 > 1",
    "a @ a > 1",
    "'x' * 1000000000 == carrier",
    "carrier in 'UA'",
    "carrier in a",
    "carrier in [a]",
    "carrier in [['UA']]",
    "a is None",
    "a == None",
    "a == ...",
    "a == 1j",
    "a == b'x'",
    "1 < 2",
    "a + 1",
    "",
    "   ",
    "a >",
    "`",
    "``",
    "a > 1\x00",
    "(" * 300 + "a" + ")" * 300,
    "not " * 200 + "a",
    "-" * 500 + "a > 1",
    "+".join(["a"] * 200) + " > 1",
    "a > " + "1" * MAX_LENGTH,
]


@pytest.mark.parametrize("expression", CODE)
def test_what_is_not_a_plain_comparison_is_refused_by_name(expression):
    with pytest.raises(InvalidSettings) as error:
        read_expression(expression)
    assert expression[:100] in error.value.message
    assert error.value.remedy


_atoms = st.sampled_from(
    ["a", "`b c`", "carrier", "flag", "1", "'x'", "None", "__import__", "exec", "open", "__builtins__", "x"]
)
_wraps = st.sampled_from(
    [
        "{0}.{1}", "{0}.__class__", "{0}.__init__.__globals__", "{0}({1})", "{0}[{1}]", "@{0}", "lambda: {0}",
        "[{0} for x in {1}]", "({0} if {1} else {0})", "({0} := {1})", "f'{{{0}}}'", "{0} < {1}",
        "{0} and {1}", "not {0}", "({0})", "{0} + {1}", "{0} in [{1}]", "-{0}", "~{0}",
        "{0} == {1}", "{0} & {1}", "*{0}", "`{0}`", "{0}, {1}", "'{0}'", "{0}#{1}", "{0}\\\n{1}",
    ]
)  # fmt: skip


def _wrap(children):
    return st.builds(lambda wrap, one, two: wrap.format(one, two), _wraps, children, children)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.recursive(_atoms, _wrap, max_leaves=6), st.text(max_size=40)))
def test_what_passes_is_free_of_calls_attributes_indexing_and_names_that_are_not_columns(expression):
    try:
        rule = read_expression(expression)
    except InvalidSettings:
        return
    allowed = (
        ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Compare,
        ast.cmpop, ast.BinOp, ast.operator, ast.Name, ast.Load, ast.Constant, ast.List,
    )  # fmt: skip
    columns = {f"c{i}" for i in range(len(rule.columns))}
    for node in ast.walk(ast.parse(rule.code, mode="eval")):
        assert isinstance(node, allowed)
        assert not isinstance(node, (ast.MatMult, ast.Pow, ast.LShift))
        if isinstance(node, ast.Name):
            assert node.id in columns
