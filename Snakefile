# From a preregistration to a verdict. See docs/architecture.md; targets are at the end.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/cluster.smk"
include: "rules/machine.smk"
include: "rules/preregistration.smk"
include: "rules/data.smk"
include: "rules/statistics.smk"
include: "rules/training.smk"
include: "rules/sampling.smk"
include: "rules/metrics.smk"
include: "rules/curvature.smk"
include: "rules/verdict.smk"
include: "rules/report.smk"


wildcard_constraints:
    arm="|".join(arm.name for arm in STUDY.arms),
    seed="|".join(map(str, STUDY.seeds)),
    sampler="|".join(sorted({sampler for sampler, _ in STUDY.sampler_nfe})),
    nfe=r"\d{4}",
    step=r"\d{7}",
    part=r"\d+",
    parts=r"\d+",


rule all:
    default_target: True
    input:
        f"{REPORT}/report.html",
        # Snakemake makes a deleted file again only if somebody asks for it.
        every_output(),


onstart:
    select_only_after_jobs()
    check_gate()
    check_writable(list(workflow.dag.needrun_jobs()))
    check_machine(workflow.dag.needrun_jobs())
    check_outputs(workflow.dag)
    note_packages()
    check_data(workflow.dag.needrun_jobs())
    check_inception(workflow.dag.needrun_jobs())
    check_queue(workflow.dag.needrun_jobs())


onsuccess:
    print(closing_words())


onerror:
    print(closing_errors())
