"""Secrets from the environment appear in no file and in no output."""

import http.server
import threading

import pytest

from resnet_lab.data import download
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.errors import DataError
from tests.builders import write_config

SECRET = "hunter2-e5f9c1"
ADDRESS = f"http://me:{SECRET}@127.0.0.1:1/{SECRET}/cifar.tar.gz?token={SECRET}#{SECRET}"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "GITHUB_TOKEN": SECRET,
    "WANDB_API_KEY": SECRET,
    "RESNET_LAB_PASSWORD": SECRET,
    "RESNET_LAB_CIFAR10_URL": ADDRESS,
    "RESNET_LAB_CIFAR100_URL": ADDRESS,
    "HTTP_PROXY": f"http://me:{SECRET}@127.0.0.1:1",
    "HTTPS_PROXY": f"http://me:{SECRET}@127.0.0.1:1",
}


@pytest.fixture
def planted(monkeypatch):
    """Set environment variables in which users and clusters store secrets."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)


def test_secrets_from_the_environment_are_not_written_or_printed(planted, tmp_path, cli, figure):
    config = write_config(tmp_path / "mine.toml", data__dataset="auto", recipe__steps=8)
    config.write_text(config.read_text().replace("[sweep]", '[sweep]\nkinds = ["plain"]'))
    commands = [
        ["train", "--config", config, "--residual", "--depth", 8, "--no-forecast"],
        ["sweep", config],
        ["compare"], ["report"], ["runs"], ["runs", "--json"],
        ["export", "--to", "csv"], ["export", "--to", "safetensors"], ["export", "--to", "torchvision"],
        ["analyze", "responses", "mine/residual-8-s0"], ["evaluate", "mine/plain-8-s0"],
        ["data", "--download"], ["data", "--dataset", "cifar100", "--download"],
        ["config", "show", "paper"],
    ]  # fmt: skip
    answers = [cli(*words) for words in commands]
    assert [answer.code for answer in answers] == [0] * 11 + [3, 3, 0], [answer.err for answer in answers]
    assert not [words for words, answer in zip(commands, answers, strict=True) if SECRET in answer.out + answer.err]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 40
    assert "output.log" in {path.name for path in written}
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    figure("12", f"{len(PLANTED)} secrets, {len(commands)} commands, {len(written)} files", "in no file and no output")


WRONG = [
    f"me:{SECRET}@127.0.0.1/x",
    f"http://me:{SECRET}@127.0.0.1:port/x",
    f"http://me:{SECRET}/x@127.0.0.1:1/x",
    f"http://me:{SECRET}?@127.0.0.1:1/x",
    f"http:/me:{SECRET}@127.0.0.1/x",
    f"foo://me:{SECRET}@127.0.0.1/x",
    f"http://[me:{SECRET}@127.0.0.1/x",
    f"http://me:{SECRET}@127.0.0.1 /x",
    f"/{SECRET}/x",
]


@pytest.mark.parametrize("proxy", [None, f"http:/me:{SECRET}@127.0.0.1", f"http://me:{SECRET}@127.0.0.1:{SECRET}"])
def test_messages_do_not_quote_an_unusable_url(proxy, tmp_path, monkeypatch, figure):
    if proxy:
        monkeypatch.setenv("http_proxy", proxy)
    for address in [ADDRESS, *WRONG]:
        monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", address)
        with pytest.raises(DataError) as raised:
            next(download.download(CIFAR10, tmp_path / "data"))
        assert SECRET not in str(raised.value), address
        assert "$RESNET_LAB_CIFAR10_URL" in str(raised.value)
    figure("12", f"{len(WRONG) + 1} URLs with a password, {'a malformed' if proxy else 'no'} proxy", "never quoted")


class _Recorder(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Authorization"), self.headers.get("Host")))
        self.send_response(302 if self.path == "/first" else 404)
        self.send_header("Location", f"http://localhost:{self.server.server_port}/second")
        self.end_headers()

    def log_message(self, *arguments): ...


def test_password_in_the_url_is_sent_to_its_host_only(tmp_path, monkeypatch):
    server = http.server.HTTPServer(("127.0.0.1", 0), _Recorder)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", f"http://me:p%40ss@127.0.0.1:{server.server_port}/first")
    with pytest.raises(DataError, match=r"from 127\.0\.0\.1 failed: Not Found"):
        next(download.download(CIFAR10, tmp_path))
    server.shutdown()
    thread.join()
    server.server_close()
    port = server.server_port
    assert server.requests == [
        ("/first", "Basic bWU6cEBzcw==", f"127.0.0.1:{port}"),
        ("/second", None, f"localhost:{port}"),
    ]
