# The dataset as arrays, verified, with a manifest.


rule prepare_data:
    output:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=f"{RESULTS}/data/manifest.json",
    log:
        f"{RESULTS}/logs/prepare_data.log",
    params:
        settings=canonical_json({"data": STUDY.shared("data")}),
        source=source("prepare_data"),
    shell:
        step("prepare_data", outputs="train test manifest")
