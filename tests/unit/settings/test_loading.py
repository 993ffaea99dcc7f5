"""Layers, their order, where values come from, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from everloop.core.errors import FileMissing, InvalidSettings
from everloop.settings import Settings, load_settings
from everloop.settings.writing import standalone

S0 = """
logging: {level: "INFO", file: "logs/app.log"}
paths: {data_versions: "data_versions", model_registry: "model_registry", monitoring: "monitoring"}
data_versioning: {enabled: true, hash_algorithm: "sha256"}
monitoring:
  metrics_history_file: "metrics_history.json"
  drift_history_file: "drift_history.json"
  accuracy_min_threshold: 0.70
  drift_threshold: 5.0
  drift_min_samples: 50
training: {model_type: "logistic", random_state: 42, test_size: 0.2, max_iter: 500, C: 1.0}
pipeline: {evaluate_after_retrain: true}
"""
FLOWERS = """
training: {test_size: 0.25}
models:
  iris: {data: {path: iris.csv}, target: species, training: {random_state: 1, test_size: 0.3}}
  other: {data: {path: other.csv}, target: y}
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def loaded(text: str, variables: dict[str, str] | None = None, flags: tuple[str, ...] = ()) -> Settings:
        (tmp_path / "everloop.yaml").write_text(text)
        return load_settings(folder=tmp_path, variables=variables or {}, flags=flags)

    return loaded


def test_the_configuration_of_s0_is_one_model_on_synthetic_customers(load: Any) -> None:
    settings = load(S0)
    model = settings.models["default"]
    assert model.data.example.name == "customers"
    recipe = model.recipe("classification")
    assert (recipe.estimator, recipe.seed, dict(recipe.params)) == (
        "logistic",
        42,
        {"max_iter": 500, "C": 1.0},
    )
    assert model.retrain_policy("classification").performance_min == 0.7
    assert settings.data_place == str(settings.root / "data_versions")


def test_a_models_own_value_is_over_the_shared_one_of_the_same_layer(load: Any) -> None:
    settings = load(FLOWERS)
    assert settings.models["iris"].training.test_size == 0.3
    assert settings.models["other"].training.test_size == 0.25
    assert settings.origins["models.other.training.test_size"] == "everloop.yaml"


@pytest.mark.parametrize(
    ("variables", "flags", "seed", "origin"),
    [
        ({}, (), 1, "everloop.yaml"),
        ({"RANDOM_SEED": "7"}, (), 7, "environment RANDOM_SEED"),
        ({"EVERLOOP_TRAINING__RANDOM_STATE": "8"}, (), 8, "environment EVERLOOP_TRAINING__RANDOM_STATE"),
        ({"RANDOM_SEED": "7"}, ("training.random_state=9",), 9, "flag --set training.random_state"),
        ({"EVERLOOP_MODELS__iris__TRAINING__RANDOM_STATE": "5"}, (), 5,
         "environment EVERLOOP_MODELS__iris__TRAINING__RANDOM_STATE"),
    ],
)  # fmt: skip
def test_environment_and_flags_override_what_the_file_says_of_one_model(
    load: Any, variables: dict[str, str], flags: tuple[str, ...], seed: int, origin: str
) -> None:
    settings = load(FLOWERS, variables, flags)
    assert settings.models["iris"].training.random_state == seed
    assert settings.origins["models.iris.training.random_state"] == origin


def test_the_environment_may_name_a_model_in_capitals(load: Any) -> None:
    settings = load(FLOWERS, {"EVERLOOP_MODELS__IRIS__TRAINING__C": "0.5"})
    assert settings.models["iris"].training.C == 0.5
    assert sorted(settings.models) == ["iris", "other"]


