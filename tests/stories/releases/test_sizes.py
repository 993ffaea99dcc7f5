"""The size of an A/B test, asked before there is a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.test_cli import everloop

import everloop as python
from everloop.deployment.samplesize import size_of_means, size_of_proportions


def test_units_and_time_for_a_change_of_a_rate(tmp_path: Path) -> None:
    done = everloop(
        tmp_path, "release", "size", "--rate", "0.1", "--change", "0.01", "--traffic", "1000/hour"
    )
    assert done.code == 0, done.err
    heads, once, agreed, always, words = done.out.splitlines()[:5]
    assert heads.split("  ")[0] == "looked at"
    assert " ".join(once.split()) == "once, at the end 0.01 0.8 14,751 29,502 1.2 days"
    assert agreed.startswith("all the time, to its end")
    assert always.startswith("all the time, without end")
    assert words.startswith("1 variant beside a control, alpha 0.05")
    sizes = everloop(
        tmp_path, "release", "size", "--rate", "0.1", "--to", "0.11", "--traffic", "1000/hour", "--json"
    ).json["sizes"]
    assert sizes["once"] == {
        "difference": 0.01, "power": 0.8, "units": 14_751, "total": 29_502, "seconds": 29_502 * 3.6,
    }  # fmt: skip
    assert sizes["always"]["units"] > sizes["agreed"]["units"] > 14_751
    assert list(tmp_path.iterdir()) == []  # no project is needed, nor made


def test_means_of_several_variants_and_what_so_many_units_find(tmp_path: Path) -> None:
    means = ("release", "size", "--sd", "12.5", "--variants", "2", "--power", "0.9")
    sizes = everloop(tmp_path, *means, "--difference", "1", "--json").json["sizes"]
    units = size_of_means(1, 12.5, power=0.9, variants=2)
    assert (sizes["once"]["units"], sizes["once"]["total"]) == (units, 3 * units)
    found = everloop(tmp_path, *means, "--units", str(units), "--json").json["sizes"]
    assert found["once"]["difference"] == pytest.approx(1, rel=1e-3)
    both = ("release", "size", "--rate", "0.1", "--change", "-0.02", "--units", "3213", "--json")
    assert everloop(tmp_path, *both).json["sizes"]["once"]["power"] == pytest.approx(0.8, abs=0.001)


@pytest.mark.parametrize(
    ("options", "message", "remedy"),
    [
        ("", "what is compared", "Give the control's rate"),
        ("--rate 0.1", "Neither a difference nor", "Give the difference"),
        ("--rate 2 --change 1", "The rate is 2", "between 0 and 1"),
        ("--rate 0.1 --change 0.01 --to 0.2", "--change 0.01 and --to 0.2", "one of the two"),
        ("--rate 0.1 --difference 1", "--difference 1 is one of means", "--change"),
        ("--sd 1 --to 0.2", "are those of a rate", "--difference"),
        ("--sd 1 --difference 1 --traffic lots", "--traffic: 'lots' is no number", "1000/hour"),
        ("--sd 1 --difference 1 --variants 0", "0 variants", "from 1 on"),
    ],
)
def test_what_has_no_answer_is_refused(tmp_path: Path, options: str, message: str, remedy: str) -> None:
    done = everloop(tmp_path, "release", "size", *options.split())
    assert done.code in (20, 21)
    said, _, to_do = done.err.partition("what to do: ")
    assert message in said
    assert remedy in to_do


def test_the_same_from_python() -> None:
    sizes = python.ab_test_size(rate=0.1, difference=0.02, power=0.9, hourly=500)
    units = size_of_proportions(0.1, 0.12, power=0.9)
    assert sizes["once"] == {
        "difference": 0.02, "power": 0.9, "units": units, "total": 2 * units,
        "seconds": 2 * units / 500 * 3600,
    }  # fmt: skip
    with pytest.raises(python.DeploymentError, match="what is compared"):
        python.ab_test_size(difference=1)
