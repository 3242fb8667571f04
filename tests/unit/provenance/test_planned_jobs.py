"""From planned jobs to words: reasons found in manifests, jobs of one reason in one line, edited files, rounds."""

import os
import time
from pathlib import Path

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_text
from workflow_scripts.provenance import planned_jobs as module
from workflow_scripts.provenance.edited_outputs import edited_outputs
from workflow_scripts.provenance.manifest import manifest_path, write_manifest
from workflow_scripts.provenance.plan_words import Explained, duration, plan_lines, total_words
from workflow_scripts.provenance.planned_commands import PlannedCommand
from workflow_scripts.provenance.planned_jobs import PlannedJob, planned_jobs
from workflow_scripts.provenance.why_planned import Reasons, reasons_of
from workflow_scripts.tools.update import certain_jobs

FILES = {"workflow_scripts/a.py": "1", "workflow_scripts/b.py": "2"}
CIRCUMSTANCES = {
    "wall_s": 90.0,
    "started": "",
    "ended": "",
    "threads": 1,
    "commit": None,
    "volatile_inputs": [],
    "volatile_outputs": [],
}
VERSIONS = {"numpy": "2.4.6", "python": "3.11"}


def job(
    rule="train_model",
    inputs=("data.npz",),
    outputs=("run/log.csv", "run/1.pt"),
    settings=None,
    wildcards=None,
    **code,
):
    command = PlannedCommand(
        rule,
        rule,
        wildcards or {"arm": "E2", "seed": "1077"},
        settings or {"loss": {"min_snr_gamma": 1.0}},
        [("in", path) for path in inputs],
        [("out", path) for path in outputs],
    )
    files, versions = code.get("files", FILES), code.get("versions", VERSIONS)
    return PlannedJob(
        command,
        {"digest": str(files), "files": files},
        {"digest": str(versions), "versions": versions},
        code.get("reason", ""),
    )


@pytest.fixture
def root(tmp_path):
    """A folder in which `job()` has run with what it would run with now."""
    made(tmp_path, job())
    return tmp_path


def made(root, done, settings=None, files=None, versions=None):
    for path in (*done.inputs, *done.outputs):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    described = [
        [
            {"name": n, "path": p, "size": len(p), "sha256": sha256_text(p), "lineage_sha256": None}
            for n, p in kind
        ]
        for kind in (done.command.inputs, done.command.outputs)
    ]
    lineage = {
        "rule": done.rule,
        "wildcards": done.command.wildcards,
        "entry": done.command.entry,
        "settings": settings or done.command.settings,
        "source": {"digest": "", "files": files or FILES},
        "packages": {"digest": "", "versions": versions or VERSIONS},
        "inputs": described[0],
        "outputs": described[1],
    }
    write_manifest(manifest_path(root / done.outputs[0]), lineage, CIRCUMSTANCES)


def own(root, planned, **makers):
    return reasons_of(planned, makers, root).own


def test_a_changed_setting_is_named_old_and_new(root):
    made(root, job(), settings={"loss": {"min_snr_gamma": 5.0}})
    assert own(root, job()) == ("loss.min_snr_gamma 5 → 1",)


def test_a_setting_of_one_of_several_named_things_says_of_which(root):
    before = {"arms": [{"name": "E1", "gamma": 5.5}, {"name": "E2", "gamma": 5.5}]}
    made(root, job(), settings=before)
    now = {"arms": [{"name": "E1", "gamma": 5.5}, {"name": "E2", "gamma": 20.0}]}
    assert own(root, job(settings=now)) == ("arms[E2].gamma 5.5 → 20",)


def test_changed_modules_and_packages_are_named(root):
    planned = job(files={**FILES, "workflow_scripts/b.py": "3"}, versions={**VERSIONS, "numpy": "2.5.0"})
    assert own(root, planned) == ("numpy 2.4.6 → 2.5.0", "changed: workflow_scripts/b.py")


def test_under_another_python_modules_are_not_blamed(root):
    planned = job(files={"workflow_scripts/a.py": "9"}, versions={**VERSIONS, "python": "3.12"})
    assert own(root, planned) == ("python 3.11 → 3.12",)


def test_inputs_count_by_what_they_hold(root):
    (root / "data.npz").write_text("other")
    assert own(root, job()) == ("data.npz changed",)
    assert own(root, job(inputs=("new.npz",))) == ("data.npz is no input any more", "new.npz is a new input")


