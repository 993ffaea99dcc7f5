"""Numbers and names of model versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from everloop.core.documents import dump
from everloop.core.errors import Invalid, UnknownVersion, nearest
from everloop.core.models import ModelVersion, SemanticVersion
from everloop.core.runs import Run

FIRST = SemanticVersion(1, 0, 0)
LATEST = "latest"
ALIASES = ("champion", "challenger")


def next_version(
    previous: ModelVersion | None, previous_run: Run | None, run: Run, taken: Collection[str] = ()
) -> SemanticVersion:
    """The number of the model that ``run`` made, above ``previous`` and all of ``taken``; the first is 1.0.0.

    Major: features, classes, task or target changed, so callers must change too (also when the previous run
    is not known and nobody can tell). Minor: the recipe changed. Patch: the same recipe on newer data.
    """
    used = [SemanticVersion.parse(text) for text in taken]
    if previous is not None:
        used.append(SemanticVersion.parse(previous.version))
    if not used:
        return FIRST
    top = max(used)
    if previous_run is None or _interface(previous_run) != _interface(run):
        return SemanticVersion(top.major + 1, 0, 0)
    if dump(previous_run.recipe) != dump(run.recipe):
        return SemanticVersion(top.major, top.minor + 1, 0)
    return SemanticVersion(top.major, top.minor, top.patch + 1)


def _interface(run: Run) -> tuple[object, ...]:
    """What callers of the model depend on. Features go by name, so their order does not matter; that of the
    classes is the order of the probabilities."""
    return frozenset(run.features), run.classes, run.task, run.recipe.target


def resolve(spec: str, versions: Sequence[ModelVersion], aliases: Mapping[str, str]) -> ModelVersion:
    """The version that ``1.2.0``, ``v1.2.0``, ``latest`` (the highest number) or an alias means.

    ``versions`` are those of one model, ``aliases`` its alias -> version. Raises UnknownVersion.
    """
    numbered = {str(SemanticVersion.parse(v.version)): v for v in versions}
    if spec == LATEST and versions:
        return max(versions, key=lambda v: SemanticVersion.parse(v.version))
    if spec in ALIASES and spec not in aliases:
        raise UnknownVersion(f"No version is {spec} yet.", remedy=nearest(spec, [*numbered, *aliases]))
    wanted = aliases.get(spec, spec).strip().removeprefix("v")
    if wanted not in numbered:
        known = [*numbered, *aliases, *([LATEST] if numbered else [])]
        raise UnknownVersion(f"There is no model version '{spec}'.", remedy=nearest(wanted, known))
    return numbered[wanted]


def split_spec(spec: str) -> tuple[str, str | None]:
    """``late@1.2.0`` is model ``late``, version ``1.2.0``; ``late`` alone leaves the version open (None)."""
    model, at, version = spec.strip().partition("@")
    if not model or (at and not version):
        raise Invalid(
            f"'{spec}' names no model version.", remedy="Write it as model@1.2.0 or model@champion."
        )
    return model, version or None
