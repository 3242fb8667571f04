# Before training: the preregistration's gate, and the dataset as verified arrays.
from workflow_scripts.core.files import DATASET_MANIFEST, read_document
from workflow_scripts.core.source_files import combined_sha256, describe_source
from workflow_scripts.study.constraints import least_train

MANIFEST = f"{RESULTS}/data/manifest.json"


def own_images():
    """A setting with the sha256 of a user's own images, so that new content prepares them again.

    Empty if the settings pin the content: official datasets by their published checksums, own images by
    `data.sha256`. If the images are gone, the sha256 that they had when they were prepared.
    """
    data = STUDY.shared("data")
    if "path" not in data or "sha256" in data:
        return {}
    path = DATA_ROOT / data["path"]
    if path.exists():
        return {"images_sha256": combined_sha256(describe_source(path))}
    if (ROOT / MANIFEST).is_file():
        return {"images_sha256": read_document(ROOT / MANIFEST, DATASET_MANIFEST)["sources_sha256"]}
    return {}


def check_data():
    """Exit if the dataset is not available, before Snakemake deletes the arrays that were made from it.

    Missing published files are downloaded. A user's own images are only found and hashed, because decoding
    them all takes as long as preparing them.
    """
    # imported only here: it imports numpy and Pillow, which planning does not need
    from workflow_scripts.data.prepare import require_files

    require_files(STUDY.shared("data"), DATA_ROOT)


# The gate is checked before the first job; this rule records the result. It is not an input of training: an
# amendment must not retrain, and `ancient()` would hide other changes, because Snakemake 9.27 ignores the
# parameters of every job downstream of one that runs, even across ancient inputs.
rule check_preregistration:
    input:
        preregistrations=list(STUDY.preregistration_paths),
        # An input only if it exists: the entry point, not Snakemake, says what to do about a missing lock.
        lock=[
            path for path in (lock_path(STUDY.name), amendments_path(STUDY.name)) if (ROOT / path).is_file()
        ],
    output:
        gate=f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/check_preregistration.log",
    params:
        settings=ascii_json(GATE_SETTINGS),
    shell:
        step("check_preregistration", "preregistrations lock", "gate")


OWN_SOURCE = [module_of("data.source", name) for name in [STUDY.shared("data")["source"]] if ":" in name]


# A dataset that is too small for steps after training stops the run before training.
MACHINE["least_train"] = max(least_train(arm.settings) for arm in STUDY.arms)


rule prepare_data:
    output:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=MANIFEST,
    log:
        f"{RESULTS}/logs/prepare_data.log",
    params:
        settings=ascii_json(
            {
                "data": STUDY.shared("data"),
                **({"loads": OWN_SOURCE} if OWN_SOURCE else {}),
                **or_exit(own_images),
            }
        ),
    shell:
        step("prepare_data", outputs="train test manifest", machine="least_train")
        + " --input root {DATA_ROOT:q}"


rule data:
    input:
        rules.prepare_data.output,
