"""`sweep --launcher k8s`: a manifest that Kubernetes accepts, and what a cluster makes of it."""

import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from resnet_lab.errors import final_exit_codes, retryable
from resnet_lab.sweep.k8s import IMAGE, job_name
from tests.builders import ROOT, write_config
from tests.sweep import harness_k8s

VERSIONS = ("1.29", "1.33", "1.37")  # the oldest that has all fields by default, one in between, the newest
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def manifest(cli, config, *arguments):
    answer = cli("sweep", config, "--launcher", "k8s", "--dry-run", *arguments)
    assert answer.code == 0, answer.err
    return list(yaml.safe_load_all(answer.out))


OPTIONS = (
    "--namespace",
    "research",
    "--image",
    "registry.example:5000/lab/resnet-lab@sha256:0a",
    "--cpus-per-run",
    4,
    "--gpus-per-run",
    1,
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("options", [(), OPTIONS], ids=["defaults", "options"])
def test_the_manifest_is_valid_by_the_published_schema(cli, options, version):
    for part in manifest(cli, "paper", *options):
        kubernetes_validate.validate(part, version, strict=True)


def test_the_schema_would_refuse_a_misspelled_field(cli):
    job = manifest(cli, "paper")[1]
    job["spec"]["backoffLimitPerIndexes"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


def test_the_documented_claim_is_valid():
    [claim] = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "scale.md").read_text(), re.DOTALL)
    kubernetes_validate.validate(yaml.safe_load(textwrap.dedent(claim)), VERSIONS[-1], strict=True)


def test_the_job_has_an_index_for_each_run_and_what_the_options_ask_for(cli, tmp_path):
    configs, job = manifest(cli, "paper", "--jobs", 3, "--claim", "lab", *OPTIONS)
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (10, 3, "Indexed")
    assert len(configs["data"]) == 10
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod["restartPolicy"] == "Never"
    assert container["image"] == OPTIONS[3]
    assert container["resources"] == {"requests": {"cpu": 4}, "limits": {"nvidia.com/gpu": 1}}
    assert " ".join(container["args"]).endswith("--device cuda --threads 4")
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "lab"}
    assert {part["metadata"]["namespace"] for part in (configs, job)} == {"research"}
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_worth_another_start_fails_an_index_at_once(cli):
    _, failed = manifest(cli, "paper")[1]["spec"]["podFailurePolicy"]["rules"]
    assert failed["action"] == "FailIndex"
    assert failed["onExitCodes"]["values"] == final_exit_codes() == [2, 3, 4, 6]
    assert not any(map(retryable, final_exit_codes()))


def test_only_the_remaining_runs_are_submitted(cli, tmp_path):
    config = write_config(tmp_path / "two.toml")
    runs = {index: text.split()[1] for index, text in manifest(cli, config)[0]["data"].items()}
    assert runs == {"0.toml": "plain-8-s0", "1.toml": "residual-8-s0"}
    assert cli("sweep", config).code == 0
    answer = cli("sweep", config, "--launcher", "k8s", "--dry-run")
    assert (answer.code, answer.out) == (0, "")
    assert "0 of 2 runs left" in answer.err


def test_data_that_is_not_decided_on_is_cifar_10_on_the_claim(cli):
    assert all('dataset = "cifar10"' in text for text in manifest(cli, "demo")[0]["data"].values())


@pytest.mark.parametrize("study", ["My study", "$(HOME) && x", "ünïcode 🚀", "-", "x" * 200, "a" * 46, "a: {b}#", '"\\'])
def test_any_study_has_valid_names_and_keeps_its_own(cli, tmp_path, study):
    answer = cli("sweep", write_config(tmp_path / "two.toml"), "--launcher", "k8s", "--dry-run", "--study", study)
    configs, job = yaml.safe_load_all(answer.out)
    name = job["metadata"]["name"]
    assert LABEL.fullmatch(name)
    assert len(name) <= 57
    assert configs["metadata"]["name"] == name
    assert (f"the Job is called {name}" in answer.err) == (study != "a" * 46)
    assert study.replace("$", "$$") in job["spec"]["template"]["spec"]["containers"][0]["args"]


def test_studies_with_similar_names_have_different_jobs():
    assert len({job_name(study) for study in ("a b", "a.b", "A b", "a-b", "x" * 60, "x" * 61)}) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--launcher", "k8s"), "resnet-lab sweep paper --launcher k8s --dry-run | kubectl apply -f -"),
        (
            ("--launcher", "k8s", "--dry-run", "--json"),
            "--json needs --launcher local, slurm or ray; with k8s, the output is YAML.",
        ),
        (("--launcher", "k8s", "--dry-run", "--device", "cuda"), "--gpus-per-run decides on the device"),
        (("--launcher", "k8s", "--dry-run", "--gpus-per-run", "inf"), "must be a whole number on Kubernetes"),
        (("--launcher", "k8s", "--dry-run", "--gpus-per-run", "0.25"), "must be a whole number on Kubernetes"),
        (("--launcher", "k8s", "--dry-run", "--namespace", "A b"), "--namespace expects"),
        (("--launcher", "k8s", "--dry-run", "--claim", "a\nb"), "--claim expects"),
        (("--launcher", "k8s", "--dry-run", "--image", "a: b"), "--image expects"),
        (("--launcher", "k8s", "--dry-run", "--set", f"sweep.seeds={list(range(40))}"), "fit into one Job"),
        (("--claim", "a", "--image", "b"), "--image, --claim need --launcher k8s"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(cli, arguments, message):
    answer = cli("sweep", "paper", *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert message in answer.err


def test_the_image_is_the_one_that_the_dockerfile_builds():
    assert f"docker build -t {IMAGE} ." in (ROOT / "Dockerfile").read_text()


def test_the_dockerfile_copies_only_files_that_exist_and_are_sent():
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    assert set(names) == {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_the_dockerfile_has_no_fault_that_hadolint_knows():
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.is_file():
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture
def job(cli, tmp_path, monkeypatch):
    """A function that makes the Job of four runs whose pods run a program instead."""

    def of(program):
        monkeypatch.setattr(harness_k8s, "entrypoint", lambda: [sys.executable, "-c", program])
        config = write_config(tmp_path / "four.toml")
        answer = cli("sweep", config, "--launcher", "k8s", "--dry-run", "--set", "sweep.seeds=[0,1]")
        return harness_k8s.Job(answer.out, tmp_path, tmp_path)

    return of


def test_disrupted_pods_are_replaced_and_do_not_count_as_failed(job):
    disrupted = job("import time; time.sleep(60)")
    disrupted.step()
    disrupted.disrupt(signal.SIGKILL)
    end = time.monotonic() + 60
    while len(disrupted.starts) < 8:
        assert time.monotonic() < end
        disrupted.step()
        time.sleep(0.02)
    disrupted.delete()
    assert sorted(disrupted.starts) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert disrupted.failures.total() == 0


def test_a_kill_is_tried_again_twice_and_a_usage_error_never(job):
    ended = job("import os, sys; sys.exit([137, 75, 2, 0][int(os.environ['JOB_COMPLETION_INDEX'])])")
    while ended.step():
        time.sleep(0.02)
    assert sorted(ended.starts) == [0, 0, 0, 1, 1, 1, 2, 3]
    assert (ended.succeeded, ended.failed) == ({3}, {0, 1, 2})
