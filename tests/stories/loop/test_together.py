"""Several workers on one database: what calls for a retraining is considered once, and done once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.stories.loop.town import MODEL, Town, turned, work

from everloop.flows import models
from everloop.flows.serving import jobs
from everloop.wiring import connect

WORKERS = 3


def test_workers_share_one_retraining(open_town: Callable[..., Town], url: str) -> None:
    town = open_town(url, on=("performance", "labels"))
    town.day_of()
    for _ in range(7):
        town.day_of(turned)
    town.look()
    others = [replace(connect(town.project.settings, town.clock), clock=town.clock) for _ in range(WORKERS)]
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(work, others))
    finally:
        for each in others:
            each.close()
    work(town.project)
    (done,) = [one for one in town.decisions() if one.run_id]
    assert (done.code, done.outcome) == ("changed_world", "promoted")
    assert {each.kind for each in done.triggers} == {"performance", "labels"}
    assert [one.version.version for one in models.list_models(town.project, MODEL)] == ["1.0.0", "1.0.1"]
    assert {(job.status, job.attempts) for job in jobs.list_jobs(town.project)} == {("done", 1)}
    keys = [each.key for one in town.decisions() for each in one.triggers]
    assert len(keys) == len(set(keys))
