"""Two models on the same rows: how much better the challenger is, and how sure that is.

The interval is the union of two, so that it holds where either fails (simulated in test_paired.py):
- Student's t whose degrees of freedom are those of the variance, 2n / (kurtosis - 1) at most n - 1
  (Satterthwaite 1946): when few rows decide (rare disagreements, few positives, heavy tails) n rows are not
  n rows of evidence;
- Hall's transformation against skewness (1992, J. R. Statist. Soc. B 54:221): a challenger that gains a
  little on most rows and loses much on few looks better than it is to Student's t.

Rows are taken as independent. A loss so rare that no unseen row shows it cannot be seen by any interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from everloop.core.decisions import Comparison

from .measures import Answers, Floats, Metric

_SAME = 1e-12


@dataclass(frozen=True)
class Paired:
    """The rows' improvements, summed up. ``std`` is 0 when all rows improve alike."""

    champion: float
    challenger: float
    improvement: float
    rows: int
    std: float
    skewness: float
    freedom: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided: the truth lies below ``low`` in (1 - confidence) / 2 of cases at most, and above
        alike."""
        if self.std == 0:
            return self.improvement, self.improvement
        quantile = float(student.ppf((1 + confidence) / 2, self.freedom))
        x = quantile / np.sqrt(self.rows)
        low = self.improvement - self.std * max(x, self._unskewed(x))
        high = self.improvement - self.std * min(-x, self._unskewed(-x))
        return float(low), float(high)

    def p_worse(self, margin: float) -> float:
        """How probable so bad a result is (one-sided) if the challenger were worse by ``margin`` at most."""
        distance = self.improvement + margin
        if self.std == 0:
            return 0.0 if distance < 0 else 1.0
        w = distance / self.std
        hall = w + self.skewness * w**2 / 3 + self.skewness**2 * w**3 / 27 + self.skewness / (6 * self.rows)
        return float(student.cdf(np.sqrt(self.rows) * max(w, hall), self.freedom))

    def _unskewed(self, x: float) -> float:
        """Hall's transformation, inverted."""
        if abs(self.skewness) < 1e-6:
            return x
        inner = 1 + self.skewness * (x - self.skewness / (6 * self.rows))
        return float(3 / self.skewness * (np.cbrt(inner) - 1))


def pair(metric: Metric, champion: Answers, challenger: Answers) -> Paired:
    """Measure both on the same rows. TooFewRows where the metric has no value on them (one class only …)."""
    before, after = metric.rows(champion), metric.rows(challenger)
    return summarise(float(before.mean()), float(after.mean()), metric.sign * (after - before))


def summarise(champion: float, challenger: float, gains: Floats) -> Paired:
    """``gains`` (n,) is each row's improvement, positive where the challenger is better."""
    n, mean = len(gains), float(gains.mean())
    centred = gains - mean
    variance = float(np.mean(centred**2))
    if n < 2 or variance <= (_SAME * max(abs(mean), abs(champion), abs(challenger))) ** 2:
        return Paired(champion, challenger, mean, n, 0.0, 0.0, max(n - 1.0, 1.0))
    scaled = centred / np.sqrt(variance)
    kurtosis = float(np.mean(scaled**4))
    freedom = n - 1.0 if kurtosis <= 1 else min(n - 1.0, max(1.0, 2 * n / (kurtosis - 1)))
    std = float(np.sqrt(variance * n / (n - 1)))
    return Paired(champion, challenger, mean, n, std, float(np.mean(scaled**3)), freedom)


def compare(metric: Metric, paired: Paired, confidence: float, name: str = "all") -> Comparison:
    low, high = paired.interval(confidence)
    return Comparison(
        metric.name,
        paired.champion,
        paired.challenger,
        paired.improvement,
        low,
        high,
        paired.rows,
        confidence,
        name,
    )
