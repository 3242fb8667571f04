# One training run per arm and seed.
CHECKPOINT = f"{RUN}/checkpoints/step{{step}}.pt"


def checkpoints(steps):
    """Where a run's checkpoints at these steps are."""
    return [f"{RUN}/checkpoints/step{number:07d}.pt" for number in steps]


def final_checkpoint(wildcards):
    """An input function: the checkpoint that generates; none of an arm without training."""
    paths = checkpoints(checkpoint_steps(wildcards.arm)[-1:])
    return of_trained(*paths)(wildcards)


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


# The FLOPs of each arm's training, counted once for all seeds.
FLOPS = f"{RESULTS}/flops/{{arm}}.json"
COUNTED = TRAINED if "training_flops" in STUDY.metrics else []


def matched_flops(wildcards):
    """The input `flops` of an arm that is matched to another: the count, which has been compared."""
    matched = STUDY.arm(wildcards.arm).settings["training"].get("flops_matched_to")
    return [] if matched is None else FLOPS


rule count_flops:
    input:
        matched=lambda wildcards: expand(
            FLOPS, arm=STUDY.arm(wildcards.arm).settings["training"].get("flops_matched_to", [])
        ),
    output:
        flops=FLOPS,
    log:
        f"{RESULTS}/logs/count_flops/{{arm}}.log",
    priority: 3
    resources:
        **limits("training"),
    params:
        settings=lambda wildcards: ascii_json(
            {
                **training_settings(wildcards.arm, STUDY.arm(wildcards.arm).seeds[0]),
                "file": STUDY.arm(wildcards.arm).files["training.num_steps"],
            }
        ),
        inputs=inputs_as_words,
    shell:
        step("count_flops", outputs="flops", wildcards="arm") + " {params.inputs}"


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


# A rule for each list of checkpoints, since a rule's outputs are fixed: arms matched in FLOPs train longer. Their
# manifests all say train_model, so that an arm more, which may give a rule another name, retrains no other.
TRAINING_RULES = {}
for _steps, _arms in groupby(sorted(TRAINED, key=checkpoint_steps), key=checkpoint_steps):
    _name = "train_model" if _steps == checkpoint_steps(TRAINED[0]) else f"train_model_{_steps[-1]}"
    TRAINING_RULES[_name] = [*_arms]
    ON_A_GPU.add(_name)
    set_resources_like(workflow, _name, "train_model")

    rule:
        name:
            _name
        input:
            train=f"{RESULTS}/data/train.npz",
            network=shared_network,
            flops=matched_flops,
        output:
            log=f"{RUN}/log.csv",
            checkpoints=checkpoints(_steps),
            status=f"{RUN}/status.json",
            timing=f"{RUN}/timing.json",
        log:
            f"{RESULTS}/logs/train_model/{{arm}}_seed{{seed}}.log",
        wildcard_constraints:
            arm="|".join(TRAINING_RULES[_name]),
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
            ).replace("{rule}", "train_model")
            + " {params.inputs}"
