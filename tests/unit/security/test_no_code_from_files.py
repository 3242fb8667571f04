"""Nothing in the source can run what a file holds, and files made to do it leave no trace."""

from __future__ import annotations

import ast
import io
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from workflow_scripts.core import files
from workflow_scripts.core.errors import PipelineError
from workflow_scripts.data.images import load_dataset
from workflow_scripts.metrics.classifier import load_classifier
from workflow_scripts.metrics.inception import load_inception
from workflow_scripts.metrics.statistics import load_statistics
from workflow_scripts.metrics.weights import load_weights
from workflow_scripts.study import schema
from workflow_scripts.study.preregistration import parse_front_matter
from workflow_scripts.study.schema import read_yaml
from workflow_scripts.training.checkpoints import load_checkpoint

ROOT = Path(__file__).parents[3]
SOURCES = sorted((ROOT / "workflow_scripts").rglob("*.py"))
FORBIDDEN = re.compile(
    r"""
    eval|exec|compile|__import__|os\.(system|popen)|subprocess\.getoutput
    |pickle\.(loads?|Unpickler)|marshal\.loads?|shelve\.open|(dill|joblib)\.load|(pandas|pd)\.read_pickle
    |yaml\.(unsafe_load|full_load|load_all)|np\.fromfile|torch\.(hub|jit)\.load|torchvision\.datasets\.CIFAR10
    |shutil\.unpack_archive|urllib\.request\.url(open|retrieve)|requests\.get|.+\.extract(all)?
    """,
    re.VERBOSE,
)
ALLOWED = {
    # checks the sum of what it fetched
    ("core/download.py", "urllib.request.urlopen"),
    # after the sum of the archive was checked
    ("data/published.py", "torchvision.datasets.CIFAR10"),
    ("data/published.py", "packed.extractall"),
    # a crate, of bounded size, into a temporary folder; zipfile keeps its files inside
    ("tools/crate.py", "archive.extractall"),
}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; `.c` where it hangs on something else, such as a call."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> str:
    """The source of what is given for a keyword; empty where it is missing."""
    return next((ast.unparse(item.value) for item in call.keywords if item.arg == name), "")


def dangers(source: str) -> list[str]:
    """Everything in a module's source that could run, or unpack, the content of a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            found += [dotted(base) for base in node.bases if FORBIDDEN.fullmatch(dotted(base))]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += filter(FORBIDDEN.fullmatch, names)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        unsafe = {
            "torch.load": keyword(node, "weights_only") != "True",
            "yaml.load": keyword(node, "Loader") not in ("_Loader", "yaml.SafeLoader"),
            "np.load": keyword(node, "allow_pickle") != "False",
        }
        if FORBIDDEN.fullmatch(name) or unsafe.get(name, False) or keyword(node, "shell"):
            found.append(name)
    return found


def test_no_module_can_run_or_unpack_what_a_file_holds():
    found = {
        (path.relative_to(ROOT / "workflow_scripts").as_posix(), danger)
        for path in SOURCES
        for danger in dangers(path.read_text(encoding="utf-8"))
    }
    assert len(SOURCES) > 80 and found == ALLOWED
    assert issubclass(schema._Loader, yaml.SafeLoader)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(handle)",
        "from pickle import loads\nloads(b'')",
        "eval(text)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(text, shell=True)",
        "archive.extractall(folder)",
        "class Mine(pickle.Unpickler):\n    pass",
        "from urllib.request import urlopen",
    ],
)
def test_the_search_finds_each_kind(source):
    assert dangers(source)


def test_rules_quote_every_path_and_every_value():
    """Snakemake fills in shell commands: a placeholder that can hold text from outside must end in `:q`."""
    for path in [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"shell=True|os\.system|^    run:", text, flags=re.MULTILINE), path
        for commands in re.findall(r"^    shell:\n((?:        .*\n)+)", text, flags=re.MULTILINE):
            assert "step(" in commands, path
            placeholders = set(re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", commands))
            # `params.inputs` is quoted where it is made (rules/report.smk)
            unquoted = {name for name in placeholders if not name.endswith(":q")}
            assert unquoted <= {"params.inputs", "threads"}, path


# --- files made to run something


class Payload:
    """Unpickled by Python's own unpickler, it creates the marker."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.fixture
