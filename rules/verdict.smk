# Every metric row of a run, of the study, and the verdict by the locked rule.


localrules:
    collect_run,
    collect_study,
    decide_verdict,


rule collect_run:
    input:
        rows=[
            *(f"{RUN}/metrics/{sampler}_nfe{nfe:04d}.json" for sampler, nfe in STUDY.sampler_nfe),
            *(f"{RUN}/probes/step{number:07d}.json" for number in CHECKPOINT_STEPS),
        ],
    output:
        results=f"{RUN}/results.jsonl",
    log:
        f"{RESULTS}/logs/collect_run/{{arm}}_seed{{seed}}.log",
    params:
        settings=canonical_json({}),
        source=source("collect_results"),
        packages=packages("collect_results"),
    shell:
        step("collect_results", "rows", "results", wildcards="arm seed")


# In two levels, because one command line cannot hold the paths of every metric of a large study.
rule collect_study:
    input:
        rows=expand(f"{RUN}/results.jsonl", arm=ARMS, seed=STUDY.seeds),
    output:
        results=f"{RESULTS}/results.jsonl",
    log:
        f"{RESULTS}/logs/collect_study.log",
    params:
        settings=canonical_json({}),
        source=source("collect_results"),
        packages=packages("collect_results"),
    shell:
        step("collect_results", "rows", "results")


rule decide_verdict:
    input:
        results=f"{RESULTS}/results.jsonl",
        gate=f"{RESULTS}/gate.json",
    output:
        verdict=f"{RESULTS}/verdict.json",
    log:
        f"{RESULTS}/logs/decide_verdict.log",
    params:
        settings=canonical_json(VERDICT_SETTINGS),
        source=source("decide_verdict"),
        packages=packages("decide_verdict"),
    shell:
        step("decide_verdict", "results gate", "verdict")
