"""The commands in README, docs and presets exist, with valid options and settings; links resolve; quoted messages are real."""

import itertools
import re
import shlex
import tomllib
from collections import Counter

import pytest

from docs import settings
from docs.build import links, pages
from resnet_lab import errors
from resnet_lab.config.files import all_keys, load_study
from resnet_lab.report.tables import spread, with_interval
from resnet_lab.study.compare import compare_study
from resnet_lab.study.spread import Spread
from resnet_lab.sweep.grid import expand
from tests.builders import COMMANDS, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TROUBLESHOOTING = ROOT / "docs" / "troubleshooting.md"
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def documented_calls() -> list[list[str]]:
    """The arguments of every documented call, without the name of the program."""
    lines = [line for page in PAGES for block in BLOCK.findall(page.read_text()) for line in block.splitlines()]
    headers = [path.read_text().splitlines() for path in (ROOT / "configs").glob("*.toml")]
    lines += [line.removeprefix("#").split("(")[0] for header in headers for line in header if line.startswith("#   resnet-lab")]
    calls = [call.strip() for line in lines for call in line.split("&&")]
    return [shlex.split(call, comments=True)[1:] for call in dict.fromkeys(calls) if call.startswith("resnet-lab ")]


def option_values(arguments: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(arguments) if name == option]


@pytest.mark.parametrize("arguments", documented_calls(), ids=" ".join)
def test_documented_command_exists_with_valid_options_and_settings(cli, arguments):
    command = next(name for name in sorted(COMMANDS, key=len, reverse=True) if f"{' '.join(arguments)} ".startswith(f"{name} "))
    given = {argument for argument in arguments if argument.startswith("--")}
    known = set(re.findall(r"--[a-z-]+", cli(*command.split(), "--help").out))
    assert given <= known
    if command in ("train", "sweep", "bench"):
        [source] = (
            option_values(arguments, "--config") or arguments[1:2]
            if command != "train"
            else option_values(arguments, "--config") or [None]
        )
        study = load_study(source, option_values(arguments, "--set"), compile=False if "--no-compile" in given else None)
        if command == "sweep":
            assert expand(study)
        elif command == "train":
            study.run(kind="plain" if "--plain" in given else "residual", depth=int(option_values(arguments, "--depth")[0]))
    if command == "summary":
        assert cli(*arguments).code == 0


def test_documents_show_every_command():
    assert len(documented_calls()) > 40
    assert {arguments[0] for arguments in documented_calls()} == {command.split()[0] for command in COMMANDS}


def test_results_in_readme_are_those_of_the_reference_studies():
    """README has a table of each study whose report it links to."""
    readme = (ROOT / "README.md").read_text()
    names = re.findall(r"\(reference/([^/)]+)/report/report.md\)", readme)
    assert names
    rows = []
    for comparison in (compare_study(ROOT / "reference" / name) for name in names):
        cells = {(cell.variant, cell.depth): spread(cell.train_error) for cell in comparison.cells}
        for gap in comparison.gaps:
            errors = [cells[gap.variant, depth] for depth in (gap.shallow, gap.deep)]
            verdict = "**shown**" if gap.degradation == "shown" else gap.degradation
            rows.append(f"| {' | '.join([gap.variant, *errors, with_interval(gap.train_error, '{:+.2f}'), verdict])} |")
    assert re.findall(r"^\| (?:plain|residual).*", readme, re.MULTILINE) == rows


def test_effects_in_interventions_are_those_of_the_reference_study():
    rows = []
    for case in compare_study(ROOT / "reference" / "cures").cases:
        contrast = case.primary
        if contrast.base != "plain-56":
            continue
        share = "reduces, perhaps completely" if contrast.removed >= 1 else f"reduces by {100 * contrast.removed:.0f} %"
        effect = share if contrast.effect == "reduces" else contrast.effect
        change = with_interval(contrast.change, "{:+.1f}")
        rows.append(f"| {case.network} | {case.label} | {spread(case.train_error)} | {change} | {effect} |")
    assert len(rows) == 20
    interventions = (ROOT / "docs" / "interventions.md").read_text()
    assert re.findall(r"^\| (?:plain|residual)-56 .*", interventions, re.MULTILINE) == rows


