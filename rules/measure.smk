# Measurements: the feature extractor and the reference, features and metrics of the samples, curvature of the
# checkpoints, and the verdict on all rows by the locked rule.

FEATURES = f"{RUN}/features/{{point}}.npz"
PREDICTED = {"predicted": True} if any("predicted" in needs_of(name) for name in STUDY.metrics) else {}
# The Inception weights: extractor.weights, or else the published file, downloaded to the data root.
OWN_WEIGHTS = STUDY.shared("extractor").get("weights")
INCEPTION_WEIGHTS = OWN_WEIGHTS or DATA_ROOT / "weights-inception-2015-12-05-6726825d.pth"


def check_inception():
    """Exit unless the Inception weights are there or can be downloaded.

    Not a rule: a training job that depended on it would rerun whenever the extractor changed, and one that
    did not would start beside a download that may fail.
    """
    if STUDY.shared("extractor")["kind"] == "inception":
        run_check("supply_inception", "--input" if OWN_WEIGHTS else "--output", "weights", INCEPTION_WEIGHTS)


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
        settings=ascii_json(
            {
                **shared("data", "num_classes"),
                "extractor": shared_but("extractor", "weights"),
            }
        ),
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
        settings=ascii_json(FEATURE_SETTINGS),
    shell:
        step(
            "compute_reference",
            "train test manifest weights info",
            "reference features info scale_marks",
            machine="device",
        )


rule extract_features:
    input:
        samples=SAMPLES,
        weights=f"{RESULTS}/extractor/extractor.pt",
        info=f"{RESULTS}/extractor/extractor.json",
    output:
        features=FEATURES,
    log:
        f"{RESULTS}/logs/extract_features/{{arm}}_seed{{seed}}_{{point}}.log",
    resources:
        **limits("features"),
    params:
        settings=ascii_json({**FEATURE_SETTINGS, **PREDICTED}),
    shell:
        step(
            "extract_features",
            "samples weights info",
            "features",
            wildcards="arm seed point",
            machine="device",
        )


def metric_identity(wildcards):
    """The samples that the main distance describes, in the words of a metric row."""
    settings = point_settings(wildcards.point)
    point = {key: value for key, value in settings["point"].items() if value is not None}
    trained = {"weights": "ema"} if wildcards.arm in TRAINED else {}
    return {
        **run_identity(wildcards),
        "metric": STUDY.shared("extractor")["name"],
        "num_samples": settings["num_samples"],
        "from": {"point": wildcards.point, **point, **trained, "step": final_step(wildcards.arm)},
    }


def at_points(pattern):
    """An input function: the pattern at every point of a run."""
    return lambda wildcards: expand(
        pattern, point=STUDY.points_of(wildcards.arm, int(wildcards.seed)), **wildcards
    )


# Where the inputs of metrics come from (study/measures.py).
MEASURED = {
    "features": at_points(FEATURES),
    "samples": at_points(SAMPLES),
    "reference": f"{RESULTS}/stats/reference.npz",
    "reference_features": f"{RESULTS}/stats/reference_features.npz",
    "reference_info": f"{RESULTS}/stats/reference.json",
    "extractor_info": f"{RESULTS}/extractor/extractor.json",
    "train": f"{RESULTS}/data/train.npz",
    "test": f"{RESULTS}/data/test.npz",
    "log": f"{RUN}/log.csv",
    "frechet_by_step": f"{RUN}/metrics/frechet_by_step.json",
    "frechet_distance": f"{RUN}/metrics/frechet_distance.json",
}
METRICS = {name: or_exit(inputs_of, name) for name in STUDY.metrics if name not in STAGES}


def metrics_of(arm):
    """The metrics of an arm's runs that are measured by a rule of their own name."""
    return [name for name in STUDY.metrics_of(arm) if name in METRICS]


# One job measures a metric at all points of a run.
for _name, _inputs in METRICS.items():

    rule:
        name:
            f"measure_{file_of(_name)}"
        input:
            **{name: MEASURED[name] for name in _inputs},
            checkpoint=final_checkpoint,
        output:
            metrics=f"{RUN}/metrics/{file_of(_name)}.json",
        log:
            f"{RESULTS}/logs/measure/{file_of(_name)}_{{arm}}_seed{{seed}}.log",
        localrule: True
        resources:
            **limits("metrics"),
        params:
            settings=lambda wildcards, name=_name: ascii_json(
                {
                    **run_identity(wildcards),
                    "metric": name,
                    "loads": [module_of("metrics", name)],
                    "step": final_step(wildcards.arm),
                    **{
                        need: STUDY.arm(wildcards.arm).settings[SETTINGS[need]][need]
                        for need in needs_of(name)
                        if need in SETTINGS
                    },
                    "points": [
                        {"name": point, "num_samples": own["num_samples"], **own["point"]}
                        for point in STUDY.points_of(wildcards.arm, int(wildcards.seed))
                        for own in [point_settings(point)]
                    ],
                }
            ),
            inputs=inputs_as_words,
        shell:
            step("measure", outputs="metrics", wildcards="arm seed") + " {params.inputs}"


# Only at the main point, which the report shows: with Inception's features it takes minutes per
# run.
rule measure_finite_sample:
    input:
        features=FEATURES,
        reference=f"{RESULTS}/stats/reference.npz",
    output:
        finite_sample=f"{RUN}/finite_sample/{{point}}.json",
    log:
        f"{RESULTS}/logs/measure_finite_sample/{{arm}}_seed{{seed}}_{{point}}.log",
    resources:
        **limits("metrics"),
    params:
        settings=lambda wildcards: ascii_json(metric_identity(wildcards)),
    shell:
        step("measure_finite_sample", "features reference", "finite_sample", wildcards="arm seed point")


