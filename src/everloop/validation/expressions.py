"""Row rules written by users: read by an allow-list, then evaluated by pandas. They cannot run code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from everloop.core.errors import InvalidSettings, nearest

if TYPE_CHECKING:
    import pandas as pd

MAX_LENGTH = 1000
MAX_DEPTH = 25
_TOKENS = re.compile(r"""(?P<text>'[^'\\\n]*'|"[^"\\\n]*")|`(?P<name>[^`\n]+)`|(?P<and>&)|(?P<or>\|)""")
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


@dataclass(frozen=True)
class RowRule:
    """A rule that passed the allow-list. ``code`` calls ``columns``, in their order, ``c0``, ``c1`` …"""

    expression: str
    code: str
    columns: tuple[str, ...]

    def holds(self, frame: pd.DataFrame) -> pd.Series[bool]:
        """Per row whether the rule holds. A row that misses a value the rule names is not judged: True."""
        named = frame[list(self.columns)].set_axis([f"c{i}" for i in range(len(self.columns))], axis=1)
        judged = named.notna().all(axis=1)
        held = cast("pd.Series[bool]", named.eval(self.code, engine="python"))
        return held.astype("boolean").fillna(False).astype(bool) | ~judged


def read_expression(expression: str) -> RowRule:
    """The rule that ``expression`` writes, in the syntax of pandas ``eval``.

    It may have column names (in backticks when they are not words), numbers, text, ``+ - * / // %``,
    comparisons (also chained), ``in`` and ``not in`` a list, ``and or not`` (or ``& | ~``) and parentheses.
    Everything else, in particular calls, attributes, indexing and ``@``, raises InvalidSettings.
    """
    names: list[str] = []
    reader = _Reader(expression, names)
    tree = reader.parse()
    if not names:
        raise reader.refused("it names no column")
    return RowRule(expression, ast.unparse(tree), tuple(names))


def require_known(rule: RowRule, known: Iterable[str]) -> None:
    """Raise InvalidSettings when the rule names a column that nobody knows."""
    names = set(known)
    for column in rule.columns:
        if column not in names:
            raise InvalidSettings(
                f"The rule '{rule.expression}' names the column '{column}', which does not exist.",
                remedy=nearest(column, names),
            )


class _Reader:
    def __init__(self, expression: str, names: list[str]) -> None:
        self.expression = expression
        self.names = names
        self.quoted: dict[str, str] = {}

    def refused(self, why: str) -> InvalidSettings:
        shown = self.expression if len(self.expression) <= 200 else f"{self.expression[:200]}…"
        return InvalidSettings(
            f"The rule '{shown}' cannot be used: {why}.",
            remedy="Write a comparison of columns and values, such as: dep_time <= arr_time",
        )

    def parse(self) -> ast.expr:
        if len(self.expression) > MAX_LENGTH:
            raise self.refused(f"it is longer than {MAX_LENGTH} characters")
        try:
            tree = ast.parse(_TOKENS.sub(self._token, self.expression).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise self.refused(f"it is not an expression ({getattr(error, 'msg', error)})") from error
        return self._condition(tree, 0)

    def _token(self, match: re.Match[str]) -> str:
        """pandas reads ``&`` and ``|`` as ``and`` and ``or``, and names in backticks."""
        if match["text"]:
            return match["text"]
        if match["and"] or match["or"]:
            return " and " if match["and"] else " or "
        placeholder = f"quoted_column_{len(self.quoted)}_"
        self.quoted[placeholder] = match["name"]
        return f" {placeholder} "

    def _condition(self, node: ast.expr, depth: int) -> ast.expr:
        """A node that is true or false per row."""
        if depth > MAX_DEPTH:
            raise self.refused(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [self._condition(value, depth + 1) for value in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
            return ast.UnaryOp(ast.Not(), self._condition(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            return self._comparison(node, depth + 1)
        if isinstance(node, ast.Name):
            return self._column(node)
        raise self.refused(f"'{_shown(node)}' is neither a comparison nor a column of true and false")

    def _comparison(self, node: ast.Compare, depth: int) -> ast.expr:
        if isinstance(node.ops[0], (ast.In, ast.NotIn)) and len(node.ops) == 1:
            return ast.Compare(self._value(node.left, depth), node.ops, [self._list(node.comparators[0])])
        for op in node.ops:
            if not isinstance(op, _COMPARISONS):
                raise self.refused(f"'{_shown(node)}' is a comparison that is not allowed")
        operands = [self._operand(side, depth) for side in (node.left, *node.comparators)]
        return ast.Compare(operands[0], node.ops, operands[1:])

    def _operand(self, node: ast.expr, depth: int) -> ast.expr:
        """A side of a comparison: a value, text, or a condition."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            return self._condition(node, depth + 1)
        return self._value(node, depth)

    def _value(self, node: ast.expr, depth: int) -> ast.expr:
        """A column, a number, true or false, or arithmetic of these."""
        if depth > MAX_DEPTH:
            raise self.refused(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(node, ast.Name):
            return self._column(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
            return node
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return ast.UnaryOp(node.op, self._value(node.operand, depth + 1))
        if isinstance(node, ast.BinOp) and isinstance(node.op, _ARITHMETIC):
            left, right = self._value(node.left, depth + 1), self._value(node.right, depth + 1)
            return ast.BinOp(left, node.op, right)
        raise self.refused(f"'{_shown(node)}' is not allowed in a rule")

    def _list(self, node: ast.expr) -> ast.expr:
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            items = [self._literal(item) for item in node.elts]
            return ast.List(items, ast.Load())
        raise self.refused(f"after 'in' stands a list of values, not '{_shown(node)}'")

    def _literal(self, node: ast.expr) -> ast.expr:
        signed = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
        inner = node.operand if isinstance(node, ast.UnaryOp) and signed else node
        if isinstance(inner, ast.Constant):
            if isinstance(inner.value, (bool, int, float)):
                return node
            if isinstance(inner.value, str) and not signed:
                return node
        raise self.refused(f"'{_shown(node)}' is not a value")

    def _column(self, node: ast.Name) -> ast.expr:
        name = self.quoted.get(node.id, node.id)
        if name not in self.names:
            self.names.append(name)
        return ast.Name(f"c{self.names.index(name)}", ast.Load())


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else f"{text[:60]}…"
