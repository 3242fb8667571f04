# Sample images of each run at each point.
SAMPLES = f"{RUN}/samples/{{point}}.npz"


def generator_settings(wildcards):
    """What decides an image, but for the seed and the point."""
    return {
        "arm": wildcards.arm,
        "sampling": shared_but("sampling", "samplers", "num_samples"),
        **image_shape(wildcards.arm),
        **sections(wildcards, "method", "model", "diffusion"),
        "loads": arm_modules(wildcards.arm, "model.name"),
    }


rule sample_images:
    input:
        checkpoint=final_checkpoint,
    output:
        samples=SAMPLES,
    log:
        f"{RESULTS}/logs/sample_images/{{arm}}_seed{{seed}}_{{point}}.log",
    wildcard_constraints:
        arm="|".join(TRAINED),
    priority: 1
    resources:
        **limits("sampling"),
    params:
        settings=lambda wildcards: ascii_json(
            {
                "seed": int(wildcards.seed),
                **point_settings(wildcards.point),
                **generator_settings(wildcards),
            }
        ),
    shell:
        step("sample_images", "checkpoint", "samples", wildcards="arm seed point", machine="device")


# Number i is what an arm without training makes of test image i.
if TRAINED != ARMS:

    rule present_samples:
        input:
            test=f"{RESULTS}/data/test.npz",
        output:
            samples=SAMPLES,
        log:
            f"{RESULTS}/logs/present_samples/{{arm}}_seed{{seed}}_{{point}}.log",
        wildcard_constraints:
            arm="|".join(arm for arm in ARMS if arm not in TRAINED),
        localrule: True
        params:
            settings=lambda wildcards: ascii_json(
                {
                    "num_samples": point_settings(wildcards.point)["num_samples"],
                    **sections(wildcards, "method"),
                    "loads": arm_modules(wildcards.arm, "method.name"),
                }
            ),
        shell:
            step("present_samples", "test", "samples", wildcards="arm seed point")
