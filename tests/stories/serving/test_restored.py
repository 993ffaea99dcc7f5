"""What a backup brings back of serving, and what it leaves as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.stories.serving.log import lines, write

from everloop.flows import backup
from everloop.flows.loop import asking, working
from everloop.flows.project import Project
from everloop.flows.serving import history, jobs, labels, recording
from everloop.flows.serving.labels import LabelItem


def standing(project: Project) -> dict[str, str | None]:
    return {each.prediction_id[-1]: each.label for each in history.page(project)[0]}


def test_labels_and_jobs_come_back_and_predictions_stay(
    open_project: Callable[..., Project], trained: Project, tmp_path: Path
) -> None:
    trained = open_project(backup={"to": str(tmp_path / "backups")})
    write(trained, lines(range(2)))
    recording.record(trained)
    labels.add(trained, [LabelItem("pred_000000", "setosa"), LabelItem("pred_000003", "virginica")])
    asked = asking.ask(trained, "iris")
    saved = backup.create(trained)
    labels.add(trained, [LabelItem("pred_000000", "virginica"), LabelItem("pred_000001", "setosa")])
    working.run_next(trained)
    write(trained, lines(range(2, 4)))
    recording.record(trained)
    backup.restore(trained, saved.id, over=True)
    assert standing(trained) == {"0": "setosa", "1": None, "2": None, "3": "virginica"}
    assert [(job.job_id, job.status) for job in jobs.list_jobs(trained)] == [(asked.job_id, "queued")]
    write(trained, lines(range(4, 5)))
    assert recording.record(trained).rows == 1  # nothing is read twice, nothing is left out
    done = working.run_next(trained)
    assert done is not None
    assert done.status == "done"
