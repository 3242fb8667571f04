"""The tamper table: each way of falsifying a finished run, and where the audit finds it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.workflow.projects import SMOKE, run_module, snakemake
from workflow_scripts.core.files import read_json, sha256_file
from workflow_scripts.provenance.lineage import StepIndex, StepRecord, computed_files, trace
from workflow_scripts.provenance.manifest import write_manifest
from workflow_scripts.provenance.planned_jobs import planned_files
from workflow_scripts.tools import audit

RESULTS, REPORT = "results/MS1_min_snr/smoke", "reports/MS1_min_snr/smoke"
RUN = f"{RESULTS}/runs/E2_minsnr_linear/seed1077"
CHECKPOINT, SAMPLES = f"{RUN}/checkpoints/step0000040.pt", f"{RUN}/samples/ddpm_nfe0050.npz"
PAGE, FIGURE = f"{REPORT}/report.html", f"{REPORT}/figures/hypotheses.png"


@pytest.fixture(scope="session")
def plan(smoke_run):
    """What Snakemake would run for the untouched project."""
    return planned_files(smoke_run[0], ["preset=smoke"])


@pytest.fixture
def mismatches(finished, plan, monkeypatch, capsys):
    """Audit everything; return mismatches as {path: [(check, message)]}. The untouched plan is reused."""

    def call(*arguments: str) -> dict[str, list[tuple[str, str]]]:
        monkeypatch.setattr(audit, "planned_files", lambda root, config: plan)
        code = audit.main([*arguments, "--json", "--config", "preset=smoke"], root=finished)
        said = json.loads(capsys.readouterr().out)
        found: dict[str, list[tuple[str, str]]] = {}
        for problem in said["problems"]:
            found.setdefault(problem["path"], []).append((problem["check"], problem["message"]))
        assert code == (1 if found else 0) and said["passed"] is (not found)
        return found

    return call


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def replace(project: Path, name: str, old: str, new: str) -> None:
    text = (project / name).read_text()
    assert old in text, f"{name} no longer holds {old!r}"
    (project / name).write_text(text.replace(old, new, 1))


def maker(project: Path, name: str) -> StepRecord:
    (step,) = StepIndex(project).makers(name)
    return step


def edit_to_match(project: Path, name: str, change=lambda lineage: None) -> None:
    """Edit the manifest of a file, so that it has the file's sum now and its own sums hold."""
    step = maker(project, name)
    found = step.manifest
    for file in [*found["lineage"]["outputs"], *found["circumstances"]["volatile_outputs"]]:
        if file["path"] == name and file["sha256"] is not None:
            file |= {"size": (project / name).stat().st_size, "sha256": sha256_file(project / name)}
    change(found["lineage"])
    write_manifest(project / step.path, found["lineage"], found["circumstances"])


def swap(project: Path) -> None:
    other = CHECKPOINT.replace("seed1077", "seed1078")
    first, second = (project / CHECKPOINT).read_bytes(), (project / other).read_bytes()
    assert first != second
    (project / CHECKPOINT).write_bytes(second)
    (project / other).write_bytes(first)


def change_a_line(project: Path) -> None:
    """Lower one value of the results, and edit their manifest to match."""
    path = project / RESULTS / "results.jsonl"
    lines = path.read_text().splitlines()
    row = json.loads(lines[3])
    lines[3] = json.dumps({**row, "value": row["value"] * 0.9})
    path.write_text("\n".join(lines) + "\n")
    edit_to_match(project, f"{RESULTS}/results.jsonl")


