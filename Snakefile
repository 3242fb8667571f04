# From a preregistration to a verdict; docs/architecture.md explains the parts.
from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/generate.smk"
include: "rules/measure.smk"
include: "rules/report.smk"


wildcard_constraints:
    arm="|".join(arm.name for arm in STUDY.arms),
    seed="|".join(sorted({str(seed) for _, seed in STUDY.runs})),
    point="|".join(STUDY.points),
    network="|".join(one.name for one in STUDY.networks) or "none",
    step=r"\d{7}",


# Light steps run where Snakemake runs, and so does preparation: a compute node seldom reaches the internet.
localrules:
    check_preregistration,
    prepare_data,
    data,
    collect_run,
    collect_study,
    decide_verdict,
    estimate_power,
    render_notebook,
    write_summary,
    collect_costs,
    build_report,


rule all:
    default_target: True
    input:
        f"{REPORT}/report.html",
        # Snakemake remakes a deleted file only if a target asks for it.
        every_output(),


onstart:
    or_exit(before_the_first_job)


onsuccess:
    print(closing_words())


onerror:
    print(closing_errors())
