# Figures, notebooks, the summary and the report: they read results and compute none.
import re

from workflow_scripts.report.figures import FIGURES as FIGURE_INFO

EVERY_LOG = every_run(f"{RUN}/log.csv", TRAINED)
EVERY_PROBE = [path for arm in PROBED for path in every_run(probes_of(arm), [arm])]
FINAL_PROBES = [path for arm in PROBED for path in every_run(probes_of(arm)[-1:], [arm])]
MAIN_POINTS = {arm["name"]: arm["main_point"] for arm in REPORT_SETTINGS["arms"]}
GRID_SAMPLES = [
    path
    for arm in STUDY.arms
    for path in expand(SAMPLES, arm=arm.name, seed=arm.seeds[0], point=MAIN_POINTS[arm.name])
]
MAIN_FEATURES, FINITE_SAMPLES = (
    [path for arm in ARMS for path in every_run(pattern, [arm], point=MAIN_POINTS[arm])]
    for pattern in (FEATURES, f"{RUN}/finite_sample/{{point}}.json")
)
# The inputs of each figure; those that show a metric are drawn if it is measured.
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
    "frechet_vs_step": {"results": f"{RESULTS}/results.jsonl"},
    "timestep_mse": {"probes": FINAL_PROBES},
    "loss_by_epoch": {"logs": EVERY_LOG, "train": f"{RESULTS}/data/train.npz"},
    "noise_schedules": {},
    "class_grid": {"samples": GRID_SAMPLES},
    "class_histogram": {"features": MAIN_FEATURES, "train": f"{RESULTS}/data/train.npz"},
}
OF_SECTIONS = {figure for name in STUDY.sections for figure in constant_of("sections", name, "FIGURES", ())}


def is_shown(figure):
    """Whether a figure is the study's: of a metric that it measures, or of one of its sections."""
    info = FIGURE_INFO[figure]
    return figure in OF_SECTIONS if info.of_section else info.metric in (None, *STUDY.metrics)


FIGURES = {name: FIGURES[name] for name in FIGURES if is_shown(name)}


# Steps load a figure's module by name, so that changing one figure redraws no other.
FIGURE_MODULES = {name: [f"workflow_scripts.report.figures.{name}"] for name in FIGURE_INFO}
WEIGHTINGS = {module for arm in ARMS for module in arm_modules(arm, "loss.weighting")}
FIGURE_MODULES["snr_and_weights"] += sorted(WEIGHTINGS)
SECTION_MODULES = [module_of("sections", name) for name in STUDY.sections]


def shown_figures(template):
    """The modules of the figures and sections that a notebook template names, or all if it names none."""
    text, named = template.read_text(encoding="utf-8"), []
    if "show_sections" in text:
        named = SECTION_MODULES
        text += "".join(source_path(module).read_text(encoding="utf-8") for module in named)
    shown = [modules for name, modules in FIGURE_MODULES.items() if re.search(rf"\b{name}\b", text)]
    return [*named, *(module for modules in shown or FIGURE_MODULES.values() for module in modules)]


NOTEBOOKS = {
    path.stem: shown_figures(path) for path in sorted((ROOT / "reports" / "notebooks").glob("*.ipynb"))
}


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
                # Gives Snakemake's own report the headings and titles of report.html.
                category=FIGURE_INFO[_name].section,
                labels={"figure": FIGURE_INFO[_name].title},
            ),
            png=f"{REPORT}/figures/{_name}.png",
            data=f"{REPORT}/figures/{_name}.csv",
        log:
            f"{RESULTS}/logs/draw_figure/{_name}.log",
        localrule: True
        params:
            settings=ascii_json({"figure": _name, "loads": FIGURE_MODULES[_name], "report": REPORT_SETTINGS}),
            inputs=inputs_as_words,
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
        power=f"{RESULTS}/power.json",
    output:
        notebook=f"{REPORT}/notebooks/{{notebook}}.ipynb",
        html=f"{REPORT}/notebooks/{{notebook}}.html",
    log:
        f"{RESULTS}/logs/render_notebook/{{notebook}}.log",
    params:
        settings=lambda wildcards: ascii_json(
            {
                "notebook": wildcards.notebook,
                "loads": NOTEBOOKS[wildcards.notebook],
                "report": REPORT_SETTINGS,
            }
        ),
    shell:
        step(
            "render_notebook",
            "template templates results verdict scale_marks logs probes power",
            "notebook html",
            wildcards="notebook",
        )


