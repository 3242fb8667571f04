# One training run per arm and seed.
CHECKPOINT = f"{RUN}/checkpoints/step{{step}}.pt"
FINAL_CHECKPOINT = f"{RUN}/checkpoints/step{FINAL_STEP:07d}.pt"
CHECKPOINT_STEPS = STUDY.arms[0].settings["training"]["checkpoint_steps"]

TRAINED_OBJECTS = ("method.name", "model.name", "method.discriminator.name", "loss.weighting")


rule train_model:
    input:
        train=f"{RESULTS}/data/train.npz",
    output:
        log=f"{RUN}/log.csv",
        checkpoints=[f"{RUN}/checkpoints/step{number:07d}.pt" for number in CHECKPOINT_STEPS],
        status=f"{RUN}/status.json",
        timing=f"{RUN}/timing.json",
    log:
        f"{RESULTS}/logs/train_model/{{arm}}_seed{{seed}}.log",
    priority: 2
    resources:
        **limits("training"),
    params:
        **code_of_arm("train_model", *TRAINED_OBJECTS),
        settings=lambda wildcards: canonical_json(
            {
                "arm": wildcards.arm,
                "seed": int(wildcards.seed),
                **image_shape(wildcards.arm),
                **sections(wildcards, "method", "model", "diffusion", "loss", "training"),
                "loads": arm_modules(wildcards.arm, *TRAINED_OBJECTS),
            }
        ),
    shell:
        step(
            "train_model",
            "train",
            "log checkpoints status timing",
            wildcards="arm seed",
            machine="device save_every_s",
        )
