# What comes before training: the preregistration's gate, and the dataset as verified arrays. Both run where
# Snakemake runs, because a cluster's compute nodes seldom reach the internet.
from workflow_scripts.core.files import DATASET_MANIFEST, read_document
from workflow_scripts.core.source_files import combined_sha256, describe_source

MANIFEST = f"{RESULTS}/data/manifest.json"


localrules:
    check_preregistration,
    prepare_data,
    data,


def own_images_sha256():
    """The sha256 of a user's own images; it decides whether they are prepared again, not their folder.

    None where the settings pin the content: official datasets by their published sums, own images by
    `data.sha256`. If the images are gone, the sha256 that they had when they were prepared.
    """
    data = STUDY.shared("data")
    if data["source"] != "image_folder" or "sha256" in data:
        return None
    path = DATA_ROOT / data["path"]
    if path.exists():
        return combined_sha256(describe_source(path))
    if (ROOT / MANIFEST).is_file():
        return read_document(ROOT / MANIFEST, DATASET_MANIFEST)["sources_sha256"]
    return None


def check_data():
    """Stop where the dataset cannot be had, before Snakemake deletes the arrays that were made from it.

    Published files are downloaded if need be. A user's own images are only looked for and hashed, because
    checking them takes as long as preparing them.
    """
    # imported only here, since it loads numpy and Pillow, which planning does without
    from workflow_scripts.data.prepare import require_files

    require_files(STUDY.shared("data"), DATA_ROOT)


# The gate is checked before the first job and written down by this rule. It is no input of training: passing
# it again, after an amendment say, is no reason to train again, and `ancient()` would hide other changes from
# Snakemake's planning (9.27 does not look at the parameters of any job downstream of one that runs, across
# ancient inputs too).
rule check_preregistration:
    input:
        preregistrations=list(STUDY.preregistration_paths),
        # An input only where it exists: the entry point, not Snakemake, says what to do about a missing lock.
        lock=[
            path for path in (lock_path(STUDY.name), amendments_path(STUDY.name)) if (ROOT / path).is_file()
        ],
    output:
        gate=f"{RESULTS}/gate.json",
    log:
        f"{RESULTS}/logs/check_preregistration.log",
    params:
        **code("check_preregistration"),
        settings=canonical_json(GATE_SETTINGS),
    shell:
        step("check_preregistration", "preregistrations lock", "gate")


rule prepare_data:
    output:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=MANIFEST,
    log:
        f"{RESULTS}/logs/prepare_data.log",
    params:
        **code("prepare_data"),
        settings=canonical_json({"data": STUDY.shared("data")}),
        images=or_exit(own_images_sha256),
    shell:
        step("prepare_data", outputs="train test manifest") + " --input root {DATA_ROOT:q}"


rule data:
    input:
        rules.prepare_data.output,
