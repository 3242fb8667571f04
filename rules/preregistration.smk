# The gate: nothing is trained unless the preregistration is locked, unchanged and its comparisons are matched.


rule check_preregistration:
    input:
        preregistrations=list(STUDY.preregistration_paths),
        # A missing lock must reach the entry point, which says what to do, so it is an input only where it exists.
        lock=[path for path in (lock_path(STUDY.name), amendments_path(STUDY.name)) if (ROOT / path).is_file()],
    output:
        gate=f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/check_preregistration.log",
    params:
        settings=canonical_json(GATE_SETTINGS),
        source=source("check_preregistration"),
    shell:
        step("check_preregistration", outputs="gate")
