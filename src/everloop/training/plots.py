"""Pictures of a training as PNG bytes, drawn without pyplot (no global state, so safe in threads)."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from everloop.core.runs import Business, Recipe

from .fitting import Fitted
from .importance import importances
from .metrics import calibration_bins, value_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 4_000
_MOST_CLASSES = 10
_MOST_BARS = 20
_QUIET = "#9aa5b1"
_STRONG = "#1f5fa8"
_WARM = "#c8553d"


def plots(fitted: Fitted, table: pa.Table, recipe: Recipe) -> dict[str, bytes]:
    """Name to PNG bytes, of the test rows. ``table`` is the one that ``fitted`` was trained with.

    Classification: ``confusion_matrix``, ``roc``, ``calibration``, and ``value_curve`` when the recipe has
    business amounts. Regression: ``predicted_vs_actual`` and ``residuals``. Both: ``importance``.
    """
    ranked, unit = importances(fitted, table, recipe.seed)
    pictures = {"importance": _draw(lambda ax: _importance(ax, ranked, unit))}
    if fitted.task == "regression":
        pictures["predicted_vs_actual"] = _draw(lambda ax: _predicted(ax, fitted, recipe))
        pictures["residuals"] = _draw(lambda ax: _residuals(ax, fitted, recipe))
        return pictures
    pictures["confusion_matrix"] = _draw(lambda ax: _confusion(ax, fitted))
    pictures["roc"] = _draw(lambda ax: _roc(ax, fitted))
    pictures["calibration"] = _draw(lambda ax: _calibration(ax, fitted))
    if recipe.business is not None and fitted.positive is not None:
        business = recipe.business
        pictures["value_curve"] = _draw(lambda ax: _value_curve(ax, fitted, business))
    return pictures


def _draw(paint: Callable[[Axes], None]) -> bytes:
    """Matplotlib is imported here and not before: a turn that does not train draws nothing."""
    figure = import_module("matplotlib.figure").Figure(figsize=(6.4, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    paint(axes)
    return _rendered(figure)


def _rendered(figure: Figure) -> bytes:
    canvas = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that the font lacks are drawn as boxes
        canvas.print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def _label(text: object, longest: int = 24) -> str:
    shown = str(text)
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return shown.replace("$", r"\$")


def _rows(fitted: Fitted) -> str:
    return f"{len(fitted.test_index):,} test rows"


def _of_positive(fitted: Fitted) -> tuple[np.ndarray, np.ndarray]:
    """Whether each test row is positive, and the probability it was given."""
    column = fitted.classes.index(str(fitted.positive))
    return fitted.test_target == fitted.positive, fitted.predictions[:, column]


def _importance(ax: Axes, ranked: dict[str, float], unit: str) -> None:
    names = list(ranked)[:_MOST_BARS]
    left = len(ranked) - len(names)
    ax.barh(range(len(names)), [ranked[name] for name in names], color=_STRONG, height=0.7)
    ax.set_yticks(range(len(names)), [_label(name) for name in names])
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlabel(unit)
    ax.set_title(
        "Importance of the features" + (f" (the first {len(names)} of {len(ranked)})" if left else "")
    )


def _confusion(ax: Axes, fitted: Fitted) -> None:
    names = np.asarray(fitted.classes)
    truth = np.searchsorted(names, fitted.test_target)
    if fitted.positive is not None:
        _, score = _of_positive(fitted)
        hit = fitted.classes.index(fitted.positive)
        decided = np.where(score >= 0.5, hit, 1 - hit)
    else:
        decided = np.argmax(fitted.predictions, axis=1)
    counts = np.bincount(truth * len(names) + decided, minlength=len(names) ** 2).reshape(len(names), -1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    image = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label="share of the true class")
    if len(names) <= _MOST_CLASSES:
        for (row, column), count in np.ndenumerate(counts):
            share = shares[row, column]
            colour = "white" if share > 0.55 else "black"
            text = f"{count:,}\n{share:.0%}" if len(names) <= 5 else f"{count:,}"
            ax.text(column, row, text, ha="center", va="center", color=colour)
    step = max(1, len(names) // 20)
    at = range(0, len(names), step)
    wide = len(names) > 4
    ax.set_xticks(
        at, [_label(names[i], 14) for i in at], rotation=45 if wide else 0, ha="right" if wide else "center"
    )
    ax.set_yticks(at, [_label(names[i], 14) for i in at])
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"Confusion matrix, {_rows(fitted)}")


def _roc(ax: Axes, fitted: Fitted) -> None:
    ax.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", linewidth=1, label="chance")
    if fitted.positive is not None:
        shown = [fitted.positive]
    else:
        names, rows = np.unique(fitted.test_target, return_counts=True)
        frequent = set(names[np.argsort(-rows, kind="stable")[:_MOST_CLASSES]])
        shown = [name for name in fitted.classes if name in frequent]
    for name in shown:
        outcomes, score = fitted.test_target == name, fitted.predictions[:, fitted.classes.index(name)]
        false_rate, true_rate = _roc_points(outcomes, score)
        area = float(np.trapezoid(true_rate, false_rate))
        ax.plot(false_rate, true_rate, linewidth=1.8, label=f"{_label(name)} (area {area:.3f})")
    left = len(fitted.classes) - len(shown)
    note = f", the {len(shown)} most frequent classes" if fitted.positive is None and left else ""
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel="false positive rate", ylabel="true positive rate")
    ax.set_title(f"ROC curve{note}, {_rows(fitted)}")
    ax.legend(
        loc="lower right", frameon=False, title="positive class" if fitted.positive else "class vs rest"
    )


def _roc_points(outcomes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at each distinct score, at most 1,000 of them."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(outcomes[order])[ends]
    alarms = ends + 1 - hits
    true_rate = np.append(0.0, hits / hits[-1])
    false_rate = np.append(0.0, alarms / alarms[-1])
    if len(ends) > 1_000:
        kept = np.unique(np.linspace(0, len(true_rate) - 1, 1_000).astype(int))
        return false_rate[kept], true_rate[kept]
    return false_rate, true_rate


def _calibration(ax: Axes, fitted: Fitted) -> None:
    if fitted.positive is not None:
        outcomes, score = _of_positive(fitted)
        x_label, y_label = f"predicted probability of '{_label(fitted.positive)}'", "share that turned out so"
    else:
        score = fitted.predictions.max(axis=1)
        outcomes = np.asarray(fitted.classes)[np.argmax(fitted.predictions, axis=1)] == fitted.test_target
        x_label, y_label = "probability of the predicted class", "share that was right"
    table = calibration_bins(outcomes, score)
    rows, mean, share = table.T
    low, high = _wilson(share, rows)
    ax.plot([0, 1], [0, 1], color=_QUIET, linestyle="--", linewidth=1, label="perfect")
    ax.errorbar(
        mean,
        share,
        yerr=[share - low, high - share],
        color=_STRONG,
        marker="o",
        capsize=3,
        label="bins, ± 95 %",
    )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x_label, ylabel=y_label)
    off = float(np.sum(rows * np.abs(mean - share)) / np.sum(rows))
    ax.set_title(f"Calibration (error {off:.3f}), {_rows(fitted)}")
    ax.legend(loc="upper left", frameon=False)


def _wilson(share: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share (Wilson, 1927); unlike the usual one it is not empty at 0 and 1."""
    z = 1.96
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return np.minimum(middle - half, share), np.maximum(middle + half, share)