# The records that the summary and the report read.
RECORDS = {
    "verdict": f"{RESULTS}/verdict.json",
    "gate": f"{RESULTS}/gate.json",
    "results": f"{RESULTS}/results.jsonl",
    "scale_marks": f"{RESULTS}/stats/scale_marks.json",
    "finite_samples": FINITE_SAMPLES,
    "power": f"{RESULTS}/power.json",
    "manifest": f"{RESULTS}/data/manifest.json",
    "extractor_info": f"{RESULTS}/extractor/extractor.json",
}


rule write_summary:
    input:
        **RECORDS,
        template="reports/templates/summary.md.j2",
    output:
        summary=f"{REPORT}/summary.md",
    log:
        f"{RESULTS}/logs/write_summary.log",
    params:
        settings=ascii_json({"report": REPORT_SETTINGS, "loads": SECTION_MODULES}),
    shell:
        step(
            "write_summary",
            "template results verdict gate scale_marks manifest extractor_info finite_samples power",
            "summary",
        )


# Everything that the report shows. The steps' costs are collected from their manifests into a file, so that
# the page depends only on its inputs.
SHOWN = {
    "summary": f"{REPORT}/summary.md",
    **RECORDS,
    "figures": [f"{REPORT}/figures/{name}.svg" for name in FIGURES],
    "notebooks": [f"{REPORT}/notebooks/{name}.html" for name in NOTEBOOKS],
}


rule collect_costs:
    input:
        **SHOWN,
        timings=every_run(f"{RUN}/timing.json", TRAINED),
    output:
        costs=f"{RESULTS}/costs.json",
    log:
        f"{RESULTS}/logs/collect_costs.log",
    params:
        settings=ascii_json({}),
    shell:
        step("collect_costs", " ".join([*SHOWN, "timings"]), "costs")


rule build_report:
    input:
        **SHOWN,
        costs=f"{RESULTS}/costs.json",
        captions=[f"reports/captions/{name}.rst" for name in FIGURES],
        templates=[
            f"reports/templates/{name}"
            for name in ("report.html.j2", "report.css", "report.js", "summary.md.j2")
        ],
    output:
        html=f"{REPORT}/report.html",
    log:
        f"{RESULTS}/logs/build_report.log",
    params:
        settings=ascii_json(
            {"report": REPORT_SETTINGS, "setting_files": SETTING_FILES, "loads": SECTION_MODULES}
        ),
    shell:
        step("build_report", " ".join([*SHOWN, "costs captions templates"]), "html")


def every_output():
    """Every file that the study keeps, intermediate ones included."""
    of_some_runs = ("all", "measure_finite_sample", "judge_checkpoints", "count_flops")
    names = [rule.name for rule in workflow.rules if rule.name not in of_some_runs]
    outputs = {name: [str(path) for path in getattr(rules, name).output] for name in names}
    found = {*FINITE_SAMPLES, *REDRAWN_SAMPLES, *EVERY_PROBE, *every_run(JUDGED_CHECKPOINTS, JUDGED)}
    found |= {*expand(FLOPS, arm=COUNTED)}
    networks = [network.name for network in STUDY.networks]
    for arm in ARMS:
        absent = [f"measure_{file_of(name)}" for name in METRICS if name not in metrics_of(arm)]
        absent += [name for name, arms in TRAINING_RULES.items() if arm not in arms]
        patterns = [
            path for name in names if name not in absent for path in outputs[name] if "{step}" not in path
        ]
        points = STUDY.points_of(arm)
        found.update(every_run(patterns, [arm], notebook=NOTEBOOKS, point=points, network=networks))
    return sorted(found)
