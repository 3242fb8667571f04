# Features of the samples, and what they say: distances to the reference, precision, recall.


FEATURES = f"{RUN}/features/{{sampler}}_nfe{{nfe}}.npz"


rule extract_features:
    input:
        samples=SAMPLES,
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
        parts=parts_of(FEATURES, "extract_features", lambda wildcards: canonical_json(extractor_settings())),
    output:
        features=FEATURES,
    log:
        f"{RESULTS}/logs/extract_features/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}.log",
    resources:
        **limits("features"),
    params:
        settings=canonical_json(extractor_settings()),
        source=source("extract_features"),
        packages=packages("extract_features"),
    shell:
        step(
            "extract_features",
            "samples weights info",
            "features",
            wildcards="arm seed sampler nfe",
            machine="device",
        )


rule extract_part:
    input:
        samples=SAMPLES,
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    output:
        part=temp(part_of(FEATURES)),
    log:
        f"{RESULTS}/logs/extract_features/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}_part{{part}}of{{parts}}.log",
    resources:
        **limits("features"),
    params:
        settings=lambda wildcards: canonical_json({**extractor_settings(), **share_settings(wildcards)}),
        source=source("extract_features"),
        packages=packages("extract_features"),
    shell:
        step(
            "extract_features",
            "samples weights info",
            "part",
            wildcards="arm seed sampler nfe part parts",
            machine="device",
        )


def metric_identity(wildcards):
    """What says which samples a metric is about."""
    return {
        **run_identity(wildcards, FINAL_STEP),
        "sampler": wildcards.sampler,
        "eta": sampler_settings(wildcards.sampler)["eta"],
        "nfe": int(wildcards.nfe),
        "num_samples": STUDY.shared("sampling")["num_samples"],
        "ema": True,
        "metric": STUDY.shared("extractor")["name"],
    }


rule compute_metrics:
    input:
        features=FEATURES,
        reference=f"{RESULTS}/stats/reference.npz",
        reference_features=f"{RESULTS}/stats/reference_features.npz",
        reference_info=f"{RESULTS}/stats/reference.json",
        extractor_info=f"{RESULTS}/extractor/extractor.json",
        checkpoint=FINAL_CHECKPOINT,
    output:
        metrics=f"{RUN}/metrics/{{sampler}}_nfe{{nfe}}.json",
    log:
        f"{RESULTS}/logs/compute_metrics/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}.log",
    resources:
        **limits("metrics"),
    params:
        settings=lambda wildcards: canonical_json(metric_identity(wildcards)),
        source=source("compute_metrics"),
        packages=packages("compute_metrics"),
    shell:
        step(
            "compute_metrics",
            "features reference reference_features reference_info extractor_info checkpoint",
            "metrics",
            wildcards="arm seed sampler nfe",
        )


# Only where the report asks for it, at the main sampler and NFE: with Inception's features it takes minutes per run.
rule measure_finite_sample:
    input:
        features=FEATURES,
        reference=f"{RESULTS}/stats/reference.npz",
    output:
        finite_sample=f"{RUN}/finite_sample/{{sampler}}_nfe{{nfe}}.json",
    log:
        f"{RESULTS}/logs/measure_finite_sample/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}.log",
    resources:
        **limits("metrics"),
    params:
        settings=lambda wildcards: canonical_json(metric_identity(wildcards)),
        source=source("measure_finite_sample"),
        packages=packages("measure_finite_sample"),
    shell:
        step("measure_finite_sample", "features reference", "finite_sample", wildcards="arm seed sampler nfe")
