"""The packages: imports go down the levels, heavy ones stay out of quick commands, everything public is documented."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT

PACKAGE = ROOT / "resnet_lab"
HEAVY = ("torch", "torchvision")
# A package imports itself and packages of lower levels; packages of the same level do not import each other.
LEVELS = (
    ("errors", "text", "rng"),
    ("config", "presentation"),
    ("record",),
    ("data", "models", "study", "train"),
    ("run",),
    ("analysis", "sweep", "weights"),
    ("report",),
    ("api", "cli"),
    ("__main__",),
)
WITHOUT_TORCH = (
    "errors",
    "text",
    "config",
    "presentation",
    "study",
    "report",
    "cli",
    "__main__",
)  # nor in what they import at their top

# Records of analyses are imported by name, so that imports do not show who needs them: `analyze` and the report do.
RECORDS = ("analysis.catalogue.", "analysis.definition", "analysis.registry", "analysis.results")
TABLES = ("cli.", "presentation.blocks", "report.tables", "study.")  # what the tables of `analyze` and `compare` go through


def modules() -> dict[str, Path]:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name: path for name, path in names.items() if not name.endswith("__init__")}


def package(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def level(name: str) -> int:
    return next(number for number, packages in enumerate(LEVELS) if package(name) in packages)


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
        assert package(target) == package(name) or level(target) < level(name), f"{name} imports {target}, which is not below it"


def reached(name: str) -> set[str]:
    """The module and all of the package that is imported with it."""
    waiting, found = {name}, set()
    while waiting:
        found |= waiting
        waiting = set().union(*(own(imports(modules()[each], top_level_only=True)) for each in waiting)) - found
    return found


def brought_along(name: str, heavy: tuple[str, ...]) -> list[str]:
    """Which heavy packages are imported with a module, and by which module."""
    return [
        f"{each} imports {target}"
        for each in sorted(reached(name))
        for target in imports(modules()[each], top_level_only=True)
        if target.split(".")[0] in heavy
    ]


@pytest.mark.parametrize(
    "name", [name for name in sorted(modules()) if package(name) in WITHOUT_TORCH or name.startswith(RECORDS)]
)
def test_quick_modules_do_not_import_torch_with_them(name):
    assert brought_along(name, HEAVY) == []


@pytest.mark.parametrize("name", [name for name in sorted(modules()) if name.startswith((*TABLES, *RECORDS))])
def test_tables_for_the_terminal_do_not_import_matplotlib_with_them(name):
    assert brought_along(name, ("matplotlib",)) == []


def test_packages_at_the_top_are_few_and_each_has_a_level():
    entries = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(entries) <= 19
    assert {entry.removesuffix(".py") for entry in entries} - {"__init__"} == {
        package for packages in LEVELS for package in packages
    }


def test_rich_is_imported_for_output_to_the_terminal_alone():
    users = {name for name, path in modules().items() if "rich" in {target.split(".")[0] for target in imports(path)}}
    assert users == {"cli.layout", "cli.screens", "cli.terminal"}


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
    assert [each for each in missing if each.rsplit(".", 1)[-1] not in nested or each == "cli.terminal.note"] == []
