"""Jobs as Snakemake plans them, why each would run, edited outputs, and which jobs an update is sure of."""

import importlib.metadata
import os
from pathlib import Path

import pytest

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import sha256_text
from workflow_scripts.provenance import up_to_date
from workflow_scripts.provenance.manifest import edited_outputs, manifest_path, write_manifest
from workflow_scripts.provenance.planned_jobs import PlannedJob, dry_run, parse_command, planned_jobs
from workflow_scripts.provenance.why_planned import Explained, explain, plan_lines, total_words
from workflow_scripts.tools.update import certain_jobs

ROOT = Path(__file__).parents[3]
FILES = {"workflow_scripts/a.py": "1", "workflow_scripts/b.py": "2"}
VERSIONS = {"numpy": "2.4.6", "python": "3.11"}
CIRCUMSTANCES = {
    "wall_s": 90.0,
    "started": "",
    "ended": "",
    "threads": 1,
    "commit": None,
    "volatile_inputs": [],
    "volatile_outputs": [],
}
SNAKEFILE = """
rule all:
    input: "out/a.txt"
rule one:
    input: "in.txt"
    output: log="out/{name}.txt"
    shell: "exec python -m workflow_scripts.steps.one --settings '{{\\"x\\": 1}}' --input rows {input}"
           " --output log {output} --wildcard name {wildcards.name} --rule {rule}"
"""


def job(
    rule="train_model",
    inputs=("data.npz",),
    outputs=("results/run/log.csv", "results/run/1.pt"),
    settings=None,
    wildcards=None,
    reason="",
):
    return PlannedJob(
        rule,
        rule,
        wildcards or {"arm": "E2", "seed": "1077"},
        settings or {"loss": {"min_snr_gamma": 1.0}},
        [("in", path) for path in inputs],
        [("out", path) for path in outputs],
        reason,
    )


