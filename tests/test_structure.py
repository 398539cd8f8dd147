"""The structure of the package: imports go down the levels, and quick commands import nothing that is slow to load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import ROOT

PACKAGE = ROOT / "resnet_lab"
HEAVY = ("torch", "torchvision")
# A package imports itself and packages of lower levels, so that packages of one level do not know each other.
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
)  # neither directly nor through what they import at module level

# The records of analyses are imported by name, so imports do not show that `analyze` and the report need them.
RECORDS = ("analysis.catalogue.", "analysis.definition", "analysis.registry", "analysis.results")
TABLES = ("cli.", "presentation.blocks", "report.tables", "study.")  # what builds the tables of `analyze` and `compare`


def modules() -> dict[str, Path]:
    names = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name: path for name, path in names.items() if not name.endswith("__init__")}


def top_package(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def level(name: str) -> int:
    return next(number for number, packages in enumerate(LEVELS) if top_package(name) in packages)


def imports(path: Path, *, top_level_only: bool = False) -> list[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    imported = []
    for node in nodes:
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            assert node.module is not None
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return imported


def package_modules_among(names: list[str]) -> set[str]:
    """Those of the imported names that are modules of this package, without its name."""
    known = modules()
    return {name.removeprefix("resnet_lab.") for name in names if name.removeprefix("resnet_lab.") in known}


@pytest.mark.parametrize("name", sorted(modules()))
def test_modules_import_only_from_lower_levels(name):
    for target in package_modules_among(imports(modules()[name])):
        assert top_package(target) == top_package(name) or level(target) < level(name), (
            f"{name} imports {target}, which is not below it"
        )


def imported_with(name: str) -> set[str]:
    """The module and all modules of this package that are imported with it."""
    pending, visited = {name}, set()
    while pending:
        visited |= pending
        targets = [target for module in pending for target in imports(modules()[module], top_level_only=True)]
        pending = package_modules_among(targets) - visited
    return visited


def heavy_imports_of(name: str, heavy: tuple[str, ...]) -> list[str]:
    """Which heavy packages are imported with a module, and by which module."""
    return [
        f"{module} imports {target}"
        for module in sorted(imported_with(name))
        for target in imports(modules()[module], top_level_only=True)
        if target.split(".")[0] in heavy
    ]


@pytest.mark.parametrize(
    "name", [name for name in sorted(modules()) if top_package(name) in WITHOUT_TORCH or name.startswith(RECORDS)]
)
def test_quick_modules_do_not_import_torch(name):
    assert heavy_imports_of(name, HEAVY) == []


@pytest.mark.parametrize("name", [name for name in sorted(modules()) if name.startswith((*TABLES, *RECORDS))])
def test_terminal_tables_do_not_import_matplotlib(name):
    assert heavy_imports_of(name, ("matplotlib",)) == []


def test_every_top_level_package_has_a_level_and_there_are_few():
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


def test_init_files_contain_only_a_docstring():
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


def public_definitions():
    """Names and nodes of public functions and classes, and of their public methods; not of functions within functions."""
    for name, path in modules().items():
        body = ast.parse(path.read_text()).body
        methods = [node for parent in body if isinstance(parent, ast.ClassDef) for node in parent.body]
        for node in (*body, *methods):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield f"{name}.{node.name}", node


def test_every_public_function_and_class_has_a_docstring():
    assert [name for name, node in public_definitions() if not ast.get_docstring(node)] == []
