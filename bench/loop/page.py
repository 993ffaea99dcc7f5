"""The page of results, and a picture per stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from .policies import Replay
from .streams import Stream

mpl.use("Agg")
from matplotlib import pyplot as plt

GAIN, TRAININGS = 0.9, 0.25  # to reach: of the improvement, of the trainings of every step

HEAD = """# When to retrain: policies over real streams

`python -m bench.loop --page bench/loop/RESULTS.md`. Each step a model answers the rows of a week (or what is
said), a policy may train before it; labels are one step late, so at step s those of s - 2 are known. The
model is LightGBM as `training.estimators` builds it, with the product's preparation and no tuning. A fifth of
the rows is held out of every training, whoever trains, as the product does. Losses are log loss, or squared
error of a target with unit variance in the first steps.

- **share**: of the improvement in loss that training at every step brings over never.
- **trainings**: steps at which the policy trained, and in brackets their share of every step's.
- **fits**: all models fitted, with those that only tried a choice of rows.
- **harmful**: promotions after which the next step's loss was worse than the last champion's would have
  been, by a one-sided paired t test over the step's seven parts (days of a week). First with 5 % for all
  promotions of the policy on the stream together (Bonferroni); in brackets with 5 % each, of which one in
  twenty is found where promotions change nothing, and the same over rows as if they were independent.
- **oracle**: at each step the best, in hindsight, of all models trained on all rows until then.
- **distances > .1** and **tests p < .05** are the defaults of Evidently (Wasserstein over the deviation,
  Jensen-Shannon, any column, against the rows learnt) and of alibi-detect's TabularDrift
  (Kolmogorov-Smirnov, chi-squared, Bonferroni), written anew here; **loss +10 %** trains when the newest
  labelled step lost a tenth more than the first one ever served.
- **ours** is the product's own parts with their defaults: `retraining.benefit` and `retraining.moving` say
  whether a candidate is worth training, `training.trying` which rows count, and `deployment.gate` compares
  the candidate with the champion on rows that were held out and are new. Where it cannot tell them apart
  `retraining.remembered` adds what the last candidates gained, and one that is still in doubt is judged again
  on the labels of the next steps. One set of defaults for all streams.
  They were chosen on flights and the quiet streams, but for one rule that was made after the ratings had been
  seen (the gain to expect grows with the steps since the last candidate), and for the blocks of
  `retraining.moving`, for judging again and for what candidates gained, for which all streams had been looked
  at.
"""

FOUND = """### What it shows

Ours trains no more than a quarter of the time and never without drift. It does not reach 90 % everywhere.

- On flights every candidate that is asked for is promoted, nearly each fourth week: there it is a
  calendar, which gives 79 to 90 % by the week of its beginning. What remains is to choose better weeks.
- On employment nearly all that training again gains is of more rows of much the same world (1 % of the
  loss). Its rows change in time for sure only from the 31st step on; before, three times the rows are its
  only reason. What more rows gain tells it (0.4 % of the loss each time they double) from no drift (0.5
  to 0.8 %) the wrong way round: what would train there would train where nothing changes.
- On stops and chicago the gate alone holds candidates back whose gain may be chance: the fifth that is
  held out of the new rows, 100 to 2,000, is little to judge by. Nearly all of them were better: without
  any gate it is 94 % on stops and 98 % on chicago, as means of four first models. With the gate alone it
  was 85 and 88, with candidates judged again 86 and 90, with what the last candidates gained besides 89
  and 94. On ratings and births that is within a point, on hotel, flights and power all candidates are
  promoted anyway, on employment it came to nothing. One of chicago's nine promotions came before a worse
  step; with 5 % for each of eight streams, .4 are expected where no promotion ever harms.
- On employment judging again cost 3 points: with the candidate of step 26 out at 27, those of 30 and 38
  gained too little to be told, and two refusals make the wait four times as long: none came after.

That rows change in time takes the luck of the beginning out of flights (80 to 90 % from four first
models, 48 to 88 % without) and leaves the others much as they were. It is sure on all eight streams, on
three of them at the first look, and at none of 840 looks at streams without drift.

