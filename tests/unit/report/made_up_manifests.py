"""Manifests of a made-up study, chained as the pipeline chains them; nothing is on disk."""

from __future__ import annotations

from typing import Any

from workflow_scripts.core.files import canonical_json, sha256_text

Manifest = dict[str, Any]


class Chain:
    """Makes manifests one after another; an input that an earlier step made is linked to it."""

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []
        self._makers: dict[str, tuple[str, str]] = {}

    def step(
        self,
        entry: str,
        inputs: list[str],
        outputs: list[str],
        settings: dict | None = None,
        rule: str = "",
        **wildcards: str,
    ) -> Manifest:
        """Add one step; its outputs get made-up hashes."""
        settings = settings or {}
        described = []
        for path in inputs:
            sha256, maker = self._makers.get(path, (sha256_text(path), None))
            file = {"name": "input", "path": path, "size": 10, "sha256": sha256, "lineage_sha256": maker}
            described.append(file)
        sums = {path: sha256_text(path + canonical_json(settings)) for path in outputs}
        source = {f"workflow_scripts/steps/{entry}.py": sha256_text(entry + ".py")}
        lineage = {
            "rule": rule or entry,
            "wildcards": wildcards,
            "entry": entry,
            "settings": settings,
            "source": {"digest": sha256_text(entry), "files": source},
            "packages": {"digest": sha256_text("packages"), "versions": {"numpy": "2.0"}},
            "inputs": described,
            "outputs": [{"name": "output", "path": p, "size": 20, "sha256": s} for p, s in sums.items()],
        }
        digest = sha256_text(canonical_json(lineage))
        machine = {"cpu": "a CPU", "cores": 2, "gpu": ["a GPU"] if entry == "train_model" else []}
        circumstances = {"wall_s": 36.0, "peak_memory_mb": 500.0, "machine": machine, "started": "2001-02-03"}
        circumstances |= {"volatile_inputs": [], "volatile_outputs": []}
        manifest = {
            "manifest_version": 1,
            "lineage": lineage,
            "lineage_sha256": digest,
            "circumstances": circumstances,
            "circumstances_sha256": sha256_text(canonical_json(circumstances)),
        }
        self.manifests.append(manifest)
        self._makers |= {path: (sha256, digest) for path, sha256 in sums.items()}
        return manifest


def manifests(
    report: dict[str, Any], figures: tuple[str, ...] = ("hypotheses", "frechet_vs_nfe")
) -> list[Manifest]:
    """The chain behind a study with the arms, seeds and points of `report`."""
    chain, folder = Chain(), f"results/{report['study']}/{report['preset']}"
    data = [f"{folder}/data/{name}" for name in ("train.npz", "test.npz", "manifest.json")]
    chain.step("prepare_data", ["data_root/toy.zip"], data, {"data": report["data"]})
    extractor = [f"{folder}/extractor/extractor.pt", f"{folder}/extractor/extractor.json"]
    chain.step("train_extractor", data[:2], extractor, {"extractor": {"num_steps": 5, "batch_size": 4}})
    reference = [f"{folder}/stats/reference.npz", f"{folder}/stats/scale_marks.json"]
    chain.step("compute_reference", [*data, *extractor], reference)
    chain.step("check_preregistration", ["docs/experiments/B_pre_reg.md"], [f"{folder}/gate.json"])
    results, verdict = f"{folder}/results.jsonl", f"{folder}/verdict.json"
    rows = [
        _run(chain, report, data[0], extractor, reference[0], arm, str(seed))
        for arm in report["arms"]
        for seed in report["seeds"]
    ]
    chain.step("collect_results", rows, [results], rule="collect_study")
    chain.step("decide_verdict", [results, f"{folder}/gate.json"], [verdict])
    chain.step("estimate_power", [verdict], [f"{folder}/power.json"])
    for figure in figures:
        rendered = f"reports/{report['study']}/{report['preset']}/figures/{figure}"
        outputs = [f"{rendered}.{end}" for end in ("svg", "png", "csv")]
        chain.step("draw_figure", [verdict], outputs, {"figure": figure}, rule=f"draw_{figure}")
    chain.step("collect_costs", [verdict], [f"{folder}/costs.json"])
    return chain.manifests


def _run(
    chain: Chain, report: dict, train: str, extractor: list[str], reference: str, arm: dict, seed: str
) -> str:
    """Add the steps of one run; return the file of its rows."""
    run = f"results/{report['study']}/{report['preset']}/runs/{arm['name']}/seed{seed}"
    of, step = {"arm": arm["name"], "seed": seed}, f"{report['final_step']:07d}"
    checkpoint = f"{run}/checkpoints/step{step}.pt"
    settings = {"training": report["training"], "loss": arm["loss"], "seed": int(seed)}
    chain.step("train_model", [train], [checkpoint, f"{run}/log.csv", f"{run}/timing.json"], settings, **of)
    all_features, rows = [], [f"{run}/probes/step{step}.json"]
    chain.step("probe_checkpoint", [checkpoint, train], rows[:], **of, step=step)
    for point in report["points"]:
        name = point["name"]
        at = {**of, "point": name}
        samples, features = f"{run}/samples/{name}.npz", f"{run}/features/{name}.npz"
        chain.step("sample_images", [checkpoint], [samples], {"num_samples": point["num_samples"]}, **at)
        chain.step("extract_features", [samples, *extractor], [features], **at)
        all_features.append(features)
    for name in ("frechet_distance", "kernel_distance", "precision_recall"):
        rows.append(f"{run}/metrics/{name}.json")
        chain.step("measure", [*all_features, reference], rows[-1:], rule=f"measure_{name}", **of)
    name = report["main_point"]
    finite = f"{run}/finite_sample/{name}.json"
    chain.step("measure_finite_sample", [f"{run}/features/{name}.npz"], [finite], **of)
    chain.step("collect_results", rows, [f"{run}/results.jsonl"], rule="collect_run", **of)
    return f"{run}/results.jsonl"