@pytest.fixture
def snakefile(tmp_path, monkeypatch):
    """A function that writes a Snakefile into an empty project; returns the project's folder."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def write(text):
        (tmp_path / "Snakefile").write_text(text)
        (tmp_path / "in.txt").touch()
        return tmp_path

    return write


def test_snakemake_9_27_1_describes_its_jobs_to_logger_plugins_as_planned_jobs_reads_them(snakefile):
    """Snakemake promises the events, not their fields; on another version, look here first."""
    assert importlib.metadata.version("snakemake") == "9.27.1"
    root = snakefile(SNAKEFILE)
    one, target = dry_run(root, ["name=b"], "--quiet", "all")
    assert (one["input"], one["output"]) == (["in.txt"], ["out/a.txt"])
    assert one["reason"].startswith("Missing output files: out/a.txt")
    assert (target["rule"], target["input"], target["output"]) == ("all", ["out/a.txt"], [])
    assert target["shellcmd"] is None
    (found,) = planned_jobs(root)
    assert found == PlannedJob(
        "one", "one", {"name": "a"}, {"x": 1}, [("rows", "in.txt")], [("log", "out/a.txt")], one["reason"]
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit('error: no such preset')", "cannot be planned: no such preset$"),
        (SNAKEFILE.replace("in.txt", "absent.txt"), "cannot be planned: Missing.*absent.txt"),
        ("rule all:\n    output: 'x'\n    shell: 'touch x'", "rule all cannot be planned: .* must call"),
    ],
)
def test_a_workflow_that_cannot_be_planned_is_one_line(snakefile, text, said):
    with pytest.raises(PipelineError, match=said) as error:
        planned_jobs(snakefile(text))
    assert "\n" not in str(error.value)


def test_a_command_line_is_read_back():
    call = (
        'train_model --settings \'{"arm": "E1 it\'"\'"\'s"}\' --input rows data/rows.json --input lock'
        " --output log a.csv --output timing b.json --wildcard seed 1 --rule train --data-root data"
        " --log a.log --threads 1"
    )
    assert parse_command(call, Path("/project")) == PlannedJob(
        "train_model",
        "train",
        {"seed": "1"},
        {"arm": "E1 it's"},
        [("rows", "data_root/rows.json")],
        [("log", "a.csv"), ("timing", "b.json")],
    )


@pytest.fixture
def code(monkeypatch):
    """The digests of files and the versions of packages that every step has now; tests change them."""
    now = {"files": dict(FILES), "versions": dict(VERSIONS)}
    code = {"source": now, "packages": now}
    monkeypatch.setattr(up_to_date, "code_of", lambda *_: code)
    return now


@pytest.fixture
def root(tmp_path, code):
    """A folder in which `job()` has run with what it would run with now."""
    made(tmp_path, job())
    return tmp_path


def made(root, done, settings=None):
    for path in (*done.input_paths, *done.output_paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    inputs, outputs = (
        [
            {"name": n, "path": p, "size": len(p), "sha256": sha256_text(p), "lineage_sha256": None}
            for n, p in kind
        ]
        for kind in (done.inputs, done.outputs)
    )
    lineage = {
        "rule": done.rule,
        "wildcards": done.wildcards,
        "entry": done.entry,
        "settings": settings or done.settings,
        "source": {"digest": "", "files": FILES},
        "packages": {"digest": "", "versions": VERSIONS},
        "inputs": inputs,
        "outputs": outputs,
    }
    write_manifest(manifest_path(root / done.output_paths[0]), lineage, CIRCUMSTANCES)


def own(root, planned):
    (found,) = explain([planned], root)
    return found.own


def test_changed_modules_and_packages_are_named_but_no_modules_under_another_python(root, code):
    code["files"]["workflow_scripts/b.py"] = "3"
    code["versions"]["numpy"] = "2.5.0"
    assert own(root, job()) == ("numpy 2.4.6 → 2.5.0", "changed: workflow_scripts/b.py")
    code["versions"] = {**VERSIONS, "python": "3.12"}
    assert own(root, job()) == ("python 3.11 → 3.12",)


def test_inputs_count_by_what_they_hold(root):
    (root / "data.npz").write_text("other")
    assert own(root, job()) == ("data.npz changed",)
    assert own(root, job(inputs=("new.npz",))) == ("data.npz is no longer an input", "new.npz is a new input")


def test_a_job_that_waits_for_another_has_no_reason_of_its_own(root):
    jobs = [job("prepare_data", inputs=(), outputs=("data.npz",)), job()]
    _, found = explain(jobs, root, seconds={"train_model": 40.0})
    assert (found.own, found.follows, found.seconds) == ((), ("prepare_data",), 40.0)


def test_jobs_of_one_reason_are_one_line_with_their_cost():
    why = ("loss.min_snr_gamma 5 → 1",)
    runs = [Explained(job(wildcards={"arm": "E2", "seed": seed}), why, (), 90.0) for seed in ("1077", "1078")]
    samples = job("sample_images", wildcards={"arm": "E2", "seed": "1077", "nfe": "0050"})
    after = Explained(samples, (), ("train_model",), None)
    assert plan_lines([after, *runs]) == [
        "2 × train_model, about 3 min: arm E2; seed 1077, 1078, because loss.min_snr_gamma 5 → 1",
        "1 × sample_images: arm E2; seed 1077; nfe 0050, after train_model",
    ]
    total = "about 3 min of work, 90 s or more on 2 cores, and 1 job that never ran here"
    assert total_words([after, *runs], 2) == total


def test_an_edited_output_is_found_and_a_new_time_alone_is_no_edit(root):
    place, file = manifest_path(root / "results/run/log.csv"), root / "results/run/1.pt"
    assert edited_outputs(root, [place, root / "gone.manifest.json"]) == {}
    later = place.stat().st_mtime_ns + 1
    os.utime(file, ns=(later, later))
    assert edited_outputs(root, [place]) == {}
    file.write_text("results/run/2.pt")  # as long as before
    os.utime(file, ns=(later, later))
    (found,) = edited_outputs(root, [place]).items()
    assert found[0] == "results/run/1.pt" and "delete it to have it made again" in found[1]
    os.utime(file, ns=(0, 0))  # the stated shortcut: size and an old time are believed
    assert edited_outputs(root, [place]) == {}


def test_certain_jobs_are_those_that_wait_for_none_and_new_files_after_them(root):
    train = job()
    new_samples = job("sample_images", inputs=("results/run/1.pt",), outputs=("new.npz",))
    new_metrics = job("compute_metrics", inputs=("new.npz",), outputs=("new.json",))
    (root / "old.json").write_text("{}")
    (root / "old.npz").write_text("")
    old_samples = job("sample_images", inputs=("results/run/1.pt",), outputs=("old.npz",))
    after_old = job("compute_metrics", inputs=("old.npz",), outputs=("never.json",))
    results = job("collect", inputs=("new.json", "old.json"), outputs=("results.jsonl", "old.json"))
    jobs = [results, after_old, old_samples, new_metrics, new_samples, train]
    assert certain_jobs(jobs, root) == [new_metrics, new_samples, train]
