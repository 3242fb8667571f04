# Figures, notebooks, the summary and the report; all of them read results, none computes any.
import re
import shlex

from workflow_scripts.report.figure_list import FIGURES as FIGURE_INFO

EVERY_LOG = expand(f"{RUN}/log.csv", arm=ARMS, seed=STUDY.seeds)
EVERY_PROBE = expand(
    CHECKPOINT.replace("checkpoints", "probes").replace(".pt", ".json"),
    arm=ARMS,
    seed=STUDY.seeds,
    step=[f"{number:07d}" for number in CHECKPOINT_STEPS],
)
FINAL_PROBES = [path for path in EVERY_PROBE if path.endswith(f"step{FINAL_STEP:07d}.json")]
GRID_SAMPLES = expand(
    SAMPLES,
    arm=ARMS,
    seed=STUDY.seeds[0],
    sampler=REPORT_SETTINGS["main_sampler"],
    nfe=f"{REPORT_SETTINGS['main_nfe']:04d}",
)
FINITE_SAMPLES = expand(
    f"{RUN}/finite_sample/{{sampler}}_nfe{{nfe}}.json",
    arm=ARMS,
    seed=STUDY.seeds,
    sampler=REPORT_SETTINGS["main_sampler"],
    nfe=f"{REPORT_SETTINGS['main_nfe']:04d}",
)
# What each figure is drawn from.
FIGURES = {
    "hypotheses": {"verdict": f"{RESULTS}/verdict.json"},
    "frechet_vs_nfe": {
        "results": f"{RESULTS}/results.jsonl",
        "scale_marks": f"{RESULTS}/stats/scale_marks.json",
        "verdict": f"{RESULTS}/verdict.json",
    },
    "sample_grid": {"samples": GRID_SAMPLES},
    "curvature_vs_step": {"results": f"{RESULTS}/results.jsonl"},
    "curvature_vs_frechet": {"results": f"{RESULTS}/results.jsonl"},
    "snr_and_weights": {},
    "training_curves": {"logs": EVERY_LOG},
    "timestep_mse": {"probes": FINAL_PROBES},
}


def figure_module(name):
    """The module of a figure. Steps load it by name, so that a change of one figure draws no other again."""
    return f"report.figures.{name}"


def shown_figures(template):
    """The modules of the figures whose names stand in a notebook template; of all where none does, to be safe."""
    text = template.read_text(encoding="utf-8")
    return [figure_module(name) for name in FIGURES if re.search(rf"\b{name}\b", text)] or list(
        map(figure_module, FIGURES)
    )


NOTEBOOKS = {
    path.stem: shown_figures(path) for path in sorted((ROOT / "reports" / "notebooks").glob("*.ipynb"))
}


localrules:
    render_notebook,
    write_summary,
    collect_costs,
    build_report,


for _name, _sources in FIGURES.items():

    rule:
        name:
            f"draw_{_name}"
        input:
            **_sources,
        output:
            svg=report(
                f"{REPORT}/figures/{_name}.svg",
                caption=f"../reports/captions/{_name}.rst",
                # As in report.html: Snakemake's own report has the same headings and titles.
                category=FIGURE_INFO[_name].section,
                labels={"figure": FIGURE_INFO[_name].title},
            ),
            png=f"{REPORT}/figures/{_name}.png",
            data=f"{REPORT}/figures/{_name}.csv",
        log:
            f"{RESULTS}/logs/draw_figure/{_name}.log",
        localrule: True
        params:
            settings=canonical_json(
                {"figure": _name, "loads": [figure_module(_name)], "report": REPORT_SETTINGS}
            ),
            source=source("draw_figure", [figure_module(_name)]),
            packages=packages("draw_figure", [figure_module(_name)]),
            # Snakemake evaluates `shell` after the loop has ended, so what differs between figures is a
            # parameter.
            inputs=lambda wildcards, input: " ".join(
                f"--input {name} {shlex.join([paths] if isinstance(paths, str) else paths)}"
                for name, paths in input.items()
            ),
        shell:
            step("draw_figure", outputs="svg png data") + " {params.inputs}"