def test_a_job_that_waits_for_another_has_no_reason_of_its_own(root):
    maker = job("prepare_data", inputs=(), outputs=("data.npz",))
    assert reasons_of(job(), {"data.npz": maker}, root) == Reasons((), ("prepare_data",))


def test_missing_and_never_made(root):
    (root / "run/1.pt").unlink()
    assert own(root, job()) == ("missing: run/1.pt",)
    assert own(root, job(outputs=("run2/log.csv",))) == ("there is none yet",)


def test_without_a_manifest_only_snakemake_is_quoted(root):
    manifest_path(root / "run/log.csv").unlink()
    planned = job(reason="Params have changed since last execution: before: ...")
    assert own(root, planned) == ("its settings, code or packages changed (no manifest says what they were)",)
    assert own(root, job(reason="Something new: x")) == ("something new",)


def explained(own=(), follows=(), seconds=90.0, **planned):
    return Explained(job(**planned), Reasons(tuple(own), tuple(follows)), seconds)


def test_jobs_of_one_reason_are_one_line_with_their_cost():
    why = ["loss.min_snr_gamma 5 → 1"]
    runs = [explained(why, wildcards={"arm": "E2", "seed": seed}) for seed in ("1077", "1078")]
    after = explained(
        follows=["train_model"],
        rule="sample_images",
        wildcards={"arm": "E2", "seed": "1077", "nfe": "0050"},
        seconds=None,
    )
    assert plan_lines([after, *runs]) == [
        "2 training runs, about 3 min: E2 seeds 1077, 1078, because loss.min_snr_gamma 5 → 1",
        "1 set of samples: E2 seed 1077 nfe 50, after train_model",
    ]
    assert (
        total_words([after, *runs], 2)
        == "about 3 min of work, 90 s or more on 2 cores, and 1 job that never ran here"
    )


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (99, "99 s"), (180, "3 min"), (9000, "2.5 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_an_edited_output_is_found_and_an_untouched_one_believed(root):
    assert edited_outputs(root, ["run/log.csv", "gone/log.csv"]) == []
    time.sleep(0.01)
    (root / "run/1.pt").write_text("run/2.pt")  # as long as before
    (found,) = edited_outputs(root, ["run/log.csv"])
    assert found.path == "run/1.pt" and "delete it to have it made again" in str(found)
    os.utime(root / "run/1.pt", ns=(0, 0))  # the stated shortcut: size and an old time are believed
    assert edited_outputs(root, ["run/log.csv"]) == []


def test_a_new_time_alone_is_no_edit(root):
    time.sleep(0.01)
    os.utime(root / "run/1.pt")
    assert edited_outputs(root, ["run/log.csv"]) == []


def test_certain_jobs_are_those_that_wait_for_none_and_what_was_never_made_after_them(root):
    train = job()
    new_samples = job("sample_images", inputs=("run/1.pt",), outputs=("new.npz",))
    new_metrics = job("compute_metrics", inputs=("new.npz",), outputs=("new.json",))
    (root / "old.json").write_text("{}")
    (root / "old.npz").write_text("")
    old_samples = job("sample_images", inputs=("run/1.pt",), outputs=("old.npz",))
    after_old = job("compute_metrics", inputs=("old.npz",), outputs=("never.json",))
    results = job("collect", inputs=("new.json", "old.json"), outputs=("results.jsonl", "old.json"))
    jobs = [results, after_old, old_samples, new_metrics, new_samples, train]
    assert certain_jobs(jobs, root) == [new_metrics, new_samples, train]


def test_a_dry_run_that_cannot_be_read_whole_is_an_error(monkeypatch):
    text = [
        "Job stats:",
        "job    count",
        "---  ---",
        "train_model  2",
        "all  1",
        "total  3",
        "",
        "rule train_model:",
        "    reason: Forced",
        "Shell command: python -m workflow_scripts.steps.train_model --settings '{}' --output log a.csv --rule train_model",
    ]
    root = Path(__file__).parents[3]
    monkeypatch.setattr(module, "dry_run", lambda *_: text)
    with pytest.raises(PipelineError, match="plans 2 jobs, of which 1 could be read"):
        planned_jobs(root)
    monkeypatch.setattr(module, "dry_run", lambda *_: [line.replace("  2", "  1") for line in text])
    (found,) = planned_jobs(root)
    assert (found.rule, found.reason, found.outputs) == ("train_model", "Forced", ["a.csv"])
    assert (
        "workflow_scripts/training/loop.py" in found.source["files"] and "torch" in found.packages["versions"]
    )
