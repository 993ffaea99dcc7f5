"""The words about the tables."""

PAGE = """# Strategies of releasing, side by side

`python -m bench.releases` on {cores} cores: {releases:,} simulated releases of each scenario by each
strategy. Where it is not said otherwise 60,000 requests an hour come, of which the champion refuses 1 %,
fails 0.5 % and answers 90 % of the rest rightly; labels come a day later. Its latency is log-normal with a
median of 40 ms and a p99 of 200 ms.

- **false**: verdicts that are wrong: of an equal or better candidate that it is rolled back, of a worse one
  that it is promoted; with the exact 95 % interval (Clopper and Pearson). Inconclusive is never false, and
  no promotion either.
- **median time** to the verdict, as exact as the looks are close: everloop and the peeked test look at 3,
  6, 9, 12, 15, 30 s, 1, 2, 5, 10, 20, 40 min, 1, 2, 3, 4, 6, 9, 12, 18 h, each hour from 24 h to 36 h, then
  more seldom up to 14 days (rolling: each second). The real keeper looks about every second: it finds
  things sooner than is said here, and has more occasions to err.
- **bad answers** of a release beyond what the champion would have given: failed, wrong, or slower than
  {slow:.0f} ms (1.5 times the champion's p95). Until the verdict, and within 14 days, where a candidate
  that was promoted goes on. A minus is fewer bad answers than the champion gives.

## The rows

Everloop's are verdicts of the real `deployment.judging.judge`, with the plans that its settings give:
accuracy may lose 1 point and the share of an answer shift by 10, guardrails on failed, refused and slow
(over {slow:.0f} ms) answers, alpha 0.05, 14 days at most.

- **canary**: 5, 10, 25, 50 % for an hour each or longer, beside a control of the same size.
- **shadow, canary**: all requests go to both versions, only the champion's answers are given; the two are
  compared row by row (of two equal versions 2.5 % of the rows are answered rightly by one alone, each way).
  What it passes goes on as a canary, with its own alpha: both together may err in 10 %. Slow answers are
  judged in the canary only.
- **blue-green**: all requests at once, the old version warm for an hour; failed answers against 1 %, slow
  ones against twice the share that was seen and 1 % more. **rolling**: the same while four workers
  change one by one, 5 s each. **direct**: promoted at once.

The others are rules as their users write them, taken from their documentation and sources:

- **flagger**: interval 1m, threshold 5, stepWeight 10, maxWeight 50, request-success-rate 99 at least and
  request-duration (p99) 500 ms at most (docs.flagger.app/usage/metrics, /usage/deployment-strategies;
  fluxcd/flagger `pkg/controller/scheduler.go`, `scheduler_metrics.go`, `pkg/metrics/observers/istio.go`: a
  check that fails stops the advance, at the tick after the fifth all goes back; no values fail a check,
  #1095). An answer that refuses an input is a success, as it is no 5xx.
- **argo**: Argo Rollouts' example of background analysis
  (argoproj.github.io/argo-rollouts/features/analysis): setWeight 20, 40, 60, 80 with pauses of 10 min, from
  the second on a success rate each 5 min with `result[0] >= 0.95` and failureLimit 3, which the fourth
  failure exceeds (`analysis.go`). Its query is of the whole service; here it is of the canary alone, which
  is kinder.
- **kayenta**: NetflixACAJudge (spinnaker/kayenta: Mann-Whitney at 98 % with a tolerance of a quarter of the
  estimate, effect sizes 1, score the share of metrics that pass, 75 marginal, 95 pass), a tenth of the
  requests against a baseline of a tenth, with the start that its guide advises: 3 hours, a judgement each
  hour, a sample a minute (spinnaker.io/docs/guides/user/canary/best-practices): share of errors (NaN is 0),
  p99, share of one answer. **kayenta+labels**: the same and accuracy, in samples of an hour, a judgement
  each of three days, a day later, when the labels are there.
- **peeked test**: what is done by hand: a tenth against a tenth, tests of two proportions at 5 % of failed,
  refused, slow and wrong answers at every look; the first that says worse rolls back; promoted at the
  sample size that was worked out for 1 point of accuracy.

## What they show

{conclusion}"""

NOTES = """## Not shown

Requests are independent of each other within a version, apart from bursts of errors, the outage and the one
client; real ones are less so. A canary's own load, caches that are cold, and people who look at dashboards
are not simulated. Kayenta's root finder is replaced by the order statistics that it looks for; it keeps
outliers, as by default. Thresholds and metrics can be set better than their documentation's examples: a
fixed threshold just above the usual rate, or more metrics, finds more and errs more often.
"""

CONCLUSION = """Of the run with 1,000 releases each.

**Canary** errs in 0.5 to 1.3 % of equal candidates, whatever the traffic does, far within its 5 % (6 of 200
with 659 looks, at most five minutes apart); it promotes no worse one but those whose first ten requests
fail, of which it lets 3.5 % pass: where the control has failed once as well by then, ten to one is evidence
of 33 of the 100 that veto. It needs over a day, as labels come a day late; it said 1.4 days beforehand. At
60 requests an hour it refuses a margin of 1 point ("not proven within 14 days") and takes one of 2 points;
8 % stay open then. **Shadow, then canary** serves hardly a bad answer where answers can be compared, and
finds 0.5 to 1 % of errors in ten minutes instead of three hours, as it sees all requests; but it takes
twice as long to promote, and finds slowness only in the canary.

Where others are better, and what it costs them:

- The **peeked test** finds everything, and errors of 1 % in 20 minutes where canary takes 3 hours. It also
  rolls back 43 to 57 % of the equal candidates.
- **Kayenta** promotes equal candidates in 3 hours and errs in 0.4 to 1.5 % of them. It does not see the
  errors double (98 % promoted: a sample is of a hundred requests, of which none or one fails either way),
  nor accuracy, which has no labels yet, nor anything where requests are few. **With labels and samples of
  an hour** it finds all but the first ten failures and errors in little traffic, but judges once a day:
  after 4 days instead of 1.1, with six times the wrong answers, 250,000 failed ones of a broken release
  instead of 9, and its tenth of the requests does not grow.
- **Flagger** is done in 6 minutes and finds 5 % of errors and the slow tail as soon as canary does. It
  takes 63 % of those with 1 % of errors, 96 % of those twice as slow (their p99 is below 500 ms), and rolls
  back every equal one in an outage and 97 % of those with little traffic, as a minute without requests
  fails a check.
- **Argo Rollouts** is done in 40 minutes and does not err in the outage, as three measurements may fail. It
  takes 70 % of those with 5 % of errors, all those with 1 %, looks at no latency, rolls back 59 % of the
  equal ones with little traffic, and a broken one serves 7,865 failures.
- **Blue-green** and **rolling** need minutes or seconds and no labels. Without a control they cannot tell
  an outage from a broken version (blue-green rolls back all), bursts of errors count against them (10 and 4
  %), and what is usual has to be stated: up to 1 % of failures, so that errors that double from 0.5 to 1 %
  are taken by all, and twice the slow answers that were seen and 1 % more. They do not look at accuracy.
"""
