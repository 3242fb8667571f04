"""Manifests of a made-up study, chained as the pipeline chains them; nothing lies on disk."""

from __future__ import annotations

from typing import Any

from workflow_scripts.core.files import canonical_json, sha256_text

Manifest = dict[str, Any]


class Chain:
    """Makes manifests one after another; an input that was made before is linked to its maker."""

    def __init__(self) -> None:
        self.manifests: list[Manifest] = []
        self._makers: dict[str, tuple[str, str]] = {}

    def step(
        self, rule: str, entry: str, inputs: list[str], outputs: list[str], settings: dict, **wildcards: str
    ) -> Manifest:
        """One step; what it writes gets a made-up hash."""
        described = []
        for path in inputs:
            sha256, maker = self._makers.get(path, (sha256_text(path), None))
            described.append(
                {"name": "input", "path": path, "size": 10, "sha256": sha256, "lineage_sha256": maker}
            )
        made = [
            {
                "name": "output",
                "path": path,
                "size": 20,
                "sha256": sha256_text(path + canonical_json(settings)),
            }
            for path in outputs
        ]
        lineage = {
            "rule": rule,
            "wildcards": wildcards,
            "entry": entry,
            "settings": settings,
            "source": {
                "digest": sha256_text(entry),
                "files": {f"workflow_scripts/steps/{entry}.py": sha256_text(entry + ".py")},
            },
            "packages": {"digest": sha256_text("packages"), "versions": {"numpy": "2.0"}},
            "inputs": described,
            "outputs": made,
        }
        digest = sha256_text(canonical_json(lineage))
        gpu = ["a GPU"] if entry == "train_model" else []
        circumstances = {
            "wall_s": 36.0,
            "peak_memory_mb": 500.0,
            "machine": {"cpu": "a CPU", "cores": 2, "gpu": gpu},
            "started": "2001-02-03",
            "volatile_inputs": [],
            "volatile_outputs": [],
        }
        manifest = {
            "manifest_version": 1,
            "lineage": lineage,
            "lineage_sha256": digest,
            "circumstances": circumstances,
            "circumstances_sha256": sha256_text(canonical_json(circumstances)),
        }
        self.manifests.append(manifest)
        self._makers |= {item["path"]: (item["sha256"], digest) for item in made}
        return manifest


def manifests(
    report: dict[str, Any], figures: tuple[str, ...] = ("hypotheses", "frechet_vs_nfe")
) -> list[Manifest]:
    """The chain behind a study with the arms, seeds and samplers of `report`."""
    chain, folder = Chain(), f"results/{report['study']}/{report['preset']}"
    data = [f"{folder}/data/{name}" for name in ("train.npz", "test.npz", "manifest.json")]
    chain.step("prepare_data", "prepare_data", ["data_root/toy.zip"], data, {"data": report["data"]})
    extractor = [f"{folder}/extractor/extractor.pt", f"{folder}/extractor/extractor.json"]
    chain.step(
        "train_extractor",
        "train_extractor",
        data[:2],
        extractor,
        {"extractor": {"num_steps": 5, "batch_size": 4}},
    )
    reference = [f"{folder}/stats/reference.npz", f"{folder}/stats/scale_marks.json"]
    chain.step("compute_reference", "compute_reference", [*data, *extractor], reference, {})
    chain.step(
        "check_preregistration",
        "check_preregistration",
        ["docs/experiments/B_pre_reg.md"],
        [f"{folder}/gate.json"],
        {},
    )
    rows = []
    for arm in report["arms"]:
        for seed in map(str, report["seeds"]):
            run = f"{folder}/runs/{arm['name']}/seed{seed}"
            rows.append(_run(chain, report, data[0], extractor, reference[0], run, arm, seed))
    chain.step("collect_study", "collect_results", rows, [f"{folder}/results.jsonl"], {})
    gathered = [f"{folder}/results.jsonl", f"{folder}/gate.json"]
    chain.step("decide_verdict", "decide_verdict", gathered, [f"{folder}/verdict.json"], {})
    for figure in figures:
        rendered = f"reports/{report['study']}/{report['preset']}/figures/{figure}"
        outputs = [f"{rendered}.{end}" for end in ("svg", "png", "csv")]
        chain.step(f"draw_{figure}", "draw_figure", [f"{folder}/verdict.json"], outputs, {"figure": figure})
    chain.step("collect_costs", "collect_costs", [f"{folder}/verdict.json"], [f"{folder}/costs.json"], {})
    return chain.manifests


def _run(
    chain: Chain,
    report: dict,
    train: str,
    extractor: list[str],
    reference: str,
    run: str,
    arm: dict,
    seed: str,
) -> str:
    of = {"arm": arm["name"], "seed": seed}
    last = f"{run}/checkpoints/step{report['final_step']:07d}.pt"
    settings = {"training": report["training"], "loss": arm["loss"], "seed": int(seed)}
    chain.step(
        "train_model", "train_model", [train], [last, f"{run}/log.csv", f"{run}/timing.json"], settings, **of
    )
    rows = [f"{run}/probes/step{report['final_step']:07d}.json"]
    chain.step(
        "probe_checkpoint",
        "probe_checkpoint",
        [last, train],
        rows[:],
        {},
        **of,
        step=f"{report['final_step']:07d}",
    )
    for sampler in report["samplers"]:
        for nfe in (f"{nfe:04d}" for nfe in sampler["nfe"]):
            name, at = f"{sampler['name']}_nfe{nfe}", {**of, "sampler": sampler["name"], "nfe": nfe}
            sampling = {"sampling": {"num_samples": report["sampling"]["num_samples"]}}
            chain.step(
                "sample_images", "sample_images", [last], [f"{run}/samples/{name}.npz"], sampling, **at
            )
            features = f"{run}/features/{name}.npz"
            chain.step(
                "extract_features",
                "extract_features",
                [f"{run}/samples/{name}.npz", *extractor],
                [features],
                {},
                **at,
            )
            rows.append(f"{run}/metrics/{name}.json")
            chain.step("compute_metrics", "compute_metrics", [features, reference], rows[-1:], {}, **at)
    if any(sampler["name"] == report["main_sampler"] for sampler in report["samplers"]):
        name = f"{report['main_sampler']}_nfe{report['main_nfe']:04d}"
        finite = [f"{run}/finite_sample/{name}.json"]
        chain.step(
            "measure_finite_sample", "measure_finite_sample", [f"{run}/features/{name}.npz"], finite, {}, **of
        )
    chain.step("collect_run", "collect_results", rows, [f"{run}/results.jsonl"], {}, **of)
    return f"{run}/results.jsonl"