Tried and not taken, as means of four first models. For judging again: the held-out rows of the gate
beside the later ones and 98 % for each of three looks, stops 86, chicago 92; with 95 %, 87 and 93, and a
candidate that is no better has four chances of 2.5 %; six looks, 85 and 92. For what the last candidates
gained: the spread of gains estimated (DerSimonian and Laird), stops 87 to 90 by one constant, chicago 95,
or believed to be small (half-normal), 90 and 94: both let one large gain speak for ten candidates;
without what looks have found, 88 and 95; with candidates that were compared with the same champion, 90
and 96, but who asks again and again on the same rows would be heard; without asking that its own rows
favour it with 60 %, 91 and 95, and 4 of 82 promotions before a worse step for 2 of 71 (the last three
with earlier forms of the prior). A wait of three steps, where the rows have grown by 15 %, and of six at
the most: hotel 97 for 95 %, births 137 for 134, flights 81 for 83, the others within a point. Evidence of
the last promotion beside that of the candidate: stops 88 for 85 %. A gate that judges all new rows, by
five more fits that leave a fifth of them out in turn: stops 86 for 85 %. A gate with 60 % confidence
(`gate.confidence`), which lets every fifth candidate through that is no better: stops 90, chicago 93,
hotel and employment as before, and one of 56 promotions of stops and chicago before a worse step; who
would rather have that may set it. Trainings that were not used up early, spent two steps after the last,
and models of the older against the newer half of the rows before anything is trained, were no better
under a gate that lets more through. What is served averaged with what was served before, a quarter of it,
at the same promotions and from one first model: flights 91 for 88 %, ratings 98 for 94, stops and employment
half a point more, but hotel 93 for 96, chicago and power a point less, and the model grows with each
promotion; with the last model alone flights is 89 %.

Breaks put into these streams, and which of them are caught before they are learnt: [FEEDS.md](FEEDS.md).
From the last label that is needed to the new champion: [DELAY.md](DELAY.md).
"""
QUIET_WORDS = """## Streams without drift

