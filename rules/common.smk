# What every rule file uses: the study, its paths, and how a step is called. Imports no torch, so that planning is fast.
import atexit
import subprocess
import sys
import time
from pathlib import Path

from snakemake.io import IOFile

sys.path.insert(0, str(workflow.basedir))

from workflow_scripts.core.chunks import chunk_folder
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.last_words import last_words
from workflow_scripts.core.other_runs import lock_advice
from workflow_scripts.core.writable import require_writable
from workflow_scripts.core.files import canonical_json, read_json, sha256_file
from workflow_scripts.provenance.edited_outputs import edited_outputs
from workflow_scripts.provenance.packages import lock_differences, package_versions
from workflow_scripts.provenance.source_closure import source_digest
from workflow_scripts.study.config import load_study, read_config
from workflow_scripts.study.description import gate_settings, report_settings, verdict_settings
from workflow_scripts.study.gate import open_gate
from workflow_scripts.study.lock import amendments_path, lock_path
from workflow_scripts.study.preregistration import read_preregistrations
from workflow_scripts.study.setting_files import setting_files
from workflow_scripts.report.terminal import verdict_table

ROOT = Path(workflow.basedir)
STARTED = time.time()

try:
    STUDY_NAME, PRESET, DATA_ROOT = read_config(ROOT, config)
    STUDY = load_study(ROOT, STUDY_NAME, PRESET)
    PREREGISTRATIONS = read_preregistrations(ROOT, STUDY)
    GATE_SETTINGS = gate_settings(ROOT, STUDY, PREREGISTRATIONS)
    VERDICT_SETTINGS = verdict_settings(STUDY, PREREGISTRATIONS)
    REPORT_SETTINGS = report_settings(ROOT, STUDY, PREREGISTRATIONS)
    SETTING_FILES = setting_files(ROOT, STUDY)
except PipelineError as error:
    # One line, no traceback: the mistake is in a file that the user wrote.
    sys.exit(f"error: {error}")

RESULTS = f"results/{STUDY.name}/{STUDY.preset}"
REPORT = f"reports/{STUDY.name}/{STUDY.preset}"
RUN = f"{RESULTS}/runs/{{arm}}/seed{{seed}}"
PARTS = config.get("parts", 1)
ARMS = [arm.name for arm in STUDY.arms]
FINAL_STEP = REPORT_SETTINGS["final_step"]


# Settings of the machine that steps are told; they decide no result, and changing them runs nothing again.
MACHINE = {"device": config.get("device", "auto"), "save_every_s": config.get("save_every_s", 60)}


def step(entry, inputs="", outputs="", wildcards="", machine=""):
    """The shell command of a step: the named inputs and outputs are those that the entry point takes.

    Rule and wildcards are for the manifest. It lies beside the first output, so that one is named first in whose folder,
    or below it, all others lie (provenance/manifest.py looks there). Snakemake compares the command before it is filled
    in, so moving the data root or changing a `machine` setting runs nothing again. `exec` makes the step take the place of
    the shell, so that a SIGTERM for the job reaches it, whatever the version of bash.
    """
    words = [f"exec python -m workflow_scripts.steps.{entry} --settings {{params.settings:q}}"]
    words += [f"--input {name} {{input.{name}:q}}" for name in inputs.split()]
    words += [f"--output {name} {{output.{name}:q}}" for name in outputs.split()]
    words += [f"--wildcard {name} {{wildcards.{name}:q}}" for name in wildcards.split()]
    words += [f"--machine {name} {{MACHINE[{name}]:q}}" for name in machine.split()]
    return " ".join([*words, "--rule {rule} --data-root {DATA_ROOT:q} --log {log:q} --threads {threads}"])


def source(entry, modules=()):
    """The digest of a step's source closure; as a parameter it makes a change in any imported module count.

    `modules` are those that the step's setting `loads` names.
    """
    return or_exit(source_digest, ROOT, entry, modules)


PACKAGES = set()  # the names of all that counts for a step that has been asked about


def packages(entry, modules=()):
    """The digest of the installed packages that a step's numbers depend on (provenance/packages.py has the policy)."""
    found = or_exit(package_versions, ROOT, entry, modules)
    PACKAGES.update(found["versions"])
    return found["digest"]


def or_exit(function, *arguments):
    """What the function returns; the workflow ends with one line where the project's own files are wrong."""
    try:
        return function(*arguments)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def sections(wildcards, *names):
    """The named sections of an arm's resolved settings."""
    settings = STUDY.arm(wildcards.arm).settings
    return {name: settings[name] for name in names}


def image_shape():
    """The part of the data settings that networks need; the rest must not retrain anything."""
    data = STUDY.shared("data")
    return {"image_size": data["image_size"], "channels": data["channels"]}


def extractor_settings():
    """The part of the extractor's settings that says what its features are, not how it was trained."""
    extractor = STUDY.shared("extractor")
    return {"extractor": {key: extractor[key] for key in ("name", "kind", "feature_dim")}}


