"""Render figures, notebooks, summary and report of a made-up study into the working folder: the child process of test_reproducible."""

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))


def main() -> None:
    spec = PathFinder.find_spec("made_up_report", [str(Path(__file__).parent)])
    made_up = module_from_spec(spec)
    spec.loader.exec_module(made_up)
    from workflow_scripts.core.step import run
    from workflow_scripts.report.figure_list import FIGURES
    from workflow_scripts.steps import (
        build_report,
        collect_costs,
        draw_figure,
        render_notebook,
        write_summary,
    )

    report, inputs = made_up.write_study(Path("study"))
    out, templates = Path("out"), ROOT / "reports" / "templates"
    for name in FIGURES:
        outputs = {"svg": out / f"{name}.svg", "png": out / f"{name}.png", "data": out / f"{name}.csv"}
        run(draw_figure.main, made_up.arguments({"figure": name, "report": report}, inputs, outputs))
    pages = [templates / "page.html.j2", templates / "notebook.html.j2"]
    needed = {name: inputs[name] for name in ("results", "verdict", "scale_marks", "logs", "probes")}
    for template in sorted((ROOT / "reports" / "notebooks").glob("*.ipynb")):
        chosen = needed | {"template": [template], "templates": pages}
        outputs = {"notebook": out / template.name, "html": out / f"{template.stem}.html"}
        run(
            render_notebook.main,
            made_up.arguments({"notebook": template.stem, "report": report}, chosen, outputs),
        )
    summary = inputs | {"template": [templates / "summary.md.j2"]}
    run(write_summary.main, made_up.arguments({"report": report}, summary, {"summary": out / "summary.md"}))
    run(
        collect_costs.main,
        made_up.arguments({}, {"timings": inputs["timings"]}, {"costs": out / "costs.json"}),
    )
    page = inputs | {
        "summary": [out / "summary.md"],
        "costs": [out / "costs.json"],
        "figures": [out / f"{name}.svg" for name in FIGURES],
        "captions": [ROOT / "reports" / "captions" / f"{name}.rst" for name in FIGURES],
        "notebooks": sorted(out.glob("0*.html")),
        "templates": [templates / name for name in ("report.html.j2", "report.css", "report.js")],
    }
    settings = {"report": report, "setting_files": made_up.setting_files(report)}
    run(build_report.main, made_up.arguments(settings, page, {"html": out / "report.html"}))


if __name__ == "__main__":
    main()
