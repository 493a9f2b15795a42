"""The import directions of the project, read from the source."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("data", "kernels", "model", "train", "experiments")

# What each folder may import of the others. Single files with a wider view are listed below it.
ALLOWED = {
    "data": set(),
    "kernels": set(),
    "model": {"kernels"},
    "train": {"model.lm"},
    "experiments": {"data", "model", "train"},
}
WIDER = {
    "train/pretrain.py": {"data", "model"},
    "train/tune.py": {"data", "model"},
    "train/bench.py": {"data", "model"},
    "train/plan.py": {"model"},
}
FORBIDDEN_LIBRARIES = {"data": {"jax", "flax", "optax", "orbax"}}


def _modules(path: pathlib.Path) -> list[str]:
    """Dotted names of everything a file imports, `from a import b` as a.b."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the folder's name"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _within(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(a + ".") for a in allowed)


FILES = [f for folder in FOLDERS for f in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_what_its_folder_may(path):
    here = str(path.relative_to(ROOT))
    folder = here.split("/")[0]
    allowed = ALLOWED[folder] | WIDER.get(here, set()) | {folder}
    for name in _modules(path):
        top = name.split(".")[0]
        if top in FOLDERS:
            assert _within(name, allowed), f"{here} imports {name}; {folder} may use {allowed}"
        assert top not in FORBIDDEN_LIBRARIES.get(folder, ()), f"{here} imports {name}"


def _graph(folder: str) -> dict[str, set[str]]:
    files = {".".join(f.relative_to(ROOT).with_suffix("").parts): f for f in FILES}
    files = {name: f for name, f in files.items() if name.split(".")[0] == folder}
    edges = {}
    for name, path in files.items():
        used = _modules(path)
        edges[name] = {
            other for other in files if other != name and any(_within(u, {other}) for u in used)
        }
    return edges


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_has_an_import_cycle(folder):
    edges = _graph(folder)
    while edges:
        leaves = {name for name, uses in edges.items() if not uses & edges.keys()}
        assert leaves, f"cycle among {sorted(edges)}"
        edges = {name: uses for name, uses in edges.items() if name not in leaves}


def test_a_mixer_never_imports_another_mixer():
    files = sorted((ROOT / "model").glob("*.py"))
    mixers = [f for f in files if "def build(" in f.read_text() and f.stem != "mixer"]
    assert len(mixers) >= 8
    for path in mixers:
        used = {m.split(".")[1] for m in _modules(path) if m.startswith("model.")}
        assert used <= {"layer", "mixer", "collect"}, path.stem