rule render_notebook:
    input:
        template="reports/notebooks/{notebook}.ipynb",
        templates=["reports/templates/page.html.j2", "reports/templates/notebook.html.j2"],
        results=f"{RESULTS}/results.jsonl",
        verdict=f"{RESULTS}/verdict.json",
        scale_marks=f"{RESULTS}/stats/scale_marks.json",
        logs=EVERY_LOG,
        probes=EVERY_PROBE,
    output:
        notebook=f"{REPORT}/notebooks/{{notebook}}.ipynb",
        html=f"{REPORT}/notebooks/{{notebook}}.html",
    log:
        f"{RESULTS}/logs/render_notebook/{{notebook}}.log",
    params:
        settings=lambda wildcards: canonical_json(
            {
                "notebook": wildcards.notebook,
                "loads": NOTEBOOKS[wildcards.notebook],
                "report": REPORT_SETTINGS,
            }
        ),
        source=lambda wildcards: source("render_notebook", NOTEBOOKS[wildcards.notebook]),
        packages=lambda wildcards: packages("render_notebook", NOTEBOOKS[wildcards.notebook]),
    shell:
        step(
            "render_notebook",
            "template templates results verdict scale_marks logs probes",
            "notebook html",
            wildcards="notebook",
        )


rule write_summary:
    input:
        template="reports/templates/summary.md.j2",
        results=f"{RESULTS}/results.jsonl",
        verdict=f"{RESULTS}/verdict.json",
        gate=f"{RESULTS}/gate.json",
        scale_marks=f"{RESULTS}/stats/scale_marks.json",
        manifest=f"{RESULTS}/data/manifest.json",
        extractor_info=f"{RESULTS}/extractor/extractor.json",
        finite_samples=FINITE_SAMPLES,
    output:
        summary=f"{REPORT}/summary.md",
    log:
        f"{RESULTS}/logs/write_summary.log",
    params:
        settings=canonical_json({"report": REPORT_SETTINGS}),
        source=source("write_summary"),
        packages=packages("write_summary"),
    shell:
        step(
            "write_summary",
            "template results verdict gate scale_marks manifest extractor_info finite_samples",
            "summary",
        )


# Everything that the report shows; what its steps cost is collected from their manifests and stands in a file
# of its own, so that the page is a function of its inputs.
SHOWN = {
    "summary": f"{REPORT}/summary.md",
    "verdict": f"{RESULTS}/verdict.json",
    "gate": f"{RESULTS}/gate.json",
    "results": f"{RESULTS}/results.jsonl",
    "scale_marks": f"{RESULTS}/stats/scale_marks.json",
    "finite_samples": FINITE_SAMPLES,
    "manifest": f"{RESULTS}/data/manifest.json",
    "extractor_info": f"{RESULTS}/extractor/extractor.json",
    "figures": [f"{REPORT}/figures/{name}.svg" for name in FIGURES],
    "notebooks": [f"{REPORT}/notebooks/{name}.html" for name in NOTEBOOKS],
}


rule collect_costs:
    input:
        **SHOWN,
        timings=expand(f"{RUN}/timing.json", arm=ARMS, seed=STUDY.seeds),
    output:
        costs=f"{RESULTS}/costs.json",
    log:
        f"{RESULTS}/logs/collect_costs.log",
    params:
        settings=canonical_json({}),
        source=source("collect_costs"),
        packages=packages("collect_costs"),
    shell:
        step("collect_costs", " ".join([*SHOWN, "timings"]), "costs")


rule build_report:
    input:
        **SHOWN,
        costs=f"{RESULTS}/costs.json",
        captions=[f"reports/captions/{name}.rst" for name in FIGURES],
        templates=[f"reports/templates/report.{end}" for end in ("html.j2", "css", "js")],
    output:
        html=f"{REPORT}/report.html",
    log:
        f"{RESULTS}/logs/build_report.log",
    params:
        settings=canonical_json({"report": REPORT_SETTINGS, "setting_files": SETTING_FILES}),
        source=source("build_report"),
        packages=packages("build_report"),
    shell:
        step("build_report", " ".join([*SHOWN, "costs captions templates"]), "html")


def every_output():
    """Every file that the study keeps, the ones between data and report too."""
    once = [
        rules.check_preregistration,
        rules.prepare_data,
        rules.train_extractor,
        rules.compute_reference,
        rules.collect_study,
        rules.decide_verdict,
        rules.write_summary,
        rules.collect_costs,
        *(getattr(rules, f"draw_{name}") for name in FIGURES),
    ]
    per_run = expand([*rules.train_model.output, *rules.collect_run.output], arm=ARMS, seed=STUDY.seeds)
    per_sample = [
        path
        for sampler, nfe in STUDY.sampler_nfe
        for rule in (rules.sample_images, rules.extract_features, rules.compute_metrics)
        for path in expand(rule.output, arm=ARMS, seed=STUDY.seeds, sampler=sampler, nfe=f"{nfe:04d}")
    ]
    notebooks = expand(rules.render_notebook.output, notebook=NOTEBOOKS)
    return [
        *(path for rule in once for path in rule.output),
        *per_run,
        *per_sample,
        *EVERY_PROBE,
        *FINITE_SAMPLES,
        *notebooks,
    ]
