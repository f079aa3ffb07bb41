"""The house: which module may import which, what stays light, and how long things may be."""

import ast
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import reddiff_cli

SOURCE = Path(reddiff_cli.__file__).parent

# A module or package may import only those of a smaller number.
LAYERS = {
    0: ["__init__", "errors", "signatures", "linear", "interpolation", "metrics", "alignment"],
    1: ["files", "interrupts", "schedule", "formats", "light", "machine"],
    2: ["options", "tiling"],
    3: ["checkpoints", "estimation", "pictures"],
    4: ["budget", "holes", "kernels", "networks", "solvers"],
    5: ["denoisers", "operators"],
    6: ["retrieval", "traces", "training"],
    7: ["planning"],
    8: ["reporting", "result", "tasks"],
    9: ["foretell", "methods", "sheets"],
    10: ["bench", "restore"],
    11: ["evaluation", "run"],
    12: ["commands"],
    13: ["cli"],
    14: ["__main__"],
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}
# Without torch at module level: what --help, --dry-run and mistakes on the command line touch;
# first the modules at the root.
LIGHT = {
    "": ["budget", "cli", "errors", "files", "interrupts", "run"],
    "formats": [
        *["arrays", "attributes", "carriers", "comments", "damage", "deep", "endings", "heif"],
        *["jpeg", "jpeg2000", "kinds", "pngchunks", "reader", "samples", "tifftags"],
    ],
    "light": ["response"],
    "machine": ["allocator", "devices"],
    "options": ["checks", "common", "damages", "kernelspec", "tasks"],
    "checkpoints": ["cards", "folder_card", "folders", "hub", "models"],
    "pictures": ["files", "mask_edges", "masks", "pixels", "readings", "shots", "sparks"],
    "kernels": ["files", "filters", "shapes"],
    "retrieval": ["diffraction", "options"],
    "training": ["options"],
    "planning": ["headers", "jobs", "outputs", "record", "rehearsal", "shards"],
    "reporting": ["progress", "report", "streams", "tables"],
    "evaluation": [
        *["crops", "hole_shapes", "inputs", "ledger", "options", "plot", "report", "run", "sheet"],
    ],
    "commands": ["bench", "eval", "flags", "making", "models", "train"],
}
FILES = sorted(SOURCE.rglob("*.py"))
PACKAGES = sorted({path.parent for path in FILES} - {SOURCE})
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def module_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def our_imports(path: Path, package: Path = SOURCE) -> set[str]:
    """Modules of a package of ours that a file in it imports, also inside functions."""
    found = set()
    depth = len(path.relative_to(package).parts)
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {name.split(".")[0] for name in names}
    return found


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_downward(path):
    own = module_of(path)
    assert own in LAYER_OF, f"{own} has no layer"
    for name in our_imports(path):
        if name in LAYER_OF and name != own and name != "__version__":
            assert LAYER_OF[name] < LAYER_OF[own], f"{own} must not import {name}"


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_files_of_a_package_import_in_one_direction(package):
    """Every file of it can be read after those that it imports."""
    names = {path.stem for path in package.glob("*.py")}
    siblings = {path.stem: our_imports(path, package) & names for path in package.glob("*.py")}
    order = list(TopologicalSorter(siblings).static_order())
    assert set(order) == names


def test_what_belongs_together_lies_together():
    """The root holds what stands alone, and a package more than a pair of files."""
    assert len(list(SOURCE.glob("*.py"))) <= 24
    for package in PACKAGES:
        assert len(list(package.glob("[!_]*.py"))) >= 3, f"{package.name} is no package"


def test_every_layer_entry_exists():
    assert set(LAYER_OF) == {module_of(path) for path in FILES}


def test_light_modules_do_not_load_torch():
    modules = [f"{package}.{name}".lstrip(".") for package in LIGHT for name in LIGHT[package]]
    names = ", ".join(f"reddiff_cli.{module}" for module in modules)
    heavy = ["torch", "diffusers", "huggingface_hub", "OpenImageIO"]
    code = f"import sys, {names}; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_help_and_mistakes_read_no_pictures():
    """Nor draw bars: numpy and Pillow would double the time that --help takes."""
    heavy = ["numpy", "PIL", "rich.progress"]
    code = f"import sys, reddiff_cli.cli; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("path", FILES, ids=str)
def test_style(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
            public = not node.name.startswith("_")
            top = node in TREES[path].body
            assert not (public and top) or ast.get_docstring(node), f"{node.name}: no docstring"
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            assert "click" not in names, "Typer carries its own Click"
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            assert "typer.Exit" not in ast.unparse(node.value), "raise it: a return exits 0"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", "only reporting/report.py writes"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "bare except"
    assert ast.get_docstring(TREES[path])


def test_no_two_classes_have_one_name():
    classes = [
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, count in Counter(classes).items() if count > 1] == []


def test_functions_handed_from_module_to_module_have_one_type_each():
    ours = SOURCE / "signatures.py"
    told = [ast.unparse(n.value) for n in TREES[ours].body if isinstance(n, ast.Assign)]
    for path in set(FILES) - {ours}:
        again = {ast.unparse(n) for n in ast.walk(TREES[path]) if isinstance(n, ast.Subscript)}
        assert not again & {text for text in told if "[[Tensor, Tensor]" in text}, path


def test_top_level_holds_nothing_else():
    root = SOURCE.parent.parent
    allowed = {"src", "tests", "models.toml", "pyproject.toml", "README.md", "LICENSE"}
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = {name.split("/")[0] for name in listing.stdout.splitlines()}
    assert {name for name in tracked if not name.startswith(".")} <= allowed
