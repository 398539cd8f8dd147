"""The rooms: imports go down the levels, heavy ones stay out of quick commands, every command is documented."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "resnet_lab"
HEAVY = ("torch", "torchvision")
# Level of every module; the longest prefix counts. A module imports its own level and those below, and nothing above.
LEVELS = {
    "errors": 0, "config": 0, "configfile": 0, "records": 0, "duration": 0, "printable": 0, "paper": 0, "record.files": 0,
    "record.store": 0, "sweep.grid": 0,
    "compare": 0, "spread": 0, "published": 0, "results": 0,
    "rng": 1, "data": 1, "models": 1, "run.device": 1, "record.checkpoint": 1, "environment": 1,
    "train": 2,
    "analysis": 3, "bench": 3, "compute": 3, "estimate": 3, "evaluation": 3, "experiment": 3, "known": 3, "report": 3, "sweep": 3,
    "weights_export": 3, "run": 3,
    "cli": 4, "__main__": 4,
}  # fmt: skip
NO_TORCH = ("cli", "report", "__main__", "sweep.launch")  # above level 0, and still quick to start


def modules() -> dict[str, Path]:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name: path for name, path in names.items() if not name.endswith("__init__")}


def level(name: str) -> int:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in LEVELS:
            return LEVELS[".".join(parts[:end])]
    raise AssertionError(f"{name} has no level")


def imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def own(names: list[str]) -> set[str]:
    known = modules()
    return {name.removeprefix("resnet_lab.") for name in names if name.removeprefix("resnet_lab.") in known}


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down_the_levels(name):
    for target in own(imports(modules()[name])):
        assert level(target) <= level(name), f"{name} (level {level(name)}) imports {target} (level {level(target)})"


@pytest.mark.parametrize("name", [name for name in sorted(modules()) if level(name) == 0 or name.startswith(NO_TORCH)])
def test_quick_modules_do_not_import_torch_at_their_top(name):
    assert not [target for target in imports(modules()[name], top_level_only=True) if target.split(".")[0] in HEAVY]


def test_data_models_and_train_do_not_see_each_other():
    for name, path in modules().items():
        forbidden = {"data": ("models", "train"), "models": ("data", "train"), "train": ("data", "models")}.get(
            name.split(".")[0], ()
        )
        assert not [target for target in own(imports(path)) if target.split(".")[0] in forbidden], name


def test_click_is_never_imported():
    assert not [name for name, path in modules().items() if "click" in {target.split(".")[0] for target in imports(path)}]


def test_init_files_hold_a_docstring_and_nothing_else():
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) == 1
        assert isinstance(body[0], ast.Expr)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["runs"],
        ["compare", "study"],
        ["report", "study"],
        ["export", "study", "--to", "csv"],
        ["train", "--depth", "21", "--plain"],
    ],
)
def test_quick_commands_do_not_import_torch(arguments, tmp_path):
    code = (
        "import sys\n"
        "from resnet_lab.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as end: code = end.code or 0\n"
        "else: code = 0\n"
        "sys.exit(100 if 'torch' in sys.modules else code)\n"
    )
    study = tmp_path / "runs" / "study" / "plain-8-s0"
    study.mkdir(parents=True)
    config = '{"model": {"kind": "plain", "depth": 8}, "recipe": {}}'
    (study / "config.json").write_text(config)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (2 if "21" in arguments else 0), done.stderr


def functions():
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield name, node


def test_every_public_function_and_class_has_a_docstring():
    missing = [
        f"{name}.{node.name}" for name, node in functions() if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    nested = {"step", "evaluation", "batches", "hook", "on_signal", "open_url", "note"}
    assert [each for each in missing if each.rsplit(".", 1)[-1] not in nested or each == "cli.display.note"] == []