def marker(tmp_path):
    path = tmp_path / "marker"
    yield path
    assert not path.exists(), "a file ran code"


def test_the_payload_works(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "own"))).close()
    assert (tmp_path / "own").exists()


def torch_file(content, legacy=False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


READERS = {
    "weights": load_weights,
    "classifier": load_classifier,
    "inception": load_inception,
    "checkpoint": load_checkpoint,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_weights_that_hold_code(tmp_path, marker, reader, kind):
    content = dict.fromkeys(("model", "state_dict", "architecture"), Payload(marker))
    path = tmp_path / "evil.pt"
    if kind == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        path.write_bytes(torch_file(content, legacy=kind == "legacy"))
    with pytest.raises(PipelineError, match="evil.pt"):
        READERS[reader](path)


@pytest.mark.parametrize("kind", ["array", "bare"])
def test_an_npz_that_holds_code(tmp_path, marker, kind):
    path, payload = tmp_path / "evil.npz", np.empty(1, dtype=object)
    payload[0] = Payload(marker)
    if kind == "array":
        np.savez(path, **dict.fromkeys(("images", "labels", "mu", "sigma", "count"), payload))
    else:
        path.write_bytes(pickle.dumps(Payload(marker)))
    for read in (load_dataset, load_statistics, files.read_npz_dict):
        with pytest.raises(PipelineError, match="evil.npz"):
            read(path)


@pytest.mark.parametrize(
    "tag", ["object/apply:os.system", "object/new:os.system", "name:os.system", "module:os"]
)
def test_yaml_that_asks_for_code(tmp_path, marker, tag):
    text = f"title: !!python/{tag} ['touch {marker}']"
    (tmp_path / "evil.yaml").write_text(text)
    with pytest.raises(PipelineError, match="not valid YAML: could not determine a constructor"):
        read_yaml(tmp_path / "evil.yaml")
    with pytest.raises(PipelineError, match="not valid YAML"):
        parse_front_matter(f"---\n{text}\n---\n", "evil.md")


# --- files made to fill the machine, and damaged ones


def test_an_npz_that_unpacks_to_more_than_the_machine_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**20)
    bomb, honest = tmp_path / "bomb.npz", tmp_path / "honest.npz"
    files.write_npz(bomb, images=np.zeros(2**24, dtype=np.uint8))
    files.write_npz(honest, images=np.random.default_rng(0).integers(0, 256, 2**22, dtype=np.uint8))
    with pytest.raises(PipelineError, match="bomb.npz .*it would unpack to 16,777,"):
        files.read_npz(bomb, "images")
    assert len(files.read_npz(honest, "images")[0]) == 2**22


def test_weights_that_are_compressed_or_have_a_flipped_bit_are_refused(tmp_path):
    """torch.load accepts both."""
    content, packed = torch_file({"w": torch.arange(1000.0)}), io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as plain,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to,
    ):
        for member in plain.infolist():
            to.writestr(member.filename, plain.read(member))
    flipped = bytearray(content)
    flipped[content.index(np.arange(500.0, 501.0, dtype=np.float32).tobytes())] ^= 1
    for altered in (packed.getvalue(), bytes(flipped)):
        (tmp_path / "altered.pt").write_bytes(altered)
        assert torch.load(tmp_path / "altered.pt", weights_only=True)
        with pytest.raises(PipelineError, match="altered.pt is damaged"):
            load_weights(tmp_path / "altered.pt")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol", "ignore:Trying to call")
def test_weights_with_bytes_changed_are_read_or_refused(tmp_path, legacy):
    generator = np.random.default_rng(0)
    content = torch_file({"w": torch.zeros(3)}, legacy)
    for _ in range(1000):
        changed = bytearray(content)
        for position in generator.integers(0, len(content), generator.integers(1, 4)):
            changed[position] = generator.integers(0, 256)
        (tmp_path / "changed.pt").write_bytes(changed)
        try:
            load_weights(tmp_path / "changed.pt")
        except PipelineError as error:
            assert "changed.pt" in str(error)
