"""The imports in the code are the ones that docs/architecture.md allows. Nothing is imported to find out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = "workflow_scripts"
PARSED_FAST = ("study", "provenance", "report", "cluster")
# Packages that load torch when imported.
TORCH = {"torch", "torchvision", "torch_fidelity", "pytorch_fid", "diffusers", "pyhessian"}
RULES_MAY_IMPORT = {"study", "provenance", "cluster", "common"}
# The closing verdict table, whose own test holds it to light imports, and the figures' titles, which import nothing.
FROM_REPORT = ("workflow_scripts.report.terminal", "workflow_scripts.report.figure_list")


def allowed_imports(architecture: str) -> dict[str, set[str]]:
    """Package -> packages of ours that it may import, from the table in docs/architecture.md."""
    table = {}
    for name, cell in re.findall(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$", architecture, flags=re.MULTILINE):
        table[name] = set() if cell == "nothing of ours" else {part.strip() for part in cell.split(",")}
    return table


def modules(root: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of ours."""
    found = {}
    for path in sorted((root / OURS).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name: str, path: Path, known: dict[str, Path], on_load_only: bool = False) -> set[str]:
    """Dotted names that a module imports; with `on_load_only` not those inside functions, which wait for a call."""
    names: set[str] = set()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), on_load_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            # `from package import module` names a module, `from module import name` does not
            for alias in node.names:
                member = f"{base}.{alias.name}"
                names.add(member if member in known else base)
    return names


def _nodes(node: ast.AST, on_load_only: bool):
    for child in ast.iter_child_nodes(node):
        if on_load_only and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield child
        yield from _nodes(child, on_load_only)


