"""The README's graph is that of the rules, and its picture is there."""

from pathlib import Path

import pytest

from tests.workflow.projects import ROOT
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.tools import pictures as update_pictures
from workflow_scripts.tools.pictures import BEGIN, END, FRONTIER, main, mermaid, rule_graph


def test_the_readme_shows_the_rules_as_they_are():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert BEGIN + rule_graph(ROOT) + END in readme, "the rules have changed; run: make pictures"
    assert f"]({FRONTIER})" in readme
    assert (ROOT / FRONTIER).read_bytes().startswith(b"\x89PNG")


def test_implied_edges_and_the_target_are_left_out_and_figures_are_one():
    names = ["all", "build", "draw_a", "draw_b", "train"]
    text = "\n".join(f"id{number}[{name}]" for number, name in enumerate(names))
    edges = [(1, 0), (2, 1), (3, 1), (4, 2), (4, 3), (4, 1), (2, 3)]
    text += "".join(f"\n\tid{start} --> id{end}" for start, end in edges)
    assert mermaid(text) == "flowchart TD\n    draw_figure --> build\n    train --> draw_figure\n"


def test_the_graph_is_renewed_and_the_figure_copied_where_a_run_is_finished(
    tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr(update_pictures, "rule_graph", lambda root: "flowchart TD\n    a --> b\n")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("study: S\npreset: p\ndata_root: data\n")
    (tmp_path / "README.md").write_text(f"before\n{BEGIN}old\n{END}\nafter\n")
    main(tmp_path)
    assert (tmp_path / "README.md").read_text() == f"before\n{BEGIN}flowchart TD\n    a --> b\n{END}\nafter\n"
    assert not (tmp_path / FRONTIER).exists() and "run: make report" in capsys.readouterr().out
    figure = tmp_path / "reports/S/p/figures/frechet_vs_nfe.png"
    figure.parent.mkdir(parents=True)
    figure.write_bytes(b"a picture")
    main(tmp_path)
    assert (tmp_path / FRONTIER).read_bytes() == b"a picture"


def test_a_readme_without_the_marks_is_refused_in_one_line(tmp_path: Path, capsys):
    (tmp_path / "README.md").write_text("# Nothing\n")
    with pytest.raises(SystemExit):
        main(tmp_path)
    assert capsys.readouterr().err.startswith("error: README.md lacks the marks")
    with pytest.raises(PipelineError, match="snakemake --rulegraph failed"):
        rule_graph(tmp_path)