def test_escapes_of_json_are_characters(load: Any) -> None:
    settings = load('{"models": {"m": {"data": {"path": "a"}, "target": "\\ud83d\\ude00"}}}')
    assert settings.models["m"].target == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        ("retraining.on=[drft]", "'retraining.on.0' is 'drft'"),
        ("retraining.approve=[trian]", "'retraining.approve.0' is 'trian'"),
        ("gate.fairness=[{column: plan, max_difference: high}]", "gate.fairness.0.max_difference"),
        ("gate.fairness={column: plan, max_difference: high}", "gate.fairness.max_difference' is 'high'"),
        (
            "gate.latency_max=abc",
            "gate.latency_max: it is 'abc'; write seconds, 0.005, or a span of time, 0.005s",
        ),
        ("retraining.period=1000000d", "retraining.period: '1000000d' is more than a century"),
        ("retraining.cooldown=99999999999d", "retraining.cooldown: '99999999999d' is more than a century"),
        ("monitoring.window=1000000w", "monitoring.window: '1000000w' is more than a century"),
    ],
)
def test_what_is_wrong_has_its_key_and_origin(load: Any, flag: str, says: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        load(FLOWERS, flags=(flag,))
    assert says in raised.value.message
    assert f"(from flag --set {flag.partition('=')[0]})" in raised.value.message


def test_dotenv_is_under_the_environment(load: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("RANDOM_SEED=3\nEVERLOOP_TENANT=acme\nUNRELATED=1\n")
    settings = load(FLOWERS, {"RANDOM_SEED": "4"})
    assert settings.tenant == "acme"
    assert settings.models["iris"].training.random_state == 4


def test_config_path_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "c.yaml").write_text("project: there")
    settings = load_settings(folder=tmp_path, variables={"CONFIG_PATH": "elsewhere/c.yaml"})
    assert settings.project == "there"
    assert settings.root == tmp_path / "elsewhere", "relative paths start at the file"


def test_the_file_is_found_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "everloop.yaml").write_text("project: above")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert load_settings(folder=tmp_path / "a" / "b", variables={}).project == "above"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainng: {C: 1}", "Unknown setting 'trainng' in the top level .*Did you mean 'training'"),
        ("training: {model_tpe: x}", "Unknown setting 'model_tpe' in training .*Did you mean 'model_type'"),
        ("training: {test_size: 1.5}", r"'training.test_size' is 1.5: .*less than 1 \(from everloop.yaml\)"),
        ("training: {cross_validation: 1}", "0 .none. or at least 2 folds"),
        ("monitoring: {performance_min: 0.5, accuracy_min_threshold: 0.5}", "not both"),
        ("monitoring: {performance_min: 1.5, metric: roc_auc}", "1.5, and roc_auc is between 0 and 1"),
        ("monitoring: {performance_min: -0.1, metric: f1_macro}", "-0.1, and f1_macro is between 0 and 1"),
        ("monitoring: {performance_min: .nan}", "performance_min is nan"),
        ("models: {m: {data: {path: a, example: {}}, target: y}}", "either path .a file. or example"),
        ("models: {m: {data: {path: a}}}", "'models.m.target' is missing"),
        ("models: {m: {data: {path: a}, target: y, training: {split: time}}}", "needs time_column"),
        ("models: {'../m': {data: {path: a}, target: y}}", "models"),
        ("models: [a]", "not a mapping of names"),
        ("models: {m: }", "models.m is empty"),
        ("a: 1\na: 2", "line 2: the key 'a' is there twice"),
        ("a: [", "everloop.yaml, line 1"),
        ("- a", "not sections"),
        (
            "models: {m: {data: {path: a}, target: y, monitoring: {metrics_history_file: x}}}",
            "Unknown setting",
        ),
        ("tenant: 'a b'", "tenant.*cannot be a name.*letters, digits"),
        ("backup: {every: 5x}", "is '5x', which is no span of time.*30s, 15m, 6h, 7d or 2w"),
        ("release: {dwell: soon}", "'release.dwell' is 'soon', which is no span of time"),
        ("backup: {every: 30s}", "backup.every: '30s' is too often; give a minute or more"),
        ("backup: {to: 's3://'}", "neither a folder nor s3://BUCKET"),
        ("models: {m: {data: {path: a}, target: y, positive: yes}}", "is True.*in quotes"),
        ("models: {m: {data: {path: a}, target: y, exclude: x}}", "is 'x', which is not a list"),
        (
            "environments: {prod: {aproval: x}}",
            "Unknown setting 'aproval' in environments.prod .*Did you mean 'approval'",
        ),
        ("environments: {prod: {rule: x}}", "Known: 'after', 'approval', 'time', 'validated'"),
        ("environments: {prod: {after: stagging}}", "environments.prod.after is 'stagging'.*'staging'"),
        ("environments: {prod: {after: Production}}", "ever come to prod: prod after prod"),
        (
            "environments: {prod: {after: lab}, lab: {after: dev}, dev: {after: production}}",
            "ever come to prod: prod after lab after dev after prod",
        ),
        ("environments: {prod: {approval: ''}}", "environments.prod.approval: name a role"),
        ("environments: {prod: {time: 24h}}", "time is 24h, and 'after' does not say in which"),
        ("environments: {prod: {}, production: {approval: a}}", "has 'prod' twice, once as 'production'"),
        ("serving: {environment: porduction}", "serving.environment is 'porduction'"),
        ("training: 5", "is 5, which is not a section"),
        (
            "retraining: {new_labels: true}",
            "retraining.new_labels: it is True, a switch, and a number is wanted",
        ),
        ("models:", "not a mapping of names"),
        (
            "data_versioning: {memory: 100MB}",
            r"'data_versioning.memory' is '100MB', which is no number .*digits alone, such as 2000000000\.",
        ),
        ("models: {m: {data: {path: a}, target: y, training: {C: much}}}", r"is 'much'.*digits alone\."),
        ("tracking: {wait: 30s}", r"'tracking.wait' is '30s', which is no number .*such as 30\.0"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(load: Any, text: str, said: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(text)
    import re

    assert re.search(said, str(caught.value)), str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissing, match=r"no configuration file 'c\.yaml'"):
        load_settings("c.yaml", folder=tmp_path, variables={})


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "everloop.yaml").write_bytes(b"project: \xff")
    with pytest.raises(InvalidSettings, match="not UTF-8"):
        load_settings(folder=tmp_path, variables={})


