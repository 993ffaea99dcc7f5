"""Sums of decision trees over inputs: the exact splits of the original, without its scaling and coding.

A split ``f(x) <= t`` on a column ``f`` of one input ``x`` is a split of ``x`` itself, since every step of
``f`` rises: at the largest float64 that still goes left, found by bisection with the original's arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from onnx import numpy_helper

from .columns import Column, Number, Table
from .graph import ML, Graph, NotCompilable

_LEQ, _EQ, _MEMBER = 0, 4, 6
_WIDEST = 3.5e38  # inputs end at float32's
_MAGNITUDE = np.int64(0x7FFFFFFFFFFFFFFF)


class Entangled(Exception):
    """Splits that the input itself cannot make: its columns must be computed first."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Arrays over its nodes, the root first; ``left`` is -1 at leaves, where ``value`` counts towards
    ``target``, or its columns towards all targets. ``missing_left``: where NaN goes. ``members``: for
    splits of categories, the codes that go left.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    target: int = 0
    members: Mapping[int, frozenset[float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of the trees of each target, begun with its ``bias``. ``strict``: splits are <, else <=;
    ``single``: they are made in float32."""

    trees: Sequence[Tree]
    bias: np.ndarray
    strict: bool = False
    single: bool = False


def add_sum(graph: Graph, inputs: str, columns: Sequence[Column], found: Sum) -> str:
    """A tensor (rows, targets) for trees over ``columns``, each of one of the ``inputs`` only. Raises
    Entangled when they must be computed instead."""
    bias = np.array(found.bias, dtype=np.float64)
    grown = []
    for tree in found.trees:
        if tree.left[0] >= 0:
            grown.append(tree)
        elif tree.value.ndim == 2:
            bias += tree.value[0]
        else:
            bias[tree.target] += tree.value[0]
    if not grown:
        one = graph.add("IsNaN", graph.add("Gather", inputs, graph.constant([0], np.int64), axis=1))
        return graph.add("Where", one, graph.constant([bias]), graph.constant([bias]))
    if grown[0].value.ndim == 2:
        if graph.shared:
            nodes = _Nodes(grown, np.zeros(len(bias)))
            splits = _splits(nodes, columns, found)
            if not splits.members:
                value = graph.add("Cast", _shared(graph, inputs, nodes, splits, len(bias)), to=11)
                return graph.add("Add", value, graph.constant([bias])) if bias.any() else value
        grown = [
            replace(each, value=each.value[:, at], target=at) for at in range(len(bias)) for each in grown
        ]
    nodes = _Nodes(grown, bias)
    value = _apart(graph, inputs, nodes, _splits(nodes, columns, found), len(bias))
    return value if nodes.rest is None else graph.add("Add", value, graph.constant([nodes.rest]))


def _apart(graph: Graph, inputs: str, nodes: _Nodes, splits: _Splits, targets: int) -> str:
    """Leaves of one target each: the operator of today, all in float64."""
    attributes = {
        "n_targets": targets, "aggregate_function": 1, "post_transform": 0,
        "tree_roots": nodes.roots.tolist(), "nodes_featureids": splits.source.tolist(),
        "nodes_splits": numpy_helper.from_array(splits.value, "splits"),
        "nodes_modes": numpy_helper.from_array(splits.mode, "modes"),
        "nodes_truenodeids": nodes.left.tolist(), "nodes_trueleafs": nodes.left_is_leaf.tolist(),
        "nodes_falsenodeids": nodes.right.tolist(), "nodes_falseleafs": nodes.right_is_leaf.tolist(),
        "nodes_missing_value_tracks_true": splits.missing.tolist(),
        "leaf_targetids": nodes.leaf_target.tolist(),
        "leaf_weights": numpy_helper.from_array(nodes.leaf_value, "weights"),
    }  # fmt: skip
    members = [code for at in sorted(splits.members) for code in splits.members[at]]
    if members:
        attributes["membership_values"] = numpy_helper.from_array(np.array(members), "members")
    return graph.add("TreeEnsemble", inputs, domain=ML, **attributes)


def _shared(graph: Graph, inputs: str, nodes: _Nodes, splits: _Splits, targets: int) -> str:
    """Leaves that count towards several targets: the operator of before, which sums in float64 too, but
    answers in float32. Each tree is walked once, not once per target."""
    inner, leaves = len(nodes.left), len(nodes.leaf_value)
    tree = np.concatenate([nodes.tree, nodes.leaf_tree])
    order = np.argsort(tree, kind="stable")  # each tree's root comes first

    def both(values: np.ndarray, dtype: Any = np.int64) -> np.ndarray:
        return np.concatenate([values, np.zeros(leaves, dtype=dtype)])[order]

    modes = np.array([b"BRANCH_LEQ", b"BRANCH_EQ", b"LEAF"], dtype=object)
    kind = np.concatenate([(splits.mode == _EQ).astype(np.int64), np.full(leaves, 2)])[order]
    leaf, target = np.nonzero(nodes.leaf_value)
    return graph.add(
        "TreeEnsembleRegressor",
        inputs,
        domain=ML,
        n_targets=targets,
        aggregate_function="SUM",
        nodes_treeids=tree[order].tolist(),
        nodes_nodeids=order.tolist(),
        nodes_featureids=both(splits.source).tolist(),
        nodes_values_as_tensor=numpy_helper.from_array(both(splits.value, np.float64), "splits"),
        nodes_modes=modes[kind].tolist(),
        nodes_truenodeids=both(nodes.left + inner * nodes.left_is_leaf).tolist(),
        nodes_falsenodeids=both(nodes.right + inner * nodes.right_is_leaf).tolist(),
        nodes_missing_value_tracks_true=both(splits.missing).tolist(),
        target_treeids=nodes.leaf_tree[leaf].tolist(),
        target_nodeids=(leaf + inner).tolist(),
        target_ids=target.tolist(),
        target_weights_as_tensor=numpy_helper.from_array(nodes.leaf_value[leaf, target], "weights"),
    )


class _Nodes:
    """All trees in one: inner nodes and leaves numbered as ONNX wants them."""

    def __init__(self, trees: Sequence[Tree], bias: np.ndarray) -> None:
        inner = [tree.left >= 0 for tree in trees]
        firsts = np.cumsum([0, *(int(each.sum()) for each in inner)])
        leaves = np.cumsum([0, *(int((~each).sum()) for each in inner)])
        self.roots = firsts[:-1]
        ends: dict[str, list[np.ndarray]] = {"left": [], "right": []}
        for tree, is_inner, first, leaf in zip(trees, inner, firsts, leaves, strict=False):
            number = np.where(is_inner, np.cumsum(is_inner) - 1 + first, np.cumsum(~is_inner) - 1 + leaf)
            for name, child in (("left", tree.left[is_inner]), ("right", tree.right[is_inner])):
                ends[name].append(np.stack([number[child], ~is_inner[child]]))
        self.left, self.left_is_leaf = np.concatenate(ends["left"], axis=1)
        self.right, self.right_is_leaf = np.concatenate(ends["right"], axis=1)
        pick = [(tree, each) for tree, each in zip(trees, inner, strict=True)]
        self.feature = np.concatenate([tree.feature[each] for tree, each in pick]).astype(np.int64)
        self.threshold = np.concatenate([tree.threshold[each] for tree, each in pick]).astype(np.float64)
        self.missing_left = np.concatenate([tree.missing_left[each] for tree, each in pick]).astype(bool)
        self.leaf_target = np.concatenate([np.full(int((~each).sum()), tree.target) for tree, each in pick])
        self.tree = np.repeat(np.arange(len(trees)), np.diff(firsts))
        self.leaf_tree = np.repeat(np.arange(len(trees)), np.diff(leaves))
        self.members: dict[int, frozenset[float]] = {}
        values, begun = [], np.zeros(len(bias), dtype=bool)
        for (tree, is_inner), first in zip(pick, firsts, strict=False):
            number = np.cumsum(is_inner) - 1 + first
            self.members |= {int(number[at]): codes for at, codes in tree.members.items()}
            start = 0.0 if begun[tree.target] else bias[tree.target]
            begun[tree.target] = True
            values.append(tree.value[~is_inner] + start)
        self.leaf_value = np.concatenate(values).astype(np.float64)
        self.rest = None if begun.all() or not bias[~begun].any() else np.where(begun, 0.0, bias)


class _Splits:
    def __init__(self, size: int) -> None:
        self.source = np.zeros(size, dtype=np.int64)
        self.value = np.zeros(size)
        self.mode = np.zeros(size, dtype=np.uint8)
        self.missing = np.zeros(size, dtype=np.int64)
        self.members: dict[int, tuple[float, ...]] = {}


def _splits(nodes: _Nodes, columns: Sequence[Column], found: Sum) -> _Splits:
    result = _Splits(len(nodes.feature))
    by_code = np.zeros(len(nodes.feature), dtype=bool)
    by_code[list(nodes.members)] = True
    for feature in np.unique(nodes.feature):
        column = columns[feature]
        if not isinstance(column, (Number, Table)):
            raise NotCompilable("trees over computed columns")
        here = nodes.feature == feature
        result.source[here] = column.source
        if isinstance(column, Number):
            _at_numbers(result, np.flatnonzero(here & ~by_code), column, nodes, found)
        else:
            for at in np.flatnonzero(here & ~by_code).tolist():
                every = np.array([*column.values, column.other, column.missing])
                goes = _left(every, nodes.threshold[at], found)
                goes = np.where(np.isnan(every), nodes.missing_left[at], goes)
                _by_codes(result, nodes, at, column, goes)
        for at in np.flatnonzero(here & by_code).tolist():
            _at_members(result, nodes, at, column)
    return result


def _left(values: np.ndarray, threshold: float | np.ndarray, found: Sum) -> np.ndarray:
    if found.single:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32).astype(np.float64)
    left: np.ndarray = values < threshold if found.strict else values <= threshold
    return left


def _at_numbers(result: _Splits, at: np.ndarray, column: Number, nodes: _Nodes, found: Sum) -> None:
    if not len(at):
        return
    thresholds, where = np.unique(nodes.threshold[at], return_inverse=True)
    if column.steps or found.strict or found.single:
        result.value[at] = _largest(column, thresholds, found)[where]
    else:
        result.value[at] = thresholds[where]
    filled = column.at(np.array([np.nan]))
    missing = nodes.missing_left[at] if np.isnan(filled[0]) else _left(filled, nodes.threshold[at], found)
    result.missing[at] = missing


def _largest(column: Number, thresholds: np.ndarray, found: Sum) -> np.ndarray:
    """The largest input that goes left at each threshold; infinite if all or none do."""
    low, high = (np.full(len(thresholds), end).view(np.int64) for end in (-_WIDEST, _WIDEST))
    low = -(low & _MAGNITUDE)  # in the order of the numbers
    none = ~_left(column.at(_number(low)), thresholds, found)
    every = _left(column.at(_number(high)), thresholds, found)
    while (high - 1 > low).any():
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        left = _left(column.at(_number(middle)), thresholds, found)
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.where(none, -np.inf, np.where(every, np.inf, _number(low)))


def _number(order: np.ndarray) -> np.ndarray:
    """The float64 at this place in the order of all; 0 is at 0."""
    size = np.abs(order).view(np.float64)
    signed: np.ndarray = np.where(order < 0, -size, size)
    return signed


def _at_members(result: _Splits, nodes: _Nodes, at: int, column: Number | Table) -> None:
    """A split of categories: ``members`` go left, NaN where it is told, all others right."""
    wanted = nodes.members[at]
    if isinstance(column, Table):
        every = np.array([*column.values, column.other, column.missing])
        goes = np.where(np.isnan(every), nodes.missing_left[at], [value in wanted for value in every])
        _by_codes(result, nodes, at, column, goes)
        return
    if any(step != "fill" for step, _ in column.steps):
        raise Entangled
    filled = float(column.at(np.array([np.nan]))[0])
    result.missing[at] = nodes.missing_left[at] if np.isnan(filled) else filled in wanted
    result.mode[at] = _MEMBER
    result.members[at] = (*sorted(wanted), np.nan)


def _by_codes(result: _Splits, nodes: _Nodes, at: int, column: Table, goes: np.ndarray) -> None:
    """A split by code; the last two of ``goes`` say it of other codes and of NaN.

    By order where that will do. Else by equality, where NaN never comes: onnxruntime joins such splits, not
    minding where each of them sends NaN.
    """
    *known, other, missing = goes.astype(bool).tolist()
    result.missing[at] = missing
    if column.of in ("text", "boolean") or set(known) <= {other}:
        by_code = {0.0: other, **({1.0: other} if column.of == "boolean" else {})}
        every = sorted({**by_code, **dict(zip(column.codes, known, strict=True))}.items())
        sides = [side for _, side in every]
        steps = sum(one != next_one for one, next_one in pairwise(sides))
        if steps == 0:
            result.value[at] = np.inf if sides[0] else -np.inf
            return
        if steps == 1:
            result.value[at] = every[sides.index(sides[-1]) - 1][0]
            if not sides[0]:
                _swap(result, nodes, at)
            return
    if column.of in ("boolean", "number"):
        raise Entangled
    chosen = [code for code, side in zip(column.codes, known, strict=True) if side != other]
    if other:
        _swap(result, nodes, at)
    result.missing[at] = 0
    result.mode[at] = _EQ if len(chosen) == 1 else _MEMBER
    result.value[at] = chosen[0]
    if len(chosen) > 1:
        result.members[at] = (*chosen, np.nan)


def _swap(result: _Splits, nodes: _Nodes, at: int) -> None:
    nodes.left[at], nodes.right[at] = nodes.right[at], nodes.left[at]
    nodes.left_is_leaf[at], nodes.right_is_leaf[at] = nodes.right_is_leaf[at], nodes.left_is_leaf[at]
    result.missing[at] = not result.missing[at]