def test_differences_in_interventions_with_the_same_change_are_those_of_the_reference_studies():
    deep, shallow = (compare_study(ROOT / "reference" / name) for name in ("cures", "cures-20"))
    [(of_20, of_56)] = [[cell.train_error for cell in deep.cells if cell.variant == "plain"]]
    rows = [f"| as in the paper | {spread(of_20)} | {spread(of_56)} | {with_interval(deep.gaps[0].train_error, '{:+.2f}')} |"]
    errors = {case.label: case.train_error for case in deep.cases if case.network == "plain-56"}
    for case in shallow.cases:
        pairs = zip(case.train_error.values, errors[case.label].values, strict=True)
        gap = with_interval(Spread(tuple(of_56 - of_20 for of_20, of_56 in pairs)), "{:+.2f}")
        rows.append(f"| {case.label} | {spread(case.train_error)} | {spread(errors[case.label])} | {gap} |")
    interventions = (ROOT / "docs" / "interventions.md").read_text()
    assert re.search(r"^\| setting of both networks .*\n.*\n((?:\|.*\n)+)", interventions, re.MULTILINE)[1].splitlines() == rows


def test_the_page_on_settings_has_all_of_them_as_they_are():
    assert (ROOT / "docs" / "settings.md").read_text() == settings.page()
    stated = re.findall(r"^\| `([a-z_.]+)` \|", settings.page(), re.MULTILINE)
    assert set(stated) == set(all_keys())


def test_the_version_is_the_same_everywhere():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == version
    assert HEADING.findall((ROOT / "CHANGELOG.md").read_text())[1].split()[0] == version
    tags = re.findall(r"resnet-lab:([\d.]+)", (ROOT / "Dockerfile").read_text() + (ROOT / "docs" / "scale.md").read_text())
    assert set(tags) == {version}


def anchors(page) -> set[str]:
    """The anchors of a page's headings, as both GitHub and the site name them."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
    assert max(Counter(slugs).values()) == 1, f"{page} has two headings with the same anchor"
    return set(slugs)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target, anchor in links(page):
        assert target.exists(), f"{page} links to {target}"
        assert target.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(target), f"{page} links to #{anchor} of {target}"


def test_every_page_of_docs_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert [page.name for page in PAGES if f" {page.relative_to(ROOT)}\n" not in navigation] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("train --depth 21 --plain", 2),
        ("train --depth 20", 2),
        ("train --config smoke --depth 8 --plain --set recipe.step=3", 2),
        ("data", 3),
        ("train --config smoke --depth 8 --plain --set recipe.lr=1e9", 4),
    ],
)
def test_messages_in_troubleshooting_are_those_of_the_tool(cli, arguments, code):
    answer = cli(*arguments.split())
    assert answer.code == code
    [message] = re.findall(r"^Error: (.*)", answer.err, re.MULTILINE)
    assert f"> {re.sub(r'step [0-9]+', 'step 4', message)}\n" in TROUBLESHOOTING.read_text()


def test_troubleshooting_lists_every_exit_code():
    listed = {
        int(code)
        for codes in re.findall(r"^\| ([0-9, ]+) \|", TROUBLESHOOTING.read_text(), re.MULTILINE)
        for code in codes.split(",")
    }
    assert {error.exit_code for error in vars(errors).values() if isinstance(error, type)} <= listed


def test_recorded_tour_has_five_commands_and_fetches_nothing():
    drawing = (ROOT / "docs" / "terminal.svg").read_text()
    assert len(re.findall(r">resnet-lab&#160;[^<]*<", drawing)) == 5
    assert "url(http" not in drawing
    assert "href" not in drawing