# With the same batch, timesteps, noise and probes for every checkpoint, so that they can be compared.
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
        settings=lambda wildcards: ascii_json(
            {
                **run_identity(wildcards),
                "step": int(wildcards.step),
                **image_shape(wildcards.arm),
                **sections(wildcards, "method", "model", "diffusion", "loss", "curvature"),
                "loads": arm_modules(wildcards.arm, "model.name", "loss.weighting"),
            }
        ),
    shell:
        step("probe_checkpoint", "checkpoint train", "probe", wildcards="arm seed step", machine="device")


PROBED = [arm for arm in ARMS if "curvature" in STUDY.metrics_of(arm)]


def probes_of(arm):
    """Where the probes of an arm's checkpoints are."""
    steps = checkpoint_steps(arm) if arm in PROBED else []
    return [f"{RUN}/probes/step{number:07d}.json" for number in steps]


JUDGED_CHECKPOINTS = MEASURED["frechet_by_step"]
JUDGED = [arm for arm in TRAINED if STUDY.by_step_of(arm) and checkpoint_steps(arm)[:-1]]


def judged_images(wildcards):
    """{steps, point, num_samples} of the checkpoints but the last, which frechet_distance judges."""
    name = STUDY.by_step_of(wildcards.arm)
    of_point = point_settings(name)
    steps = checkpoint_steps(wildcards.arm)[:-1]
    return {**of_point, "steps": steps, "point": {"name": name, **of_point["point"]}}


# All checkpoints in one process, which imports torch and prepares the network and the extractor once.
rule judge_checkpoints:
    input:
        **{name: MEASURED[name] for name in inputs_of("frechet_distance") if name != "features"},
        checkpoints=lambda wildcards: expand(checkpoints(checkpoint_steps(wildcards.arm)[:-1]), **wildcards),
        weights=f"{RESULTS}/extractor/extractor.pt",
    output:
        metrics=JUDGED_CHECKPOINTS,
    log:
        f"{RESULTS}/logs/judge_checkpoints/{{arm}}_seed{{seed}}.log",
    priority: 1
    resources:
        **limits("sampling"),
    params:
        settings=lambda wildcards: ascii_json(
            {
                **run_identity(wildcards),
                **judged_images(wildcards),
                **generator_settings(wildcards),
                **FEATURE_SETTINGS,
            }
        ),
    shell:
        step(
            "judge_checkpoints",
            "checkpoints weights extractor_info reference reference_info",
            "metrics",
            wildcards="arm seed",
            machine="device",
        )


rule collect_run:
    input:
        rows=lambda wildcards: [
            *expand(
                f"{RUN}/metrics/{{metric}}.json", metric=map(file_of, metrics_of(wildcards.arm)), **wildcards
            ),
            *expand(probes_of(wildcards.arm), **wildcards),
            *expand([JUDGED_CHECKPOINTS] if wildcards.arm in JUDGED else [], **wildcards),
        ],
        status=of_trained(f"{RUN}/status.json"),
        flops=lambda wildcards: expand(FLOPS if wildcards.arm in COUNTED else [], **wildcards),
    output:
        results=f"{RUN}/results.jsonl",
    log:
        f"{RESULTS}/logs/collect_run/{{arm}}_seed{{seed}}.log",
    params:
        settings=lambda wildcards: ascii_json(run_identity(wildcards)),
    shell:
        step("collect_results", "rows status flops", "results", wildcards="arm seed")


# In two levels, because one command line cannot hold the paths of every metric of a large study.
rule collect_study:
    input:
        rows=every_run(f"{RUN}/results.jsonl"),
    output:
        results=f"{RESULTS}/results.jsonl",
    log:
        f"{RESULTS}/logs/collect_study.log",
    params:
        settings=ascii_json({}),
    shell:
        step("collect_results", "rows", "results")


# Where samples are redrawn for their part in the spread between seeds.
REDRAWN = or_exit(
    redrawn_at,
    VERDICT_SETTINGS["hypotheses"],
    VERDICT_SETTINGS["context"],
    {arm: STUDY.points_of(arm) for arm in ARMS},
)
REDRAWN_SAMPLES = [
    path
    for arm, point in REDRAWN
    for path in every_run(f"{RUN}/finite_sample/{{point}}.json", [arm], point=point)
]


rule decide_verdict:
    input:
        results=f"{RESULTS}/results.jsonl",
        gate=f"{RESULTS}/gate.json",
    output:
        verdict=f"{RESULTS}/verdict.json",
    log:
        f"{RESULTS}/logs/decide_verdict.log",
    params:
        settings=ascii_json(VERDICT_SETTINGS),
    shell:
        step("decide_verdict", "results gate", "verdict")


rule estimate_power:
    input:
        verdict=f"{RESULTS}/verdict.json",
        redrawn=REDRAWN_SAMPLES,
    output:
        power=f"{RESULTS}/power.json",
    log:
        f"{RESULTS}/logs/estimate_power.log",
    params:
        settings=ascii_json(
            {"preregistered_seeds": {item.experiment: len(item.front["seeds"]) for item in PREREGISTRATIONS}}
        ),
        inputs=inputs_as_words,
    shell:
        step("estimate_power", outputs="power") + " {params.inputs}"
