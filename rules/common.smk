# Shared by all rule files: the study, its paths, how a step is called, and the checks before the first job.
# Imports no torch, so that planning is fast.
import os
import shlex
import subprocess
import sys
import time
from functools import cache
from itertools import groupby
from pathlib import Path

sys.path.insert(0, str(workflow.basedir))

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import ascii_json, read_json, require_writable
from workflow_scripts.core.leftover_jobs import cancel_leftover_jobs, target
from workflow_scripts.core.memory import oom_kills
from workflow_scripts.core.registry import constant_of, module_of, source_path
from workflow_scripts.core.snakemake_internals import (
    command_of,
    decide_reruns,
    executor_name,
    other_jobs,
    planned_jobs,
    select_jobs_when_one_has_ended,
    set_resources_like,
)
from workflow_scripts.provenance.manifest import edited_outputs, manifest_path, portable_path
from workflow_scripts.provenance.packages import code_of, lock_differences
from workflow_scripts.provenance.planned_jobs import COMMAND, parse_command
from workflow_scripts.provenance.up_to_date import UpToDate
from workflow_scripts.report.labels import verdict_table
from workflow_scripts.study.config import flatten, load_study, read_config
from workflow_scripts.study.description import gate_settings, report_settings, setting_files, verdict_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.measures import SETTINGS, STAGES, file_of, inputs_of, needs_of
from workflow_scripts.study.lock import amendments_path, lock_path
from workflow_scripts.study.power import redrawn_at
from workflow_scripts.study.preregistration import read_preregistrations

# Steps inherit this process's environment, on a cluster too. Without these they run the project's own code,
# notebooks run no start-up file of the user's, and figures need no screen.
os.environ.pop("PYTHONSAFEPATH", None)
os.environ.pop("PYTHONSTARTUP", None)
os.environ.update(MPLBACKEND="agg")
sys.stdout.reconfigure(errors="backslashreplace")  # no word that this terminal cannot show ends a run


def or_exit(function, *arguments):
    """Call the function; a PipelineError ends Snakemake with one line and no traceback."""
    try:
        return function(*arguments)
    except PipelineError as error:
        sys.exit(f"error: {error}")


ROOT = Path(workflow.basedir)
STARTED, OOM_KILLS = time.time(), oom_kills()
STUDY_NAME, PRESET, DATA_ROOT = or_exit(read_config, ROOT, config)
STUDY = or_exit(load_study, ROOT, STUDY_NAME, PRESET)
PREREGISTRATIONS = or_exit(read_preregistrations, ROOT, STUDY_NAME)
GATE_SETTINGS = or_exit(gate_settings, ROOT, STUDY, PREREGISTRATIONS)
VERDICT_SETTINGS = or_exit(verdict_settings, STUDY, PREREGISTRATIONS)
REPORT_SETTINGS = or_exit(report_settings, ROOT, STUDY, PREREGISTRATIONS)
SETTING_FILES = setting_files(STUDY)

RESULTS = f"results/{STUDY.name}/{STUDY.preset}"
REPORT = f"reports/{STUDY.name}/{STUDY.preset}"
RUN = f"{RESULTS}/runs/{{arm}}/seed{{seed}}"
ARMS = [arm.name for arm in STUDY.arms]
TRAINED = [arm.name for arm in STUDY.arms if arm.trained]

UP_TO_DATE = UpToDate(ROOT, DATA_ROOT)


@cache
def job_called(job):
    """The step that a job calls, with its files named as in manifests; None for a target."""
    command = command_of(job)
    return parse_command(command.partition(COMMAND)[2], ROOT) if command else None


def has_changed(job):
    """Whether the manifest of a job's outputs says that they were made with something else."""
    called = job_called(job)
    return called is not None and any(True for _ in UP_TO_DATE.changes(called))


def input_sha256(job, path):
    """The sum that an input had when the job last ran."""
    called = job_called(job)
    return called and UP_TO_DATE.input_sha256(called, portable_path(path, ROOT, DATA_ROOT))


decide_reruns(workflow, has_changed, input_sha256)


def checkpoint_steps(arm):
    """The training steps of an arm's checkpoints, the last of which judges it."""
    return STUDY.arm(arm).settings["training"]["checkpoint_steps"]


