"""Numbers go up, and by how much says what changed; names find the version they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.registry.makers import run, version

from everloop.core.errors import Invalid, UnknownVersion
from everloop.core.models import SemanticVersion
from everloop.core.runs import Recipe
from everloop.registry.versions import next_version, resolve, split_spec


def test_the_first_version_is_one():
    assert str(next_version(None, None, run())) == "1.0.0"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"data_version": "e" * 64, "train_rows": 900, "seconds": 2.0}, "1.2.4"),
        ({"features": ("distance", "carrier")}, "1.2.4"),
        ({"recipe": Recipe(target="late", params={"C": 2.0})}, "1.3.0"),
        ({"recipe": Recipe(target="late", params={"C": 1.0}, estimator="random_forest")}, "1.3.0"),
        ({"features": ("carrier",)}, "2.0.0"),
        ({"classes": ("late", "on time", "cancelled")}, "2.0.0"),
        ({"classes": ("on time", "late")}, "2.0.0"),
        ({"task": "regression", "classes": ()}, "2.0.0"),
        ({"recipe": Recipe(target="cancelled", params={"C": 1.0})}, "2.0.0"),
    ],
)
def test_the_step_says_what_changed(changes, expected):
    assert str(next_version(version("1.2.3"), run(), run(**changes))) == expected


def test_a_recipe_that_went_through_json_is_the_same_recipe():
    before, after = (Recipe(target="late", params={"layers": layers}) for layers in ((10, 5), [10, 5]))
    assert str(next_version(version("1.0.0"), run(recipe=before), run(recipe=after))) == "1.0.1"


def test_a_previous_run_that_is_not_known_could_have_had_any_inputs():
    assert str(next_version(version("1.2.3"), None, run())) == "2.0.0"


def test_versions_go_above_all_that_are_taken():
    taken = ["1.2.3", "1.2.4", "v1.10.0"]
    assert str(next_version(version("1.2.3"), run(), run(), taken)) == "1.10.1"
    assert str(next_version(None, None, run(), ["1.0.0"])) == "2.0.0"


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "features": st.sampled_from([("a",), ("a", "b"), ("b", "a")]),
        "classes": st.sampled_from([("x", "y"), ("x", "y", "z")]),
        "task": st.sampled_from(["classification", "regression"]),
        "recipe": st.builds(Recipe, target=st.sampled_from("ab"), seed=st.integers(0, 2)),
        "data_version": st.sampled_from(["d1", "d2"]),
    },
)
NUMBERS = st.builds(SemanticVersion, *[st.integers(0, 30)] * 3).map(str)


@given(st.lists(st.tuples(CHANGES, st.booleans()), min_size=1, max_size=12), st.lists(NUMBERS, max_size=4))
def test_versions_always_increase(steps, taken):
    """Whatever changes, and whichever version a run was trained after (the newest or the first)."""
    made = []
    for changes, after_newest in steps:
        current = run(**changes)
        previous, previous_run = (made[-1] if after_newest else made[0]) if made else (None, None)
        number = next_version(previous, previous_run, current, [*taken, *(v.version for v, _ in made)])
        assert all(number > SemanticVersion.parse(other) for other in taken)
        assert all(number > SemanticVersion.parse(v.version) for v, _ in made)
        made.append((version(str(number)), current))


VERSIONS = [version(n) for n in ("1.0.0", "1.9.0", "1.10.0")]
ALIASES = {"champion": "1.9.0"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("1.0.0", "1.0.0"),
        ("v1.0.0", "1.0.0"),
        ("champion", "1.9.0"),
        ("latest", "1.10.0"),
    ],
)
def test_a_name_finds_its_version(spec, expected):
    assert resolve(spec, VERSIONS, ALIASES).version == expected


@pytest.mark.parametrize(
    ("spec", "message", "remedy"),
    [
        ("1.9.1", "no model version '1.9.1'", "Did you mean '1.9.0'?"),
        ("champoin", "no model version 'champoin'", "Did you mean 'champion'?"),
        ("challenger", "No version is challenger yet", "Known: '1.0.0', '1.10.0', '1.9.0', 'champion'."),
    ],
)
def test_an_unknown_name_helps(spec, message, remedy):
    with pytest.raises(UnknownVersion) as caught:
        resolve(spec, VERSIONS, ALIASES)
    assert message in caught.value.message
    assert caught.value.remedy == remedy


@pytest.mark.parametrize("spec", ["latest", "champion", "1.0.0"])
def test_a_model_without_versions_has_none_to_name(spec):
    with pytest.raises(UnknownVersion) as caught:
        resolve(spec, [], {})
    assert caught.value.remedy == "There is none yet."


def test_an_alias_of_a_version_that_is_gone_is_unknown():
    with pytest.raises(UnknownVersion, match="'champion'"):
        resolve("champion", VERSIONS, {"champion": "3.0.0"})


@pytest.mark.parametrize(
    ("spec", "parts"), [("late@1.2.0", ("late", "1.2.0")), ("late", ("late", None)), (" a@b ", ("a", "b"))]
)
def test_a_spec_is_model_and_version(spec, parts):
    assert split_spec(spec) == parts


@pytest.mark.parametrize("spec", ["", "@1.0.0", "late@"])
def test_half_a_spec_is_refused(spec):
    with pytest.raises(Invalid, match="names no model version"):
        split_spec(spec)
