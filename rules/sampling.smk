# Images per run, sampler and number of function evaluations (NFE).
SAMPLES = f"{RUN}/samples/{{sampler}}_nfe{{nfe}}.npz"


def sampling_settings(wildcards):
    """What decides the images, and how many there are."""
    return {
        "arm": wildcards.arm,
        "seed": int(wildcards.seed),
        "nfe": int(wildcards.nfe),
        "sampler": sampler_settings(wildcards.sampler),
        "sampling": {key: value for key, value in STUDY.shared("sampling").items() if key != "samplers"},
        "data": image_shape(),
        **sections(wildcards, "model", "diffusion"),
    }


rule sample_images:
    input:
        checkpoint=FINAL_CHECKPOINT,
        parts=parts_of(
            SAMPLES, "sample_images", lambda wildcards: canonical_json(sampling_settings(wildcards))
        ),
    output:
        samples=SAMPLES,
    log:
        f"{RESULTS}/logs/sample_images/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}.log",
    priority: 1
    resources:
        **limits("sampling"),
    params:
        settings=lambda wildcards: canonical_json(sampling_settings(wildcards)),
        source=source("sample_images"),
        packages=packages("sample_images"),
    shell:
        # The parts are no argument: they filled the folder of chunks in which this step finds what is done already.
        step("sample_images", "checkpoint", "samples", wildcards="arm seed sampler nfe", machine="device")


rule sample_part:
    input:
        checkpoint=FINAL_CHECKPOINT,
    output:
        part=temp(part_of(SAMPLES)),
    log:
        f"{RESULTS}/logs/sample_images/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}_part{{part}}of{{parts}}.log",
    priority: 1
    resources:
        **limits("sampling"),
    params:
        settings=lambda wildcards: canonical_json(
            {**sampling_settings(wildcards), **share_settings(wildcards)}
        ),
        source=source("sample_images"),
        packages=packages("sample_images"),
    shell:
        step(
            "sample_images",
            "checkpoint",
            "part",
            wildcards="arm seed sampler nfe part parts",
            machine="device",
        )
