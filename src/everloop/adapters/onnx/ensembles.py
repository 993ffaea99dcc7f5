"""The trees of fitted ensembles, read out of scikit-learn, XGBoost and LightGBM.

Each reader gives the sum and what turns it into the answer: ``none``, ``exp``, ``sigmoid``, ``softmax``, or
``shares`` and ``mean``, to be divided by the number of trees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .graph import NotCompilable
from .trees import Sum, Tree


def forest(model: Any) -> tuple[Sum, str]:
    """Decision trees and forests of scikit-learn. Of two classes only the second one's share is summed."""
    trees = [each.tree_ for each in getattr(model, "estimators_", [model])]
    if getattr(model, "n_outputs_", 1) != 1:
        raise NotCompilable("several targets")
    classes = len(getattr(model, "classes_", ())) if hasattr(model, "predict_proba") else 0
    if classes > 2:
        every = [_sklearn_tree(tree, tree.value[:, 0, :]) for tree in trees]
        return Sum(every, np.zeros(classes), single=True), "shares"
    every = [_sklearn_tree(tree, tree.value[:, 0, -1]) for tree in trees]
    return Sum(every, np.zeros(1), single=True), "shares" if classes else "mean"


def _sklearn_tree(tree: Any, value: np.ndarray, target: int = 0) -> Tree:
    missing = tree.__getstate__()["nodes"]["missing_go_to_left"].astype(bool)
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing, value, target)


def gradient_boosting(model: Any) -> tuple[Sum, str]:
    classes = len(getattr(model, "classes_", ()))
    targets = classes if classes > 2 else 1
    start = np.zeros(targets)
    if type(model.init_).__name__.startswith("Dummy"):
        one = np.zeros((1, model.n_features_in_), dtype=np.float32)
        start = np.asarray(model._raw_predict_init(one), dtype=np.float64).reshape(targets)
    elif model.init_ != "zero":
        raise NotCompilable(f"gradient boosting that begins with a {type(model.init_).__name__}")
    rate = model.learning_rate
    if classes and model.loss == "exponential":
        rate, start = 2 * rate, 2 * start
    trees = [
        _sklearn_tree(each.tree_, rate * each.tree_.value[:, 0, 0], target)
        for stage in model.estimators_
        for target, each in enumerate(stage)
    ]
    return Sum(trees, start, single=True), _link(classes)


def _link(classes: int) -> str:
    return "none" if not classes else "sigmoid" if classes == 2 else "softmax"


def adaboost(model: Any) -> tuple[Sum, str]:
    """Each tree votes for the class it predicts, with its weight, and against all others."""
    classes = len(model.classes_)
    every = list(zip(model.estimators_, model.estimator_weights_, strict=False))
    total = float(np.sum(model.estimator_weights_))
    trees = []
    for each, weight in every:
        if type(each).__name__ != "DecisionTreeClassifier" or len(each.classes_) != classes:
            raise NotCompilable(f"AdaBoost of {type(each).__name__}")
        best = each.tree_.value[:, 0, :].argmax(axis=1)
        share = weight / total
        if classes == 2:
            trees.append(_sklearn_tree(each.tree_, np.where(best == 1, 2 * share, -2 * share)))
            continue
        others = classes - 1
        for target in range(classes):
            vote = np.where(best == target, share, -share / others) / others
            trees.append(_sklearn_tree(each.tree_, vote, target))
    targets = 1 if classes == 2 else classes
    return Sum(trees, np.zeros(targets), single=True), _link(classes)


def histogram_boosting(model: Any) -> tuple[Sum, str]:
    start = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)
    trees = [
        _histogram_tree(predictor, target)
        for stage in model._predictors
        for target, predictor in enumerate(stage)
    ]
    if hasattr(model, "classes_"):
        return Sum(trees, start), _link(len(model.classes_))
    link = type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogLink"):
        raise NotCompilable(f"histogram gradient boosting with {link}")
    return Sum(trees, start), "exp" if link == "LogLink" else "none"


