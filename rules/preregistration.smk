# The gate: nothing runs unless the preregistration is locked, unchanged and its comparisons are matched. It is checked
# before the first job (onstart) and written down by a rule. It is no input of training: passing it again, after an
# amendment say, is no reason to train again, and `ancient()` would hide other changes from Snakemake's planning (9.27
# does not look at the parameters of any job downstream of one that runs, across ancient inputs too).


localrules:
    check_preregistration,


rule check_preregistration:
    input:
        preregistrations=list(STUDY.preregistration_paths),
        # A missing lock must reach the entry point, which says what to do, so it is an input only where it exists.
        lock=[
            path for path in (lock_path(STUDY.name), amendments_path(STUDY.name)) if (ROOT / path).is_file()
        ],
    output:
        gate=f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/check_preregistration.log",
    params:
        settings=canonical_json(GATE_SETTINGS),
        source=source("check_preregistration"),
        packages=packages("check_preregistration"),
    shell:
        step("check_preregistration", "preregistrations lock", "gate")
