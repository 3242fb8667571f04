"""Renew the README's pictures: the graph of rules as Snakemake sees it, and the frontier of a finished run of the default study."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.core.files import write_bytes, write_text
from workflow_scripts.study.config import read_config

BEGIN, END = "<!-- rulegraph: made by `make pictures` -->\n```mermaid\n", "```\n<!-- end of rulegraph -->"
FRONTIER = "docs/images/frechet_vs_nfe.png"


def main(root: Path = Path()) -> None:
    try:
        readme = (root / "README.md").read_text(encoding="utf-8")
        if readme.count(BEGIN) != 1 or END not in readme.partition(BEGIN)[2]:
            raise PipelineError(
                "README.md lacks the marks between which the rule graph stands; restore them from git"
            )
        before, _, rest = readme.partition(BEGIN)
        write_text(root / "README.md", before + BEGIN + rule_graph(root) + END + rest.partition(END)[2])
        print("README.md: the rule graph is as the rules are")
        study, preset, _ = read_config(root, {})
        figure = root / "reports" / study / preset / "figures" / "frechet_vs_nfe.png"
        if figure.is_file():
            write_bytes(root / FRONTIER, figure.read_bytes())
            print(f"{FRONTIER}: copied from {figure.relative_to(root)}")
        else:
            print(
                f"{FRONTIER}: left as it is, since {figure.relative_to(root)} is not there; run: make report"
            )
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def rule_graph(root: Path) -> str:
    """The graph of rules as mermaid text, one line per edge; the figures' rules are one, and edges that others imply are left out."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--quiet"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise PipelineError(
            f"snakemake --rulegraph failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}"
        )
    return mermaid(done.stdout)


def mermaid(text: str) -> str:
    """Snakemake's mermaid text in the short form of `rule_graph`."""
    names = {
        number: re.sub(r"^draw_.*", "draw_figure", name)
        for number, name in re.findall(r"(id\d+)\[(\w+)\]", text)
    }
    edges = {(names[start], names[end]) for start, end in re.findall(r"(id\d+) --> (id\d+)", text)}
    edges = {edge for edge in edges if "all" not in edge and edge[0] != edge[1]}
    after: dict[str, set[str]] = {}
    for start, end in edges:
        after.setdefault(start, set()).add(end)

    def reached(start: str) -> set[str]:
        found, waiting = set(), list(after.get(start, ()))
        while waiting:
            if (node := waiting.pop()) not in found:
                found.add(node)
                waiting += after.get(node, ())
        return found

    implied = {
        (start, end) for start, end in edges if any(end in reached(other) for other in after[start] - {end})
    }
    return "flowchart TD\n" + "".join(f"    {start} --> {end}\n" for start, end in sorted(edges - implied))


if __name__ == "__main__":
    main()
