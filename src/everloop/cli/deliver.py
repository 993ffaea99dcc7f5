"""``everloop deliver``."""

from __future__ import annotations

from everloop.core.errors import Unavailable

from . import late
from .call import Call, command, group

app = group("Send what waits for MLflow, now.")


@command(app)
def deliver(call: Call) -> None:
    """Send what waits for MLflow, now, in order, each record once.

    'everloop run' does this by itself; it is for later, when the server was away.

    \b
    Example:
      everloop deliver
    """
    with call.project() as project:
        uri = late.output.without_password(project.settings.tracking_uri)
        done = late.delivery.deliver(project)
    if done.problem:
        raise Unavailable(
            f"{done.waiting} waiting for MLflow at {uri}, {done.delivered} delivered: {done.problem}",
            remedy="Nothing is lost. Try again when the server is there: 'everloop doctor' says whether.",
        )

    def show() -> None:
        said = (
            f"{done.delivered} delivered to MLflow at {uri}."
            if done.delivered
            else "Nothing waits for MLflow."
        )
        late.output.line(said)
        if done.rejected:
            late.output.line(f"{done.rejected} refused for good; 'everloop doctor' shows why.")

    call.answer(
        {"delivered": done.delivered, "waiting": done.waiting, "rejected": done.rejected, "uri": uri}, show
    )