def _histogram_tree(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    members: dict[int, frozenset[float]] = {}
    for at in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][at]]
        members[int(at)] = frozenset(
            float(code) for code in range(256) if int(bits[code // 32]) >> (code % 32) & 1
        )
    return Tree(
        nodes["feature_idx"],
        nodes["num_threshold"],
        np.where(leaf, -1, nodes["left"].astype(np.int64)),
        np.where(leaf, -1, nodes["right"].astype(np.int64)),
        nodes["missing_go_to_left"].astype(bool),
        nodes["value"],
        target,
        members,
    )


_XGBOOST_LINKS = {
    "binary:logistic": "sigmoid", "multi:softprob": "softmax", "multi:softmax": "softmax",
    "reg:squarederror": "none", "reg:squaredlogerror": "none", "reg:absoluteerror": "none",
    "reg:pseudohubererror": "none", "reg:quantileerror": "none", "reg:logistic": "sigmoid",
    "count:poisson": "exp", "reg:gamma": "exp", "reg:tweedie": "exp",
}  # fmt: skip


def xgboost(model: Any) -> tuple[Sum, str]:
    learner = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    if objective not in _XGBOOST_LINKS:
        raise NotCompilable(f"XGBoost's objective {objective}")
    link = _XGBOOST_LINKS[objective]
    booster, dropped = learner["gradient_booster"], None
    if booster["name"] == "dart":
        dropped, booster = booster["weight_drop"], booster["gbtree"]
    if "trees" not in booster.get("model", {}):
        raise NotCompilable(f"XGBoost's booster {booster['name']}")
    shape = learner["learner_model_param"]
    if int(shape.get("num_target", 1)) > 1:
        raise NotCompilable("several targets")
    targets = max(1, int(shape["num_class"]))
    start = _margins(json.loads(shape["base_score"]), link, targets)
    parts = booster["model"]
    rounds = parts.get("iteration_indptr") or list(range(0, len(parts["trees"]) + 1, targets))
    best = getattr(model, "best_iteration", None) if "best_iteration" in learner["attributes"] else None
    used = rounds[min(int(best) + 1, len(rounds) - 1)] if best is not None else len(parts["trees"])
    scale = dropped or [1.0] * len(parts["trees"])
    trees = [
        _xgboost_tree(tree, target, weight)
        for tree, target, weight in zip(parts["trees"], parts["tree_info"], scale, strict=True)
    ]
    return Sum(trees[:used], start, strict=True, single=True), link


def _margins(score: Any, link: str, targets: int) -> np.ndarray:
    scores = np.broadcast_to(np.array(score, dtype=np.float64).reshape(-1), (targets,)).copy()
    if link == "sigmoid":
        return np.log(scores / (1 - scores))
    return np.log(scores) if link == "exp" else scores


def _xgboost_tree(tree: Any, target: int, weight: float) -> Tree:
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    missing = np.array(tree["default_left"]).astype(bool)
    right = np.array(tree["right_children"])
    members: dict[int, frozenset[float]] = {}
    chosen = (tree.get(f"categories{part}", ()) for part in ("_nodes", "_segments", "_sizes"))
    for node, start, size in zip(*chosen, strict=True):  # these go right in XGBoost: exchange the sides
        members[int(node)] = frozenset(map(float, tree["categories"][start : start + size]))
        left[node], right[node] = right[node], left[node]
        missing[node] = not missing[node]
    return Tree(
        np.array(tree["split_indices"]),
        conditions,
        left,
        right,
        missing,
        conditions * weight,
        target,
        members,
    )


def lightgbm(model: Any) -> tuple[Sum, str]:
    best = getattr(model, "best_iteration_", None) or -1
    dump = model.booster_.dump_model(num_iteration=best)
    name, *options = str(dump.get("objective", "")).split()
    classes = len(getattr(model, "classes_", ()))
    link, scale = _lightgbm_link(name, options, classes)
    targets = int(dump["num_tree_per_iteration"])
    infos = dump["tree_info"]
    if dump.get("average_output"):
        scale /= max(1, len(infos) // targets)
    trees = [
        _lightgbm_tree(info["tree_structure"], number % targets, scale) for number, info in enumerate(infos)
    ]
    return Sum(trees, np.zeros(targets)), link


def _lightgbm_link(name: str, options: Sequence[str], classes: int) -> tuple[str, float]:
    if name == "binary" and classes == 2:
        sigmoid = next((float(each[8:]) for each in options if each.startswith("sigmoid:")), 1.0)
        return "sigmoid", sigmoid
    if name == "multiclass":
        return "softmax", 1.0
    if name in ("poisson", "gamma", "tweedie"):
        return "exp", 1.0
    plain = name in ("regression", "regression_l1", "huber", "fair", "quantile", "mape")
    if plain and "sqrt" not in options and not classes:
        return "none", 1.0
    raise NotCompilable(f"LightGBM's objective {name or 'of your own'}")


def _lightgbm_tree(root: dict[str, Any], target: int, scale: float) -> Tree:
    rows: list[list[float]] = []
    members: dict[int, frozenset[float]] = {}
    waiting = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        at = len(rows)
        if parent >= 0:
            rows[parent][side] = at
        if "split_feature" not in node:
            if "leaf_const" in node and node.get("leaf_coeff"):
                raise NotCompilable("LightGBM's linear trees")
            rows.append([0, 0.0, -1, -1, 0, node["leaf_value"] * scale])
            continue
        rows.append([node["split_feature"], *_lightgbm_split(node, at, members), 0.0])
        waiting += [(node["right_child"], at, 3), (node["left_child"], at, 2)]
    table = np.array(rows, dtype=np.float64).T
    feature, left, right = (table[at].astype(np.int64) for at in (0, 2, 3))
    return Tree(feature, table[1], left, right, table[4].astype(bool), table[5], target, members)


def _lightgbm_split(node: dict[str, Any], at: int, members: dict[int, frozenset[float]]) -> list[float]:
    """Threshold, places for the children, and whether missing values go left."""
    if node["decision_type"] == "==":
        members[at] = frozenset(float(code) for code in str(node["threshold"]).split("||"))
        return [0.0, -1, -1, False]
    threshold = float(node["threshold"])
    if node["missing_type"] == "Zero":
        raise NotCompilable("LightGBM that takes zeros for missing")
    to_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0
    return [threshold, -1, -1, to_left and not math.isnan(threshold)]