def test_accuracy_says_nothing_of_a_regression(load: Any) -> None:
    model = load(S0).models["default"]
    policy = model.retrain_policy("regression")
    assert (policy.metric, policy.performance_min) == ("rmse", None)


def test_a_section_without_settings_has_its_defaults(load: Any) -> None:
    settings = load("training:\nmodels: {m: {data: {path: a}, target: y, gate: , business: }}")
    assert settings.models["m"].training == Settings().training
    assert settings.models["m"].gate == Settings().gate


@pytest.mark.parametrize("name", ["production", "Prod", "PRODUCTION"])
def test_an_environment_has_one_name_however_it_is_written(load: Any, name: str) -> None:
    rules = "{after: Stage, approval: owner}"
    text = f"environments: {{{name}: {rules}, lab: }}\nserving: {{environment: {name}}}"
    settings = load(text, {"EVERLOOP_ENVIRONMENTS__PROD__VALIDATED": "true"})
    assert list(settings.environments) == ["prod", "lab"]
    prod = settings.environments["prod"]
    assert (prod.after, prod.approval, prod.validated) == ("staging", "owner", True)
    assert settings.origins["environments.prod.approval"] == "everloop.yaml"
    assert settings.serving.environment == "prod"


def test_numbers_name_columns_classes_and_models(load: Any) -> None:
    model = load("models: {2024: {data: {path: a}, target: 7, positive: 1, exclude: [3]}}").models["2024"]
    assert (model.name, model.target, model.positive, model.exclude) == ("2024", "7", "1", ("3",))


def test_what_a_gate_asks_is_read_as_it_is_written(load: Any) -> None:
    one = "{column: sex, max_difference: 0.1}"
    text = f"gate: {{frozen: 'default@golden', latency_max: 0.005s, fairness: {one}}}"
    policy = load(text).models["default"].gate_policy()
    assert (policy.frozen, policy.latency_max) == ("default@golden", 0.005)
    assert [(rule.column, rule.metric, rule.max_difference, rule.min_rows) for rule in policy.fairness] == [
        ("sex", "selection_rate", 0.1, 30)
    ]
    several = load(f"gate: {{latency_max: 2, fairness: [{one}, {{column: age, min_ratio: 0.8}}]}}")
    assert [rule.column for rule in several.models["default"].gate_policy().fairness] == ["sex", "age"]
    again = type(several).model_validate(several.model_dump(mode="json"))
    assert again.gate == several.gate


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("{fairness: {column: sex}}", "give either max_difference"),
        ("{fairness: {column: sex, max_difference: 0.1, min_ratio: 0.8}}", "give either max_difference"),
        ("{fairness: {column: sex, metric: luck, min_ratio: 0.8}}", "selection_rate"),
        ("{latency_max: soon}", "latency_max"),
        ("{latency_max: 0s}", "greater than 0"),
    ],
)
def test_what_a_gate_cannot_ask_is_said(load: Any, gate: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        load(f"gate: {gate}")


def test_the_key_on_is_that_word_and_not_true(load: Any) -> None:
    asked = load("retraining: {on: [drift]}")
    assert asked.retraining.on == asked.models["default"].retraining.on == ("drift",)
    assert load("", {"EVERLOOP_RETRAINING": "{on: [labels]}"}).retraining.on == ("labels",)
    assert "on: [drift]" in standalone("retraining: {on: [drift]}", "t", Path()).replace("'", "")


def test_what_is_wrong_for_all_models_is_told_once(load: Any) -> None:
    with pytest.raises(InvalidSettings) as told:
        load(f"retraining: {{budget: 0}}\n{FLOWERS}")
    assert "more to correct" not in told.value.remedy
    with pytest.raises(InvalidSettings) as told:
        load(f"retraining: {{budget: 0, rollout: canry}}\n{FLOWERS}")
    assert "There is 1 more to correct" in told.value.remedy


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("alll", "'alll'. Name classes in a list"),
        ("null", "None. Name classes"),
        ("[all]", "Write answers: all"),
        ("[all, late]", "Write answers: all"),
        ("[1.5]", "Name classes"),
    ],
)
def test_answers_that_decide_are_classes_or_all(load: Any, answers: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says) as told:
        load(
            f"models: {{m: {{data: {{path: a}}, target: y, serving: {{feedback: {{answers: {answers}}}}}}}}}"
        )
    assert "tuple" not in told.value.message
    kept = "models: {m: {data: {path: a}, target: y, serving: {feedback: {answers: [yes, 1, late]}}}}"
    assert load(kept).models["m"].serving.feedback.answers == ("true", "1", "late")


@pytest.mark.parametrize("name", ["period", "retry"])
def test_spans_that_have_to_pass_are_longer_than_nothing(load: Any, name: str) -> None:
    with pytest.raises(InvalidSettings, match=f"retraining.{name}: it is '0d', and has to be longer"):
        load(f"retraining: {{{name}: 0d}}")
    assert load("retraining: {cooldown: 0s}").retraining.cooldown == "0s"
