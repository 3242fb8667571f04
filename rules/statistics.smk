# The feature extractor, the reference statistics of the real data, and the marks that give a distance its scale.


rule train_extractor:
    input:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
    output:
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    log:
        f"{RESULTS}/logs/train_extractor.log",
    params:
        settings=canonical_json(
            {"data": {"num_classes": STUDY.shared("data")["num_classes"]}, "extractor": STUDY.shared("extractor")}
        ),
        source=source("train_extractor"),
    priority: 3
    shell:
        step("train_extractor", "train test", "weights info")


rule compute_reference:
    input:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=f"{RESULTS}/data/manifest.json",
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    output:
        reference=f"{RESULTS}/stats/reference.npz",
        info=f"{RESULTS}/stats/reference.json",
        scale_marks=f"{RESULTS}/stats/scale_marks.json",
    log:
        f"{RESULTS}/logs/compute_reference.log",
    params:
        settings=canonical_json(extractor_settings()),
        source=source("compute_reference"),
    priority: 3
    shell:
        step("compute_reference", "train test manifest weights info", "reference info scale_marks")
