# Curvature and per-timestep error of every checkpoint, on one fixed batch, t, noise and set of probes.


rule probe_checkpoint:
    input:
        checkpoint=CHECKPOINT,
        train=f"{RESULTS}/data/train.npz",
    output:
        probe=f"{RUN}/probes/step{{step}}.json",
    log:
        f"{RESULTS}/logs/probe_checkpoint/{{arm}}_seed{{seed}}_step{{step}}.log",
    priority: 1
    resources:
        **limits("curvature"),
    params:
        settings=lambda wildcards: canonical_json(
            {
                **run_identity(wildcards, int(wildcards.step)),
                "data": image_shape(),
                **sections(wildcards, "model", "diffusion", "loss", "curvature"),
            }
        ),
        source=source("probe_checkpoint"),
        packages=packages("probe_checkpoint"),
    shell:
        step("probe_checkpoint", "checkpoint train", "probe", wildcards="arm seed step", machine="device")