def run_identity(wildcards, step_number):
    """What says which run and checkpoint a metric row is about."""
    return {
        "study": STUDY.name,
        "preset": STUDY.preset,
        "arm": wildcards.arm,
        "seed": int(wildcards.seed),
        "step": step_number,
    }


def sampler_settings(name):
    """A sampler's settings without its NFE list: {name, eta}."""
    samplers = STUDY.shared("sampling")["samplers"]
    return next({"name": s["name"], "eta": s.get("eta")} for s in samplers if s["name"] == name)


def part_of(output):
    """The pattern of the files that say that one of several jobs has done its share of the work on `output`.

    They lie among the chunks of work, which the job that gathers them deletes in the end.
    """
    return f"{chunk_folder(Path(output))}/part{{part}}of{{parts}}"


def parts_of(output, entry, settings):
    """Input function: what every part of `output` leaves, before it is put together; nothing where it is one job.

    A file that is there keeps the number of parts it was made in, as Snakemake recorded it, while settings and code
    stand. Otherwise another `parts` would make finished files again, for having other inputs.
    """

    def inputs(wildcards):
        path = IOFile(output.format(**wildcards))
        folder = chunk_folder(Path(path))
        if workflow.remote_exec:  # inside a cluster's job, which starts when its inputs are there
            return sorted(map(str, folder.glob("part*of*[0-9]")))
        made_by = set(workflow.persistence.params(path) or ()) if Path(path).is_file() else set()
        if {repr(value) for value in (settings(wildcards), source(entry), packages(entry))} <= made_by:
            return [name for name in workflow.persistence.input(path) if Path(name).parent == folder]
        numbers = range(1, PARTS + 1) if PARTS > 1 else ()
        return [part_of(output).format(**wildcards, part=number, parts=PARTS) for number in numbers]

    return inputs


def share_settings(wildcards):
    """Which part of how many a job does."""
    return {"part": int(wildcards.part), "parts": int(wildcards.parts)}


def check_gate():
    """Stop before the first job, with one line, unless the preregistration's gate is open."""
    try:
        open_gate(ROOT, GATE_SETTINGS)
    except PipelineError as error:
        sys.exit(f"error: {error}")


def note_packages():
    """Say which packages are not the locked ones; that is allowed, since what is installed decides what runs again."""
    for line in lock_differences(ROOT, PACKAGES):
        print(f"warning: {line}; results are those of what is installed", file=sys.stderr)


def check_writable(jobs):
    """Stop before the first job where an output or a log of one could not be written; Snakemake would meet it on the way."""
    or_exit(require_writable, [path for job in jobs for path in (*job.output, *job.log)])


def check_outputs(dag):
    """Stop before the first job if one would read a computed file that was edited; warn of edited files none reads."""
    running = set(dag.needrun_jobs())
    read = {str(path) for job in running for path in job.input}
    firsts = [str(job.output[0]) for job in dag.jobs if job.output and job not in running]
    edited = edited_outputs(ROOT, firsts)
    for found in edited:
        print(f"{'error' if found.path in read else 'warning'}: {found}", file=sys.stderr)
    if any(found.path in read for found in edited):
        sys.exit(1)


def check_inception(jobs):
    """Stop before the first job unless the Inception weights that one of the jobs needs are there or can be had.

    This is no rule: a training job that depended on it would run again whenever the extractor changed, and one that did
    not would start beside a download that may fail.
    """
    extractor = STUDY.shared("extractor")
    if extractor["kind"] == "inception" and "train_extractor" in {job.rule.name for job in jobs}:
        flag = "--input" if extractor.get("weights") else "--output"
        entry = [sys.executable, "-m", "workflow_scripts.steps.supply_inception", "--settings", "{}"]
        supplied = subprocess.run([*entry, flag, "weights", INCEPTION_WEIGHTS], cwd=ROOT)
        if supplied.returncode:
            sys.exit(supplied.returncode)


def closing_words():
    """The verdict table and where the report lies, for the terminal, when this run made them (`make data` does not)."""
    page = ROOT / REPORT / "report.html"
    if not page.is_file() or page.stat().st_mtime < STARTED:
        return ""
    return f"\n{verdict_table(read_json(ROOT / RESULTS / 'verdict.json'))}\n\nreport: {REPORT}/report.html"


def closing_errors():
    """What the failed steps of this run said, in one line each, after Snakemake's own long account of them."""
    logs = [(job.rule.name, Path(path)) for job in workflow.dag.needrun_jobs() for path in job.log]
    started = [(name, path) for name, path in logs if path.is_file() and path.stat().st_mtime >= STARTED]
    return "\n".join(["", *(line for name, path in sorted(started) for line in last_words(name, path))])


def explain_lock():
    """After Snakemake's account of a lock that it found, which names no process: one line that says what to do."""
    if workflow.executor_plugin is not None and not workflow.dryrun and workflow.persistence.locked:
        print(lock_advice(Path.cwd()), file=sys.stderr)


if workflow.is_main_process:
    # No hook of Snakemake's runs when it finds a lock. Where it took the lock itself, that is gone by now.
    atexit.register(explain_lock)
