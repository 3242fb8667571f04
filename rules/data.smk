# The dataset as arrays, verified, with a manifest. On a cluster it is prepared where Snakemake runs: compute nodes seldom
# reach the internet.
from workflow_scripts.core.documents import DATASET_MANIFEST, read_document
from workflow_scripts.core.source_files import combined_sha256, describe_source, require_source

MANIFEST = f"{RESULTS}/data/manifest.json"


def own_images_sha256():
    """What a user's own images hold now: that, and not the folder they lie in, decides that they are prepared again.

    None where the settings pin the content: official datasets by their published sums, own images by `data.sha256`.
    Where the images are gone, what they held when they were prepared.
    """
    data = STUDY.shared("data")
    if data["source"] != "image_folder" or "sha256" in data:
        return None
    path = DATA_ROOT / data["path"]
    if path.exists():
        return combined_sha256(describe_source(path))
    return (
        read_document(ROOT / MANIFEST, DATASET_MANIFEST)["sources_sha256"]
        if (ROOT / MANIFEST).is_file()
        else None
    )


try:
    OWN_IMAGES = own_images_sha256()
except PipelineError as error:
    sys.exit(f"error: {error}")


localrules:
    prepare_data,
    data,


def check_data(jobs):
    """Stop before the first job when the dataset is to be prepared and cannot be had: Snakemake would delete the arrays
    that were made from it before the step could say so.

    Official datasets are downloaded if need be, and verified, which takes seconds; a user's own images, which would take as
    long as preparing them, must be there and have the sum that the settings may name. Digits come with scikit-learn.
    """
    data = STUDY.shared("data")
    if "prepare_data" not in {job.rule.name for job in jobs} or data["source"] == "digits":
        return
    if data["source"] == "image_folder":
        or_exit(require_source, DATA_ROOT / data["path"], data.get("sha256"))
        return
    entry = [
        sys.executable,
        "-m",
        "workflow_scripts.steps.supply_dataset",
        "--settings",
        canonical_json({"data": data}),
    ]
    supplied = subprocess.run([*entry, "--input", "root", DATA_ROOT], cwd=ROOT)
    if supplied.returncode:
        sys.exit(supplied.returncode)


rule prepare_data:
    output:
        train=f"{RESULTS}/data/train.npz",
        test=f"{RESULTS}/data/test.npz",
        manifest=MANIFEST,
    log:
        f"{RESULTS}/logs/prepare_data.log",
    params:
        settings=canonical_json({"data": STUDY.shared("data")}),
        source=source("prepare_data"),
        packages=packages("prepare_data"),
        images=OWN_IMAGES,
    shell:
        step("prepare_data", outputs="train test manifest") + " --input root {DATA_ROOT:q}"


rule data:
    input:
        rules.prepare_data.output,