def final_step(arm):
    """The training step of an arm's samples."""
    return checkpoint_steps(arm)[-1] if arm in TRAINED else 0


# Settings of the machine, passed to steps; changing them reruns nothing.
MACHINE = {"device": config.get("device", "auto"), "save_every_s": config.get("save_every_s", 60)}
ON_A_GPU = {
    "train_network",
    "train_model",
    "sample_images",
    "extract_features",
    "probe_checkpoint",
    "judge_checkpoints",
}
# Enough for 8x8 images; torch alone takes about 500 MB.
SMALL = {"runtime": 30, "mem_mb": 2000}


def of_trained(*paths):
    """An input function: these files of a run, none of an arm without training."""
    return lambda wildcards: expand(paths, **wildcards) if wildcards.arm in TRAINED else []


def every_run(pattern, arms=ARMS, **wildcards):
    """The pattern for all runs of these arms; at points, for those runs that have the point."""

    def own(arm, seed):
        if "point" not in wildcards:
            return wildcards
        named = wildcards["point"]
        wanted = {named} if isinstance(named, str) else {*named}
        return {**wildcards, "point": [name for name in STUDY.points_of(arm, seed) if name in wanted]}

    return [
        path
        for arm, seed in STUDY.runs
        if arm in arms
        for path in expand(pattern, arm=arm, seed=seed, **own(arm, seed))
    ]


def limits(stage):
    """The resources of one job of a stage: {runtime in minutes, mem_mb}, from the preset or else SMALL.

    Changing them reruns nothing: Snakemake compares no resources.
    """
    return {**SMALL, **STUDY.resources.get(stage, {})}


def step(entry, inputs="", outputs="", wildcards="", machine=""):
    """The shell command of a step with the named inputs, outputs, wildcards and machine settings.

    The manifest is written beside the first output; all other outputs must be in that folder or below it.
    Moving the data root or changing a machine setting reruns nothing. `exec` replaces the shell with the
    step, so that the job's SIGTERM reaches the step in every version of bash.
    """
    words = [f"exec python -m workflow_scripts.steps.{entry} --settings {{params.settings:q}}"]
    words += [f"--input {name} {{input.{name}:q}}" for name in inputs.split()]
    words += [f"--output {name} {{output.{name}:q}}" for name in outputs.split()]
    words += [f"--wildcard {name} {{wildcards.{name}:q}}" for name in wildcards.split()]
    words += [f"--machine {name} {{MACHINE[{name}]:q}}" for name in machine.split()]
    return " ".join([*words, "--rule {rule} --data-root {DATA_ROOT:q} --log {log:q} --threads {threads}"])


def inputs_as_words(wildcards, input):
    """A parameter with the words of all inputs that are there, for rules whose inputs differ.

    Snakemake evaluates `shell` after a loop over rules has ended, but parameters for each rule.
    """
    return " ".join(
        f"--input {name} {shlex.join([paths] if isinstance(paths, str) else paths)}"
        for name, paths in input.items()
        if paths
    )


def arm_modules(name, *objects):
    """The modules of the objects that an arm names in these settings, for the setting `loads`."""
    settings = flatten(STUDY.arm(name).settings)
    given = [setting for setting in objects if setting in settings]
    return sorted({module_of(setting, settings[setting]) for setting in given})


def sections(wildcards, *names):
    """The named sections of an arm's resolved settings."""
    settings = STUDY.arm(wildcards.arm).settings
    return {name: settings[name] for name in names}


def shared(section, *keys):
    """The named settings of a section that all arms share, so that the others rerun nothing."""
    return {section: {key: STUDY.shared(section)[key] for key in keys}}


def shared_but(section, *left_out):
    """A section that all arms share without the named settings."""
    return {key: value for key, value in STUDY.shared(section).items() if key not in left_out}


def image_shape(arm):
    """What an arm's networks need to know of the data."""
    of_classes = STUDY.arm(arm).settings["method"].get("condition") == "class"
    return shared("data", "image_size", "channels", *["num_classes"] * of_classes)


# What defines the extractor's features (not its training).
FEATURE_SETTINGS = shared("extractor", "name", "kind", "feature_dim")