MANIFEST = ".manifest.json"
# what was done -> the paths at which something must be found, and words that one of the messages must hold
TABLE = {
    "one byte of samples": (lambda p: flip(p / SAMPLES), {SAMPLES}, "sample_images arm=E2_minsnr_linear"),
    "one byte of a measured duration": (
        lambda p: flip(p / RUN / "timing.json"),
        {f"{RUN}/timing.json"},
        "train_model",
    ),
    "one byte of a template": (
        lambda p: flip(p / "reports/templates/summary.md.j2"),
        {"reports/templates/summary.md.j2"},
        "write_summary read",
    ),
    "swapped checkpoints": (
        swap,
        {CHECKPOINT, CHECKPOINT.replace("1077", "1078")},
        "train_model arm=E2_minsnr_linear seed=1078 wrote",
    ),
    "a results line and its manifest changed to match": (
        change_a_line,
        {
            f"{RESULTS}/results.jsonl",
            f"{RESULTS}/verdict.json{MANIFEST}",
            f"{REPORT}/figures/frechet_vs_nfe.svg{MANIFEST}",
        },
        "decide_verdict names",
    ),
    "the settings in a manifest changed to match": (
        lambda p: edit_to_match(
            p, CHECKPOINT, lambda lineage: lineage["settings"]["loss"].update(min_snr_gamma=1.0)
        ),
        {f"{RUN}/log.csv{MANIFEST}", f"{SAMPLES}{MANIFEST}"},
        "ran with older settings: loss.min_snr_gamma 1.0 -> 5.0",
    ),
    "the preregistration changed after the run": (
        lambda p: replace(p, "docs/experiments/E2_pre_reg.md", "0.07", "0.06"),
        {"docs/experiments/E2_pre_reg.md"},
        "check_preregistration read",
    ),
    "a file gone": (lambda p: (p / SAMPLES).unlink(), {SAMPLES}, "is missing"),
    "a manifest gone": (lambda p: (p / f"{SAMPLES}{MANIFEST}").unlink(), {SAMPLES}, "is gone"),
    "a file and its manifest gone": (
        lambda p: [(p / SAMPLES).unlink(), (p / f"{SAMPLES}{MANIFEST}").unlink()],
        {SAMPLES},
        "is gone",
    ),
    "the sampler changed since": (
        lambda p: replace(p, "workflow_scripts/sampling/sample.py", "x_T", "x_start_noise"),
        {f"{SAMPLES}{MANIFEST}"},
        "changed since: workflow_scripts/sampling/sample.py",
    ),
    "a manifest that is not JSON": (
        lambda p: (p / f"{SAMPLES}{MANIFEST}").write_text("{"),
        {f"{SAMPLES}{MANIFEST}"},
        "is not valid JSON",
    ),
}


def test_an_untouched_run_passes(mismatches):
    assert mismatches() == {}


@pytest.mark.parametrize("name", TABLE)
def test_tampering_is_found_where_it_was_done(finished, mismatches, name):
    tamper, paths, said = TABLE[name]
    tamper(finished)
    found = mismatches()
    assert paths <= found.keys(), found
    assert any(said in message for path in paths for _, message in found[path]), found
    # a byte changed in one file is no reason to doubt the others
    if name.startswith(("one byte of", "swapped")):
        assert found.keys() == paths


def test_one_flipped_byte_is_found_in_every_file_of_the_lineage_and_in_every_manifest(finished, mismatches):
    lineage = trace(finished, computed_files(finished, "MS1_min_snr", "smoke"))
    files = {
        file.path for step in lineage.steps.values() for file in [*step.inputs, *step.outputs] if file.sha256
    }
    assert len(files) > 100 and {PAGE, CHECKPOINT, "docs/experiments/E1_pre_reg.md"} <= files
    for path in files:
        flip(finished / path)
    found = mismatches()
    assert {path for path, problems in found.items() if "file" in dict(problems)} >= files
    names = {path.relative_to(finished).as_posix() for path in finished.rglob(f"*{MANIFEST}")}
    assert len(names) > 50
    for name in names:
        flip(finished / name)
    assert names <= mismatches().keys()


def audited(project: Path, *arguments: str):
    return run_module(project, "workflow_scripts.tools.audit", *arguments)


def test_a_touched_output_of_older_settings_and_code_is_found(finished):
    """`snakemake --touch` changes times, not manifests; neither the plan nor the audit believes it."""
    replace(finished, SMOKE, "batch_size: 32", "batch_size: 16")
    replace(finished, "workflow_scripts/sampling/sample.py", "x_T", "x_start_noise")
    assert snakemake(finished, "--touch").returncode == 0
    assert "train_model" in snakemake(finished, "--dry-run").stdout
    done = audited(finished, SAMPLES, "--config", "preset=smoke")
    assert done.returncode == 1
    for words in ("training.batch_size 32 -> 16", "changed since: workflow_scripts/sampling/sample.py"):
        assert words in done.stdout, words


