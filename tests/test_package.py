"""The package as others get it: metadata that agree."""

import json
import re
import tomllib

import pytest

from tests.builders import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", ["CITATION.cff", "Dockerfile", "docs/scale.md"])
def test_other_files_name_the_version_of_the_package(name):
    versions = set(re.findall(r"(?:^version: |resnet-lab:)([\d.]+\d)", (ROOT / name).read_text(), re.MULTILINE))
    assert versions == {PROJECT["version"]}


def test_workflow_tests_every_version_of_python_in_the_classifiers():
    classified = [line.removeprefix("Programming Language :: Python :: ") for line in PROJECT["classifiers"]]
    versions = [version for version in classified if re.fullmatch(r"3\.\d+", version)]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert f"python: {json.dumps(versions)}\n" in workflow
