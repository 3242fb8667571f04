# What only matters on a cluster: how much one job may take, and the jobs that a killed Snakemake left in the queue.
from workflow_scripts.core.leftover_jobs import cancel_leftover_jobs, target
from workflow_scripts.study.config import load_preset

# Limits of the preset's stages. They change no result, so they are no setting of a step: Snakemake compares no resources,
# and a change runs nothing again. On one machine nothing reads them.
LIMITS = load_preset(ROOT, STUDY.preset).get("resources", {})
# Enough for images of 8 pixels; torch alone takes about 500 MB.
SMALL = {"runtime": 30, "mem_mb": 2000}


def limits(stage):
    """{runtime in minutes, mem_mb} of a stage's jobs: the preset's `resources`, where it names the stage."""
    return {**SMALL, **LIMITS.get(stage, {})}


def check_queue(jobs):
    """Before the first job is submitted, end the jobs of a Snakemake that was killed which would write the same files."""
    if workflow.executor_plugin.name != "slurm":
        return
    targets = {target(job.rule.name, job.wildcards_dict) for job in jobs}
    try:
        cancel_leftover_jobs(Path.cwd(), RESULTS, targets, lambda line: print(line, file=sys.stderr))
    except PipelineError as error:
        sys.exit(f"error: {error}")
