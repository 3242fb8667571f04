"""Metric rows: complete and finite, merged in one order, never compared when unlike."""

from __future__ import annotations

import json
import random

import pytest

from tests.unit.study.made_up_rows import changed, fd_row, trace_row
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import read_json_lines, write_json, write_json_lines
from workflow_scripts.core.step import Step
from workflow_scripts.steps import collect_results
from workflow_scripts.study.results import check_row, identity, merge_rows, read_rows, require_comparable


def test_complete_rows_are_accepted():
    ddim, interval = {"sampler": "ddim", "eta": 0.0}, {"interval": [-0.1, 13]}
    for row in (fd_row(), fd_row(value=3), fd_row(**ddim), fd_row(**interval), trace_row()):
        check_row(row, "here")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"value": float("nan")}, "value of a metric row is nan, must be a finite number"),
        ({"value": float("inf")}, "value of a metric row is inf"),
        ({"value": True}, "value of a metric row is True"),
        ({"value": "12"}, "value of a metric row is '12'"),
        ({"interval": [float("-inf"), 1.0]}, "interval of a metric row is [-inf, 1.0], must be two finite"),
        ({"interval": [1.0]}, "interval of a metric row is [1.0]"),
        ({"interval": [2.0, 1.0]}, "a metric row has an interval from 2.0 to 1.0"),
        ({"seed": 1077.0}, "seed of a metric row is 1077.0, must be a whole number"),
        ({"num_samples": [1]}, "on of a metric row is {'num_samples': [1]"),
        ({"eta": float("nan")}, "from of a metric row is "),
        ({"arm": None}, "arm of a metric row is None, must be text"),
        ({"step": None}, "from of a metric row lacks step"),
        ({"n_samples": 1500}, "a metric row has unknown n_samples"),
    ],
)
def test_a_wrong_value_names_the_file_and_the_field(changes, message):
    with pytest.raises(PipelineError, match="here: ") as error:
        check_row(fd_row(**changes), "here")
    assert message in str(error.value)


def test_what_stands_twice_in_a_row_is_refused():
    with pytest.raises(PipelineError, match="a metric row gives nfe twice"):
        check_row(fd_row() | {"on": {"nfe": 50}}, "here")


def test_rows_that_differ_only_in_arm_seed_and_result_are_comparable():
    own = {"arm": "E2_minsnr_linear", "seed": 1078, "value": 1.0, "checkpoint_sha256": "0" * 64}
    require_comparable(fd_row(), fd_row(**own, stderr=0.1, interval=[0.9, 1.1]))
    kept = {"study", "preset", "metric", *fd_row()["on"], *fd_row()["from"]} - {"checkpoint_sha256"}
    assert set(identity(fd_row())) == kept


@pytest.mark.parametrize("name", sorted(identity(fd_row())))
def test_any_other_difference_is_refused_with_both_values(name):
    with pytest.raises(PipelineError) as error:
        require_comparable(fd_row(), changed(fd_row(), **{name: "another"}))
    assert f"differ in {name} ({identity(fd_row())[name]!r} and 'another')" in str(error.value)
    require_comparable(fd_row(), changed(fd_row(), **{name: "another"}), may_differ=[name])


def test_merge_orders_by_content_whatever_the_order_given():
    arms, seeds, nfes, steps = ("E1_a", "E2_b"), (9, 10), (50, 100), (500, 2000)
    rows = [fd_row(arm=arm, seed=seed, nfe=nfe) for arm in arms for seed in seeds for nfe in nfes]
    rows += [trace_row(step=step, objective=name) for step in steps for name in ("common", "own")]
    merged = merge_rows(random.Random(0).sample(rows, len(rows)))
    assert merged == merge_rows(rows)
    # numbers sort as numbers, so seed 9 before 10 and NFE 50 before 100
    order = [(row["seed"], row["from"]["nfe"]) for row in merged if row["arm"] == "E1_a"]
    assert order == [(9, 50), (9, 100), (10, 50), (10, 100)]


def test_a_measurement_given_twice_is_an_error_even_with_another_checkpoint():
    with pytest.raises(PipelineError, match="given twice with one identity .values 12.3 and 9.0."):
        merge_rows([fd_row(), fd_row(value=9.0, checkpoint_sha256="0" * 64)])


def test_the_three_file_formats_are_read(tmp_path):
    write_json(tmp_path / "metrics.json", [fd_row()])
    write_json(tmp_path / "probe.json", {"rows": [trace_row()], "timestep_mse": []})
    write_json_lines(tmp_path / "run.jsonl", [fd_row(), trace_row()])
    both = read_rows(tmp_path / "metrics.json") + read_rows(tmp_path / "probe.json")
    assert both == read_rows(tmp_path / "run.jsonl") == [fd_row(), trace_row()]


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"timestep_mse": []}', " holds no list of metric rows"),
        ("[1, 2]", " holds no list of metric rows"),
        (json.dumps([fd_row(), fd_row(nfe=100, value=None)]), ", row 2: value of a metric row is None"),
        (json.dumps([{"value": 1.0}]), ", row 1: a metric row lacks arm, "),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path, content, message):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(PipelineError, match=f"metrics.json{message}"):
        read_rows(tmp_path / "metrics.json")


def collect(paths, output):
    collect_results.main(Step("collect_results", {}, {"rows": list(paths)}, {"results": [output]}))


def test_collecting_per_run_and_then_per_study_equals_collecting_at_once(tmp_path):
    files = []
    for arm in ("E2_minsnr_linear", "E1_baseline_linear"):
        metrics, probe = tmp_path / f"{arm}_metrics.json", tmp_path / f"{arm}_probe.json"
        write_json(metrics, [fd_row(arm=arm, nfe=nfe) for nfe in (100, 50)])
        write_json(probe, {"rows": [trace_row(arm=arm)], "timestep_mse": []})
        collect([metrics, probe], tmp_path / f"run{len(files)}.jsonl")
        files += [metrics, probe]
    collect([tmp_path / "run2.jsonl", tmp_path / "run0.jsonl"], tmp_path / "study.jsonl")
    collect(files, tmp_path / "at_once.jsonl")
    assert (tmp_path / "study.jsonl").read_bytes() == (tmp_path / "at_once.jsonl").read_bytes()
    assert len(read_json_lines(tmp_path / "study.jsonl")) == 6
