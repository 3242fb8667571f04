# What this machine must have for the jobs that are about to run, the GPU that is asked for and memory; and what Snakemake
# must not take of it.
import json
from collections import Counter

from workflow_scripts.core.available_memory import available_bytes
from workflow_scripts.study.memory_bound import memory_bound

# Rules that run a network whose size the preset decides, and the step whose estimate counts for them.
NETWORK_RULES = {
    "train_model": "train_model",
    "sample_images": "sample_images",
    "sample_part": "sample_images",
    "probe_checkpoint": "probe_checkpoint",
}
# The sections of a preset that say how much memory a network's jobs need.
SIZES = ("model", "data", "training", "sampling", "curvature")


def check_machine(jobs):
    """Stop before the first job, with one line, when a GPU is asked for and not there or a job would not fit into memory.

    The check loads torch, in a process of its own, so it is made only where a bound without torch does not fit already. On
    a cluster neither the GPU nor the memory is this machine's: each job looks for its GPU, and has its own limit.
    """
    if not workflow.local_exec:
        return
    cores = workflow.cores or 1
    limit = workflow.global_resources.get("mem_mb")
    memory_mb = getattr(limit, "value", limit)
    counted = Counter()
    for job in jobs:
        if job.rule.name in NETWORK_RULES:
            settings = STUDY.arm(job.wildcards_dict["arm"]).settings
            counted[
                NETWORK_RULES[job.rule.name], canonical_json({name: settings[name] for name in SIZES})
            ] += 1
    needs = [
        {"rule": rule, "count": count, "settings": json.loads(sizes)}
        for (rule, sizes), count in counted.items()
    ]
    if not needs:
        return
    available = min((available_bytes() or float("inf")), (memory_mb or float("inf")) * 2**20)
    at_once = min(cores, counted.total())
    if (
        MACHINE["device"] != "cuda"
        and at_once * max(memory_bound(need["settings"]) for need in needs) <= available
    ):
        return
    settings = canonical_json({"jobs": needs, "cores": cores, "memory_mb": memory_mb})
    entry = [sys.executable, "-m", "workflow_scripts.steps.check_machine", "--settings", settings]
    checked = subprocess.run([*entry, "--machine", "device", MACHINE["device"]], cwd=ROOT)
    if checked.returncode:
        sys.exit(checked.returncode)


def select_only_after_jobs():
    """Let Snakemake look for jobs to start when one has ended, and not every second besides.

    For its limit of 100 jobs a second (`--max-jobs-per-timespan`) it looks at all ready jobs again a second after each
    look, and every job that ends begins another such chain (Snakemake 9.27, `JobScheduler.schedule`): the more jobs have
    ended, the more of a core is lost (docs/performance.md). Starting a job or calling sbatch takes longer than a hundredth
    of a second, so nothing reaches that limit. No option switches it off; a lower one that was asked for stays.
    """
    limiter = workflow.scheduler.job_rate_limiter
    if limiter is not None and limiter.max_jobs >= 100 * limiter.timespan:
        workflow.scheduler.job_rate_limiter = None