def run_identity(wildcards):
    """The run that a metric row describes."""
    return {
        "study": STUDY.name,
        "preset": STUDY.preset,
        "arm": wildcards.arm,
        "seed": int(wildcards.seed),
    }


def point_settings(name):
    """How many images a point has, and how they are generated: {num_samples, point}."""
    point = {key: value for key, value in STUDY.points[name].items() if key != "num_seeds"}
    return {"num_samples": point.pop("num_samples"), "point": point}


def before_the_first_job():
    """Exit with one line, before anything is computed or deleted, if a job of this run cannot succeed."""
    select_jobs_when_one_has_ended(workflow)
    jobs = planned_jobs(workflow)
    names = {job.rule.name for job in jobs}
    open_gate(ROOT, GATE_SETTINGS)
    require_writable([path for job in jobs for path in (*job.output, *job.log)])
    # On a cluster each job checks its own node for a GPU.
    if MACHINE["device"] == "cuda" and executor_name(workflow) == "local":
        if not names.isdisjoint(ON_A_GPU):
            run_check("check_machine", "--machine", "device", MACHINE["device"])
    check_outputs(jobs)
    used = [code_of(ROOT, called.entry, called.settings) for called in map(job_called, jobs) if called]
    packages = {name for found in used for name in found["packages"]["versions"]}
    for line in lock_differences(ROOT, packages):
        # Allowed: the installed packages, not the lock, decide what reruns.
        print(f"warning: {line}; results are those of what is installed", file=sys.stderr)
    if "prepare_data" in names:
        check_data()
    if "train_extractor" in names:
        check_inception()
    if executor_name(workflow) == "slurm":
        targets = {target(job.rule.name, job.wildcards_dict) for job in jobs}
        cancel_leftover_jobs(Path.cwd(), RESULTS, targets, lambda line: print(line, file=sys.stderr))


def run_check(entry, *arguments):
    """Run an entry point in its own process, because it imports torch; exit with its code if it fails."""
    command = [sys.executable, "-m", f"workflow_scripts.steps.{entry}", "--settings", "{}", *arguments]
    checked = subprocess.run(command, cwd=ROOT)
    if checked.returncode:
        sys.exit(checked.returncode)


def check_outputs(jobs):
    """Exit if a job would read a computed file that was edited; warn about other edited files."""
    read = {str(path) for job in jobs for path in job.input}
    manifests = [manifest_path(ROOT / job.output[0]) for job in other_jobs(workflow) if job.output]
    edited = edited_outputs(ROOT, manifests)
    for path, said in edited.items():
        print(f"{'error' if path in read else 'warning'}: {said}", file=sys.stderr)
    if read & edited.keys():
        sys.exit(1)


def closing_errors():
    """One line for each failed step of this run; with `quiet: rules` Snakemake itself shows none."""
    found = []
    for job in planned_jobs(workflow):
        log = Path(str(job.log))
        failed = not all(Path(path).exists() for path in job.output)
        if failed and log.is_file() and log.stat().st_mtime >= STARTED:
            lines = log.read_text("utf-8", "replace").splitlines()
            said = [line for line in lines if line.startswith("error: ")]
            said = said or [
                line for line in lines[-1:] if ": stopped by " in line or ": interrupted;" in line
            ]
            found += said or [f"error: {job.rule.name}: {silent_end(log)}; see {log}"]
    return "\n".join(["", *sorted(found)])


def silent_end(log):
    """Say how a step failed that wrote no error; a step that starts writes the lock beside its log."""
    lock = log.with_suffix(".lock")
    started = lock.is_file() and lock.stat().st_mtime >= STARTED
    how = "was killed before it reported an error" if started else "did not start, as is said above"
    memory = " (the kernel has ended a process for lack of memory)" if oom_kills() > OOM_KILLS else ""
    return f"{how}{memory}"


def closing_words():
    """The verdict table and the report's path, if this run wrote a report (`make data` does not)."""
    page = ROOT / REPORT / "report.html"
    if not page.is_file() or page.stat().st_mtime < STARTED:
        return ""
    return f"\n{verdict_table(read_json(ROOT / RESULTS / 'verdict.json'))}\n\nreport: {REPORT}/report.html"
