"""What the page says beside its tables."""

HEAD = """# Monitoring, side by side

`python -m bench.drift` on {cores} cores that were busy with other work: seconds are of CPU, of one
process on one thread; ratios below 2 mean nothing. Peers run in environments of their own
(`environments.py` has the pins), each at its defaults.

**What is scored was not designed on.** The worlds of `worlds.py` were written for this page, by another
hand than the methods; their shapes, sizes, categories and correlations are drawn with seeds of their own
(101 to 110, 201 to 205, 301 to 305, 401 to 448, 900). The worlds that the methods were designed and
tested on (`tests/unit/monitoring/worlds.py`, `feeds.py`, simulations with other seeds) are not used.
Real data sets were known beforehand: those of NannyML and flights were looked at when the estimate was
built. The kinds of change, their sizes and AR(1) .95 are those that the goals name, so they were known
too. Nothing was tuned on the results.

Alpha is that of the settings: 0.1 false alarms in 30 days of windows of a day, shared among four parts.

Verdicts are of the numbers as measured, whatever their intervals; `-` where there were too few windows.

## Goals
"""

SHOWN = """## What they show

- **Flights are not reached** at the defaults. The reference's own weeks swing as much as those that are
  called drops (three of the eight are drops by the same rule), because the rule takes flights as
  independent (a week's ROC AUC is then known to a standard error of .008), and flights of a day share its
  weather: with days as what is independent it is .030, more than the .02 of the rule. Ours, and NannyML's
  limits of three standard deviations, see nothing unusual in these weeks and stay silent; what fires is
  the rise of errors, four times, in weeks whose log loss is worse each time. Who holds that any week .02
  below the reference is damage, chance or not, says so with `performance_min`: that alert names the drops,
  each when its labels have come, nearly by definition (`limit` below). No label-free signal of ours or of
  others tells these weeks from the rest.
- A change of distribution is hardly ever named in its first window: it needs a second one. A window that
  stands alone finds nearly as much, but of missing values .79.
- Without labels ROC AUC is estimated as well as by NannyML (differences below .0001 count as equal) and
  no better. For the regression set NannyML's estimate of the error is **better than ours**, and our
  intervals hold too seldom there, on `mc`, and for precision and recall of `car_loan`.
- River's HDDM_W notices .2 to .3 and .3 to .45 sooner, with more false alarms, and never .05 to .1;
  ADWIN is twice as fast per label.
"""

SPEED = """## Speed and memory

50 columns: 40 numbers, 10 categories of 2 to 300 levels. Ours reads the stored reference from its file,
summarises the window and judges it, in a process that never held the reference's rows; categories come
as Arrow dictionaries, as from Parquet, and once as plain text. The peers get data frames with text, as
users pass them, and check in the process that built the reference. Extra memory is the peak beyond what
was held once the data were loaded and the tool had done a small check. In brackets: times as long as
ours.
"""

QUIET = """## False alarms

Windows in which nothing changes, 50 features, a reference of 100,000 rows: windows with any alarm per
1,000, with the exact 95 % interval. Ours: any finding at all in the inputs, each window judged with
those before it, as the product does. Peers: any column that the tool calls drifted; they get the same
worlds, fewer of them where they are slow. AR(1) .95: every feature depends on its value in the row
before. Seasonal: ten features swing by half a standard deviation over seven windows; ours is told the
phase, the peers have no place for it (picking the reference's rows of that phase by hand gives them the
independent column). Mean of 30: another kind of dependence, for ours only.
"""

FOUND = """## What is found

One of 50 features changes; windows of 1,000 rows; share in which the changed column (for correlation:
the pair, of peers any of the two) is named. Draws in brackets. Ours: `alone` is one window without
history; the others come after eight quiet windows, where a change of distribution needs two voices, so
that its first window is never enough. Peers see the first window. Beside their false alarms: a tool that
alarms always finds everything.
"""

HARMLESS = """## A shift that does no harm

.02 standard deviations in one of 50 features.
"""

ERRORS = """## Errors of a model, label by label

Streams of 20,000 errors, 48 each (KSWIN: three). Quiet: false alarms per 10,000 labels; bursty: a label
is as the one before with probability .9. Others change after 10,000 labels: median delay in labels, and
false alarms per 10,000 before. Ours is the default detector, at most one false alarm in 20,000 labels on
average; reference 10,000 labels in the order of time. The product asks for fewer still (as many labels
as come while the settings allow one).
"""

ESTIMATED = """## Performance without labels

Mean absolute error of the estimate, on the sets that NannyML ships and on flights; the same windows for
both.
"""

FLIGHTS = """## Thirty-six weeks of flights

LightGBM on eight weeks, eight weeks as reference. A week is a drop where its ROC AUC is below the
reference's by max(.02, 2.33 standard errors), which is the goal's; of log loss where it is above it by
max(5 %, 2.33 standard errors), a second definition that was there before, but whose table was added when
that of ROC AUC had been seen. Standard errors take flights as independent, which they are not: a week's
weather is shared. An alert is about the week that it was raised of. F1 of "always" and the share that
"never" tells rightly are what alerts have to beat. Claims damage: `estimated`, `performance` or
`concept` fired. `inputs` and `prediction` claim none.
"""

NOT_SHOWN = """## Not shown

The run was ended before these were done: our false alarms where there is a season, where each row is a
mean of 30, and with windows of 10,000 rows (60 windows only); Evidently's speed (93 s of CPU for the
check when it was measured earlier, not beside ours), its power, its weeks of flights, and its false
alarms beyond independent rows; NannyML and whylogs with a season, whylogs and corrected scipy with
AR(1), scipy without correction beyond independent rows; whylogs and scipy at the harmless shift; KSWIN
where errors change. Numbers of peers are of few windows and draws: they tell which tools alarm always,
not how often the others do.

NannyML's DomainClassifier, alibi-detect's MMD, seasons together with dependence, and peers' windows of
other sizes than 1,000 rows are not part of it.
"""
