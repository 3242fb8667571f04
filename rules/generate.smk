# Sample images for each run, sampler and number of network calls (NFE).
SAMPLES = f"{RUN}/samples/{{sampler}}_nfe{{nfe}}.npz"


rule sample_images:
    input:
        checkpoint=FINAL_CHECKPOINT,
    output:
        samples=SAMPLES,
    log:
        f"{RESULTS}/logs/sample_images/{{arm}}_seed{{seed}}_{{sampler}}_nfe{{nfe}}.log",
    priority: 1
    resources:
        **limits("sampling"),
    params:
        **code("sample_images"),
        settings=lambda wildcards: canonical_json(
            {
                "arm": wildcards.arm,
                "seed": int(wildcards.seed),
                "nfe": int(wildcards.nfe),
                "sampler": sampler_settings(wildcards.sampler),
                "sampling": {
                    key: value for key, value in STUDY.shared("sampling").items() if key != "samplers"
                },
                **IMAGE_SHAPE,
                **sections(wildcards, "model", "diffusion"),
            }
        ),
    shell:
        step("sample_images", "checkpoint", "samples", wildcards="arm seed sampler nfe", machine="device")
