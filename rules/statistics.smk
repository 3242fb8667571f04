# The feature extractor, the reference statistics of the real data, and the marks that give a distance its scale.


# Where the Inception weights lie: extractor.weights, or below the data root, where the published file is downloaded to.
OWN_WEIGHTS = STUDY.shared("extractor").get("weights")
INCEPTION_WEIGHTS = OWN_WEIGHTS or DATA_ROOT / "weights-inception-2015-12-05-6726825d.pth"


rule train_extractor:
    input:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
    output:
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    log:
        f"{RESULTS}/logs/train_extractor.log",
    priority: 3
    resources:
        **limits("extractor"),
    params:
        settings=canonical_json(
            {
                "data": {"num_classes": STUDY.shared("data")["num_classes"]},
                "extractor": {
                    key: value for key, value in STUDY.shared("extractor").items() if key != "weights"
                },
            }
        ),
        # What a file of one's own holds, and not where it lies, decides that it is taken again.
        own_weights=sha256_file(OWN_WEIGHTS) if OWN_WEIGHTS and Path(OWN_WEIGHTS).is_file() else None,
        source=source("train_extractor"),
        packages=packages("train_extractor"),
    shell:
        step("train_extractor", "train test", "weights info")
        + (
            " --input inception {INCEPTION_WEIGHTS:q}"
            if STUDY.shared("extractor")["kind"] == "inception"
            else ""
        )


rule compute_reference:
    input:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=f"{RESULTS}/data/manifest.json",
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    output:
        reference=f"{RESULTS}/stats/reference.npz",
        features=f"{RESULTS}/stats/reference_features.npz",
        info=f"{RESULTS}/stats/reference.json",
        scale_marks=f"{RESULTS}/stats/scale_marks.json",
    log:
        f"{RESULTS}/logs/compute_reference.log",
    priority: 3
    resources:
        **limits("extractor"),
    params:
        settings=canonical_json(extractor_settings()),
        source=source("compute_reference"),
        packages=packages("compute_reference"),
    shell:
        step(
            "compute_reference",
            "train test manifest weights info",
            "reference features info scale_marks",
            machine="device",
        )