def package_of(name: str) -> str | None:
    """The package of a module of ours: `study` for workflow_scripts.study.verdict, None at the top level."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == OURS else None


def is_entry_point(name: str, known: dict[str, Path]) -> bool:
    return name.count(".") == 1 and name in known and known[name].name != "__init__.py"


def layering_violations(root: Path, table: dict[str, set[str]]) -> list[str]:
    known, found = modules(root), []
    for name, path in known.items():
        own = package_of(name)
        if own is not None and not is_entry_point(name, known) and own not in table:
            found.append(f"{own}/ has no row in docs/architecture.md")
            continue
        for target in sorted(imports(name, path, known)):
            if is_entry_point(target, known):
                found.append(f"{name} imports the entry point {target}")
                continue
            used = package_of(target)
            if own in table and used is not None and used not in table[own] | {own}:
                found.append(f"{name} imports {target}")
    return found


def torch_violations(root: Path) -> list[str]:
    """Chains of imports by which loading or calling a fast package would load torch."""
    known, found = modules(root), []
    for start in (name for name in known if package_of(name) in PARSED_FAST):
        chains, seen = [[start]], {start}
        while chains:
            chain = chains.pop()
            fast = package_of(chain[-1]) in PARSED_FAST
            for target in sorted(imports(chain[-1], known[chain[-1]], known, on_load_only=not fast)):
                if target.partition(".")[0] in TORCH:
                    found.append(" -> ".join([*chain, target]))
                parts = target.split(".")
                # importing a.b.c also runs a and a.b
                for module in (".".join(parts[:end]) for end in range(1, len(parts) + 1)):
                    if module in known and module not in seen:
                        seen.add(module)
                        chains.append([*chain, module])
    return found


def rule_file_imports(text: str) -> set[str]:
    """Dotted names imported by a Snakemake file, which is not Python that ast could parse."""
    names = set()
    for line in re.findall(r"^\s*((?:from|import)\s+[\w.].*)$", text, flags=re.MULTILINE):
        node = ast.parse(line.strip() if not line.rstrip().endswith("(") else line.strip() + "x)").body[0]
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            # `from workflow_scripts import study` must not hide which package it takes
            names |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == OURS else {node.module}
    return names


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for relative, text in files.items():
        path = root / OURS / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    (root / OURS / "__init__.py").touch()
    return root


def test_the_architectures_table_is_read():
    table = allowed_imports((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert table["common"] == set()
    assert table["training"] == {"common", "diffusion", "models", "data"}
    packages = {path.parent.name for path in (ROOT / OURS).glob("*/__init__.py")}
    assert packages == set(table)


def test_every_import_is_allowed():
    table = allowed_imports((ROOT / "docs/architecture.md").read_text(encoding="utf-8"))
    assert layering_violations(ROOT, table) == []


def test_study_provenance_and_report_never_load_torch():
    assert torch_violations(ROOT) == []


@pytest.mark.parametrize("path", [ROOT / "Snakefile", *sorted(ROOT.glob("rules/*.smk"))], ids=lambda path: path.name)
def test_parsing_the_workflow_imports_only_fast_packages(path):
    imported = rule_file_imports(path.read_text(encoding="utf-8"))
    assert {name for name in imported if name.partition(".")[0] in TORCH} == set()
    ours = {name for name in imported if name.partition(".")[0] == OURS and not name.startswith(FROM_REPORT)}
    assert {package_of(name) for name in ours} <= RULES_MAY_IMPORT


TABLE = {"common": set(), "study": {"common"}, "metrics": {"common"}}


@pytest.mark.parametrize(
    "line",
    [
        "import workflow_scripts.metrics.frechet",
        "from workflow_scripts.metrics import frechet",
        "from workflow_scripts.metrics.frechet import distance",
        "from workflow_scripts import metrics",
        "from ..metrics import frechet",
        "from .. import metrics",
        "def later():\n    from workflow_scripts.metrics import frechet",
        "try:\n    import workflow_scripts.metrics\nexcept ImportError:\n    pass",
    ],
)
def test_a_forbidden_import_is_found_in_every_spelling(tmp_path, line):
    root = write_tree(tmp_path, {"metrics/frechet.py": "", "study/verdict.py": line, "common/files.py": ""})
    violations = layering_violations(root, TABLE)
    assert [text.split(" imports ")[0] for text in violations] == ["workflow_scripts.study.verdict"]


def test_allowed_imports_and_the_own_package_are_not_reported(tmp_path):
    allowed = ("import json", "from workflow_scripts.common import files", "from . import rule", "from .rule import x")
    root = write_tree(tmp_path, {"study/verdict.py": "\n".join(allowed), "study/rule.py": "", "common/files.py": ""})
    assert layering_violations(root, TABLE) == []


def test_importing_an_entry_point_is_found(tmp_path):
    files = {
        "train_model.py": "",
        "sample_images.py": "from workflow_scripts import train_model",
        "study/a.py": "import workflow_scripts.train_model",
    }
    assert layering_violations(write_tree(tmp_path, files), TABLE) == [
        "workflow_scripts.sample_images imports the entry point workflow_scripts.train_model",
        "workflow_scripts.study.a imports the entry point workflow_scripts.train_model",
    ]


def test_a_package_without_a_row_is_found(tmp_path):
    assert "extra/ has no row" in layering_violations(write_tree(tmp_path, {"extra/a.py": ""}), TABLE)[0]


def test_torch_is_found_directly_inside_a_function_and_through_other_modules(tmp_path):
    files = {
        "study/direct.py": "import torch.nn",
        "study/late.py": "def f():\n    from torch import nn",
        "study/through.py": "def f():\n    from workflow_scripts.common import tensors",
        "common/tensors.py": "import torchvision",
        "provenance/clean.py": "from workflow_scripts.common import lazy",
        "common/lazy.py": "def f():\n    import torch",  # loads nothing until it is called
    }
    assert torch_violations(write_tree(tmp_path, files)) == [
        "workflow_scripts.study.direct -> torch.nn",
        "workflow_scripts.study.late -> torch",
        "workflow_scripts.study.through -> workflow_scripts.common.tensors -> torchvision",
    ]


def test_torch_in_a_packages_own_init_is_found(tmp_path):
    root = write_tree(tmp_path, {"study/a.py": "import workflow_scripts.common.files", "common/files.py": ""})
    (root / OURS / "common" / "__init__.py").write_text("import torch")
    assert torch_violations(root) == ["workflow_scripts.study.a -> workflow_scripts.common -> torch"]


def test_imports_in_a_snakemake_file_are_read():
    text = (
        "from workflow_scripts.study.config import load_study\nfrom workflow_scripts import metrics\nimport torch\n"
        "from workflow_scripts.training.loop import (\n    train,\n)\n"
        'rule train:\n    output: "a"\n    run:\n        import json\n'
    )
    assert rule_file_imports(text) == {
        "workflow_scripts.study.config", "workflow_scripts.metrics", "torch", "workflow_scripts.training.loop", "json",
    }  # fmt: skip