def _value_curve(ax: Axes, fitted: Fitted, business: Business) -> None:
    outcomes, score = _of_positive(fitted)
    thresholds, values = value_curve(outcomes, score, business)
    best = len(values) - 1 - int(np.argmax(values[::-1]))
    ax.step(
        np.append(0.0, thresholds), np.append(values[0], values), where="pre", color=_STRONG, linewidth=1.8
    )
    ax.axvline(0.5, color=_QUIET, linestyle="--", linewidth=1, label="threshold 0.5")
    text = f"best: {values[best]:,.0f} at {thresholds[best]:.3f}"
    ax.plot(thresholds[best], values[best], marker="o", linestyle="none", color=_WARM, label=text)
    ax.axhline(values[-1], color=_QUIET, linestyle=":", linewidth=1, label=f"act on none: {values[-1]:,.0f}")
    ax.set(xlim=(0, 1), xlabel=f"threshold on the probability of '{_label(fitted.positive)}'")
    ax.set_ylabel("net value (unit of the business amounts)")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(f"Net value by threshold, {_rows(fitted)}")
    ax.legend(frameon=False)


def _points(fitted: Fitted, recipe: Recipe) -> tuple[np.ndarray, np.ndarray, str]:
    truth, guess = fitted.test_target, fitted.predictions
    if len(truth) <= _MOST_POINTS:
        return truth, guess, _rows(fitted)
    chosen = np.random.default_rng(recipe.seed).choice(len(truth), _MOST_POINTS, replace=False)
    return truth[chosen], guess[chosen], f"{_MOST_POINTS:,} of {_rows(fitted)}"


def _predicted(ax: Axes, fitted: Fitted, recipe: Recipe) -> None:
    truth, guess, rows = _points(fitted, recipe)
    ends = [min(truth.min(), guess.min()), max(truth.max(), guess.max())]
    ax.plot(ends, ends, color=_QUIET, linestyle="--", linewidth=1, label="perfect")
    ax.plot(truth, guess, linestyle="none", marker=".", markersize=4, alpha=0.5, color=_STRONG, label="rows")
    ax.set_xlabel(f"actual {_label(recipe.target)}")
    ax.set_ylabel(f"predicted {_label(recipe.target)}")
    ax.set_title(f"Predicted and actual, {rows}")
    ax.legend(loc="upper left", frameon=False)


def _residuals(ax: Axes, fitted: Fitted, recipe: Recipe) -> None:
    truth, guess, rows = _points(fitted, recipe)
    ax.plot(guess, truth - guess, linestyle="none", marker=".", markersize=4, alpha=0.5, color=_STRONG)
    ax.axhline(0, color=_QUIET, linestyle="--", linewidth=1)
    ax.set_xlabel(f"predicted {_label(recipe.target)}")
    ax.set_ylabel("residual (actual - predicted, same unit)")
    ax.set_title(f"Residuals, {rows}")
