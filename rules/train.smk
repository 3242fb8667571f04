# One training run per arm and seed.
CHECKPOINT = f"{RUN}/checkpoints/step{{step}}.pt"
FINAL_CHECKPOINT = f"{RUN}/checkpoints/step{FINAL_STEP:07d}.pt"
CHECKPOINT_STEPS = STUDY.arms[0].settings["training"]["checkpoint_steps"]

TRAINED_OBJECTS = ("method.name", "model.name", "method.discriminator.name", "loss.weighting")


NETWORK = f"{RESULTS}/networks/{{network}}"


def training_settings(name, seed):
    """What decides a run, or a shared network, but for its inputs."""
    settings = STUDY.arm(name).settings
    return {
        "arm": name,
        "seed": int(seed),
        **image_shape(name),
        **{part: settings[part] for part in ("method", "model", "diffusion", "loss", "training")},
        "loads": arm_modules(name, *TRAINED_OBJECTS),
    }


def shared_network(wildcards):
    """The input `network` of an arm whose method names one."""
    name = STUDY.arm(wildcards.arm).settings["method"].get("network")
    return [] if name is None else f"{RESULTS}/networks/{name}/checkpoint.pt"


# Trained once for all arms that name it.
rule train_network:
    input:
        train=f"{RESULTS}/data/train.npz",
    output:
        log=f"{NETWORK}/log.csv",
        checkpoints=f"{NETWORK}/checkpoint.pt",
        status=f"{NETWORK}/status.json",
        timing=f"{NETWORK}/timing.json",
    log:
        f"{RESULTS}/logs/train_network/{{network}}.log",
    priority: 3
    resources:
        **limits("training"),
    params:
        settings=lambda w: ascii_json(training_settings(w.network, STUDY.arm(w.network).seeds[0])),
    shell:
        step(
            "train_model",
            "train",
            "log checkpoints status timing",
            wildcards="network",
            machine="device save_every_s",
        )


rule train_model:
    input:
        train=f"{RESULTS}/data/train.npz",
        network=shared_network,
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
        settings=lambda wildcards: ascii_json(training_settings(wildcards.arm, wildcards.seed)),
        inputs=inputs_as_words,
    shell:
        step(
            "train_model",
            outputs="log checkpoints status timing",
            wildcards="arm seed",
            machine="device save_every_s",
        )
        + " {params.inputs}"