Made, not real: twelve features, a truth that never changes, classes and numbers in turn. The first model
learns 10,800 rows, and 14,400 more come in 24 steps, so that training again gains what more rows of the same
world give: with 2.3 times the rows that is less than ours asks for (3 times, `benefit.GROWTH`).
"""


def page(lines: Sequence[Mapping[str, Any]], missing: Sequence[str]) -> str:
    streams = [each for each in dict.fromkeys(one["stream"] for one in lines) if "quiet" not in each]
    quiet = [each for each in lines if "quiet" in each["stream"]]
    parts = [HEAD, "## What was reached\n", *_goals(lines, streams, quiet), "", FOUND]
    parts += [f"Not measured: {each}\n" for each in missing]
    for stream in streams:
        rows = [each for each in lines if each["stream"] == stream]
        words = rows[0]["words"]
        parts += [f"## {words[:1].upper()}{words[1:]}\n"]
        parts += [f"{rows[0]['rows']:,} rows, {rows[0]['steps']} steps at which to train.\n", _table(rows)]
        parts += [f"\n![{stream}]({stream}.png)\n"]
    if quiet:
        parts += [QUIET_WORDS]
        for words in dict.fromkeys(each["words"] for each in quiet):
            of_it = [each for each in quiet if each["words"] == words]
            parts += [f"{words[:1].upper()}{words[1:]}:\n", f"{_quiet(of_it)}\n"]
    return "\n".join(parts).rstrip() + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    told = [
        "| policy | loss | share | trainings | promotions | fits | harmful |",
        "|---|---|---|---|---|---|---|",
    ]
    for it in rows:
        often = f"{it['trained']} ({it['trained'] / it['steps']:.0%})"
        harmful = f"{it['surely']} ({it['harmful']}, {it['by_rows']})"
        if it["policy"] == "oracle":
            often, harmful = "", ""
        cells = (
            it["policy"],
            f"{it['loss']:.4f}",
            f"{it['share']:.0%}",
            often,
            it["promoted"],
            it["fits"],
            harmful,
        )
        told.append(f"| {' | '.join(str(each) for each in cells)} |")
    return "\n".join(told)


def _goals(
    lines: Sequence[Mapping[str, Any]], streams: Sequence[str], quiet: Sequence[Mapping[str, Any]]
) -> list[str]:
    """One default policy: where it reaches what was to be reached, and where it does not."""
    ours = {each["stream"]: each for each in lines if each["policy"] == "ours"}
    told = [
        "| stream | share of the improvement (90 %) | of the trainings (25 %) | harmful promotions (0) "
        "| by single tests | share from four first models, and every 4 steps' |",
        "|---|---|---|---|---|---|",
    ]
    for name in streams:
        it = ours.get(name)
        if it is None:
            continue
        often = it["trained"] / it["steps"]
        cells = (
            f"{it['share']:.0%}{_missed(it['share'] >= GAIN)}",
            f"{often:.0%}{_missed(often <= TRAININGS)}",
            f"{it['surely']}{_missed(it['surely'] == 0)}",
            f"{it['harmful']} of {it['promoted']}",
            _spread(lines, name),
        )
        told.append(f"| {name} | {' | '.join(cells)} |")
    still = [each for each in quiet if each["policy"] == "ours"]
    for words in dict.fromkeys(each["words"] for each in still):
        of_it = [each for each in still if each["words"] == words]
        none = sum(each["trained"] == 0 for each in of_it)
        told += ["", f"Streams with {words} on which it never trained (19 of 20): {none} of {len(of_it)}."]
    return told


def _spread(lines: Sequence[Mapping[str, Any]], stream: str) -> str:
    """Lowest, mean and highest share of ours where the first model is trained up to three steps later."""
    of_it = {each["policy"]: each["starts"] for each in lines if each["stream"] == stream and each["starts"]}
    if "ours" not in of_it:
        return ""
    ours, fourth = of_it["ours"], of_it["every 4 steps"]
    return f"{min(ours):.0%} to {max(ours):.0%}, mean {np.mean(ours):.0%}; {np.mean(fourth):.0%}"


def _missed(reached: bool) -> str:
    return "" if reached else ", **missed**"


def _quiet(rows: Sequence[Mapping[str, Any]]) -> str:
    told = [
        "| policy | mean loss | trainings a stream | streams without any | promotions, all |",
        "|---|---|---|---|---|",
    ]
    for policy in dict.fromkeys(each["policy"] for each in rows):
        of_it = [each for each in rows if each["policy"] == policy]
        none = sum(each["trained"] == 0 for each in of_it)
        cells = (
            f"{np.mean([each['loss'] for each in of_it]):.4f}",
            f"{np.mean([each['trained'] for each in of_it]):.1f} of {of_it[0]['steps']}",
            f"{none} of {len(of_it)}",
            f"{sum(each['promoted'] for each in of_it)}",
        )
        told.append(f"| {policy} | {' | '.join(cells)} |")
    return "\n".join(told)


def draw(stream: Stream, found: Mapping[str, Replay], path: Path) -> None:
    """The loss of each step by policy, smoothed over five, and when ours trained and promoted."""
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    looks = {
        "never": "tab:gray",
        "every step": "tab:blue",
        "every 4 steps": "tab:cyan",
        "oracle": "tab:green",
    }
    for name, colour in (looks | {"ours": "tab:red"}).items():
        if name in found:
            means = np.array([each.mean() for each in found[name].losses])
            wide = np.convolve(np.pad(means, 2, mode="edge"), np.ones(5) / 5, mode="valid")
            axes.plot(np.arange(len(wide)) + stream.start, wide, label=name, color=colour, lw=1.4)
    if "ours" in found:
        low, _ = axes.get_ylim()
        ours = found["ours"]
        refused = sorted(set(ours.trained) - set(ours.promoted))
        axes.plot(ours.promoted, [low] * len(ours.promoted), "^", color="tab:red", ms=6, label="promoted")
        axes.plot(refused, [low] * len(refused), "x", color="tab:red", ms=5, label="refused")
    axes.set(title=stream.words, xlabel="step", ylabel="loss, mean of five steps")
    axes.legend(ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)
