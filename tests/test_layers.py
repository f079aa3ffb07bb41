"""The house: which module may import which, what stays light, and how long things may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reddiff_cli

SOURCE = Path(reddiff_cli.__file__).parent

# A module may import only modules of a smaller number; inside a package, anything of it.
LAYERS = {
    0: ["__init__", "errors", "transfer", "doubled", "norms", "allocator"],
    1: [
        *["schedule", "tiling", "patches", "shading", "metrics", "filling"],
        *["response", "alignment", "hio", "unet_blocks", "frames", "separable"],
        *["replay", "attributes", "tifftags", "room", "heif", "comments", "parts"],
        "pngchunks",
        *["scales", "guiding", "stationary", "interpolation", "welch"],
    ],
    2: [
        *["options", "train_options", "files", "kernelspec", "deep", "patchmatch", "holes"],
        *["linear", "shards", "streams", "tonemap", "carriers", "jpegfile", "arrays", "support"],
        *["folders", "hub", "progress", "formats", "unet", "plot", "eval_sheet"],
        *["perceptual", "memory", "grey", "symmetry", "grow", "flat_tiles"],
    ],
    3: ["pixels", "train_loss", "optimisers", "weights"],
    4: [
        *["task_options", "pictures", "synthesis", "network", "convert", "cards", "model_card"],
        *["operators", "solvers", "blind", "recorded_step", "nulls"],
    ],
    5: [
        "outputs",
        "masks",
        "photographs",
        "kernels",
        "noise",
        "phase_options",
        "denoiser",
        "models",
        "first_weights",
        "budget",
    ],
    6: [
        *["jobs", "diffraction", "validation", "batching", "eval_options", "trainer", "grain"],
        "coloured_noise",
    ],
    7: [
        *["result", "phase_problem", "record", "report", "checkpoints", "ledger", "hole_shapes"],
    ],
    8: ["phase_pipeline", "eval_report", "train"],
    9: ["tasks"],
    10: ["sheets", "methods", "degrade", "foretell"],
    11: ["restore", "bench"],
    12: ["run", "evaluate"],
    13: ["flags", "eval_run"],
    14: ["command"],
    15: ["command_train", "command_models", "command_eval", "command_bench"],
    16: ["cli"],
    17: ["__main__"],
}
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}
# Without torch at module level: what --help, --dry-run and mistakes on the command line touch.
LIGHT = [
    *["errors", "options", "train_options", "task_options", "phase_options", "kernelspec"],
    *["arrays", "carriers", "files", "deep", "models", "pictures", "masks", "jobs", "record"],
    "outputs",
    *["report", "run", "flags", "command", "command_train", "cli", "shards", "streams"],
    *["diffraction", "folders", "cards", "hub", "progress", "command_models"],
    *["command_eval", "eval_run", "eval_report", "eval_options", "ledger", "plot", "eval_sheet"],
    *["budget", "command_bench", "pixels", "attributes", "tifftags", "heif", "comments", "parts"],
    "pngchunks",
]
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def module_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def our_imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, also inside functions."""
    found = set()
    depth = len(path.relative_to(SOURCE).parts)
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


def test_every_layer_entry_exists():
    assert set(LAYER_OF) == {module_of(path) for path in FILES}


def test_light_modules_do_not_load_torch():
    names = ", ".join(f"reddiff_cli.{name}" for name in LIGHT)
    heavy = ["torch", "diffusers", "huggingface_hub", "OpenImageIO"]
    code = f"import sys, {names}; print([m for m in {heavy} if m in sys.modules])"
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
            assert node.func.id != "print", "only report.py writes"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, "bare except"
    assert ast.get_docstring(TREES[path])


def test_top_level_holds_nothing_else():
    root = SOURCE.parent.parent
    allowed = {"src", "tests", "models.toml", "pyproject.toml", "README.md", "LICENSE"}
    listing = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git checkout")
    tracked = {name.split("/")[0] for name in listing.stdout.splitlines()}
    assert {name for name in tracked if not name.startswith(".")} <= allowed