def test_a_figure_on_a_slide_leads_back_to_its_run(finished, mismatches, tmp_path):
    for kind in ("png", "svg"):
        slide = tmp_path / f"slide.{kind}"
        shutil.copy(finished / FIGURE.replace("png", kind), slide)
        assert mismatches(str(slide)) == {}
    text = slide.read_text()
    slide.write_text(text.replace("</svg>", "<!-- changed --></svg>"))
    assert mismatches(str(slide)).keys() == {"slide.svg"}
    slide.write_text(text.replace('"input_lineage_sha256":"', '"input_lineage_sha256":"0', 1))
    assert "belongs to another state of the run" in mismatches(str(slide))["slide.svg"][0][1]
    slide.write_text(text.replace('"preset":"smoke"', '"preset":"other"', 1))
    assert "holds no such run" in mismatches(str(slide))["slide.svg"][0][1]


def test_a_folder_and_a_manifest_stand_for_what_they_hold(finished, plan, monkeypatch, capsys):
    monkeypatch.setattr(audit, "planned_files", lambda root, config: plan)
    drawn = [path for path in (finished / REPORT / "figures").iterdir() if not path.name.endswith(MANIFEST)]
    for name, number in ((f"{REPORT}/figures", len(drawn)), (f"{RUN}/log.csv{MANIFEST}", 5)):
        assert audit.main([str(finished / name), "--json"], root=finished) == 0
        assert len(json.loads(capsys.readouterr().out)["roots"]) == number


def test_a_figure_is_made_again_byte_for_byte_and_its_tree_reaches_the_ground(finished):
    done = audited(finished, FIGURE, "--rerun-check", "--config", "preset=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    for words in (
        "dataset scikit-learn digits: training images",
        "docs/experiments/E2_pre_reg.md",
        "draw_hypotheses: code",
        "train_model arm=E1_baseline_linear seed=1078",
        "see above",
        "audit: pass",
    ):
        assert words in done.stdout, words
    root = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith(f"root of {FIGURE}"))
    assert maker(finished, FIGURE).lineage_sha256 == root


def test_what_nothing_depends_on_needs_a_rerun_or_a_noted_sum(finished, mismatches):
    """The report rewritten together with its manifest: sums alone cannot tell, making it again can."""
    page = str(finished / PAGE)
    assert mismatches(page, "--rerun-check") == {}
    replace(finished, PAGE, "</body>", "<p>Better by far.</p></body>")
    edit_to_match(finished, PAGE)
    assert mismatches(page) == {}
    assert mismatches(page, "--rerun-check")[PAGE][0][0] == "rerun"
    noted = maker(finished, PAGE).lineage_sha256
    assert mismatches(page, "--expect", noted) == {} != mismatches(page, "--expect", "0" * 64)


def test_two_equal_runs_of_a_step_have_one_lineage(finished):
    """Training, a figure and the report, run again: only measurements differ, outside the lineage."""
    outputs = [f"{RUN}/log.csv", f"{REPORT}/figures/training_curves.svg", PAGE]
    before = [read_json(finished / f"{path}{MANIFEST}") for path in outputs]
    # in two calls: in one, everything between training and the report would run as well
    for targets in (outputs[:1], outputs[1:]):
        again = snakemake(finished, "--force", *targets)
        assert again.returncode == 0, again.stderr
    after = [read_json(finished / f"{path}{MANIFEST}") for path in outputs]
    assert [found["lineage_sha256"] for found in before] == [found["lineage_sha256"] for found in after]
    for old, new in zip(before, after, strict=True):
        assert old["circumstances"]["started"] < new["circumstances"]["started"], "it did not run again"
    for number in (0, 2):  # the duration, and the page that shows it
        sums = [found[number]["circumstances"]["volatile_outputs"][0]["sha256"] for found in (before, after)]
        assert sums[0] != sums[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["README.md"], "error: no step made README.md, and it does not say what run it belongs to"),
        (
            [f"{RESULTS}/absent.json"],
            f"error: {RESULTS}/absent.json is not there, and no step's manifest names it",
        ),
        (
            ["--config", "preset=unheard_of"],
            "error: nothing of MS1_min_snr, preset unheard_of, has been computed",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(finished, arguments, said):
    done = audited(finished, *arguments)
    assert done.returncode == 2 and done.stderr.startswith(said) and len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
