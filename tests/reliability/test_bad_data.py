"""Damaged and malicious data sets: refused with exit code 3 before they are unpickled or decoded, within memory limits."""

import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import shutil
import struct
import tarfile
import zlib
from collections import deque

import numpy as np
import pytest

from resnet_lab.data import cifar, download
from resnet_lab.data.cifar import CIFAR10
from resnet_lab.data.folder import Crop, decode, digests, find
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.errors import DataError
from tests.reliability.listing import listing
from tests.reliability.scale import times


def md5(content):
    return hashlib.md5(content).hexdigest()


def packed(*members):
    """A tar.gz with these members: pairs of name and content, or TarInfo objects."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def batch(seed):
    generator = np.random.default_rng(seed)
    data = generator.integers(0, 255, (4, 3072), dtype=np.uint8)
    return pickle.dumps({"data": data, "labels": [1, 2, 3, 4]})


FILES = {name: batch(seed) for seed, name in enumerate({**CIFAR10.train_files, **CIFAR10.test_files})} | {
    "batches.meta": pickle.dumps({"label_names": list("abcdefghij")})
}
ARCHIVE = packed(*((f"{CIFAR10.folder}/{name}", content) for name, content in FILES.items()))


@pytest.fixture
def use(monkeypatch):
    """Make this archive and these files the official ones."""

    def as_official(archive=ARCHIVE, files=FILES):
        sums = {name: md5(content) for name, content in files.items()}
        parts = {
            part: {name: sums[name] for name in getattr(CIFAR10, part)} for part in ("train_files", "test_files", "meta_file")
        }
        source = dataclasses.replace(CIFAR10, archive_md5=md5(archive), **parts)
        monkeypatch.setitem(cifar.CIFARS, "cifar10", source)
        return source

    return as_official


@pytest.fixture
def unpickled(monkeypatch):
    """The files that have been passed to the unpickler."""
    files = []
    real = cifar._Unpickler

    def recording(file, **options):
        files.append(file)
        return real(file, **options)

    monkeypatch.setattr(cifar, "_Unpickler", recording)
    return files


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def refused(cli, root):
    """Check that `data` refuses a data set with exit code 3 and one sentence, and return the sentence."""
    answer = cli("data", "--data-dir", root)
    assert answer.code == 3, answer.err
    assert len(answer.err.splitlines()) == 1
    assert not os.path.exists("executed")
    return answer.err


def test_intact_archive_is_read(use, unpickled, tmp_path, cli):
    use()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / CIFAR10.archive).write_bytes(ARCHIVE)
    answer = cli("data", "--data-dir", tmp_path / "data")
    assert answer.code == 0, answer.err
    assert "20 training and 4 test images" in answer.out
    assert len(unpickled) == 7


ARCHIVES = {
    "a flipped byte": lambda: flipped(ARCHIVE, len(ARCHIVE) // 2),
    "a flipped byte in the header": lambda: flipped(ARCHIVE, 4),
    "a short file": lambda: ARCHIVE[:-1],
    "an empty file": lambda: b"",
    "a zip bomb": lambda: gzip.compress(bytes(50_000_000)),
    "another archive": lambda: packed(("cifar-10-batches-py/data_batch_1", b"cos\nsystem\n(S'touch executed'\ntR.")),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_wrong_archive_is_not_opened(what, use, unpickled, tmp_path, cli, figure):
    use()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / CIFAR10.archive).write_bytes(ARCHIVES[what]())
    before = listing(tmp_path)
    assert "has a wrong md5: remove it" in refused(cli, tmp_path / "data")
    assert listing(tmp_path) == before
    assert unpickled == []
    figure("10", f"archive: {what}", "exit 3, nothing unpacked or unpickled")


@pytest.mark.parametrize("what", ["a flipped byte", "a short file", "another file", "no file", "a pipe"])
def test_wrong_file_is_not_unpickled(what, use, unpickled, tmp_path, cli, figure):
    use()
    folder = tmp_path / "data" / CIFAR10.folder
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    for name, content in FILES.items():
        (folder / name).unlink()
        if what == "a pipe":
            os.mkfifo(folder / name)
        elif what != "no file":
            wrong = {"a flipped byte": flipped(content, len(content) // 2), "a short file": content[:-1]}
            (folder / name).write_bytes(wrong.get(what, b"cos\nsystem\n(S'touch executed'\ntR."))
        assert f"({name}: " in refused(cli, tmp_path / "data")
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content)
    assert unpickled == []
    figure("10", f"each of the {len(FILES)} files: {what}", "exit 3, nothing unpickled")


HOSTILE = {
    "a zip bomb": lambda: gzip.compress(bytes(20_000_000)),
    "a zip bomb in a member": lambda: packed((f"{CIFAR10.folder}/test_batch", bytes(20_000_000))),
    "a link to the outside": lambda: packed(special(f"{CIFAR10.folder}/test_batch", tarfile.SYMTYPE, "/etc/passwd")),
    "a hard link to the outside": lambda: packed(special(f"{CIFAR10.folder}/test_batch", tarfile.LNKTYPE, "../../../etc/passwd")),
    "a link as folder": lambda: packed(
        special(CIFAR10.folder, tarfile.SYMTYPE, "../../outside"), (f"{CIFAR10.folder}/test_batch", b"x")
    ),
    "an absolute path": lambda: packed(("/tmp/resnet-lab-outside", b"x")),
    "a path with ..": lambda: packed(
        ("../outside", b"x"), (f"{CIFAR10.folder}/../../outside", b"x"), (f"{CIFAR10.folder}/../data_batch_1", b"x")
    ),
    "a pipe and a device": lambda: packed(
        special(f"{CIFAR10.folder}/test_batch", tarfile.FIFOTYPE), special(f"{CIFAR10.folder}/data_batch_1", tarfile.CHRTYPE)
    ),
    "not a tar file": lambda: gzip.compress(b"cos\nsystem\n(S'touch executed'\ntR."),
    "not a gzip file": lambda: b"cos\nsystem\n(S'touch executed'\ntR.",
    "a truncated gzip file": lambda: ARCHIVE[:-100],
}


@pytest.mark.parametrize("what", HOSTILE)
def test_malicious_archive_with_a_matching_md5_writes_nothing_outside(what, use, unpickled, tmp_path, cli, monkeypatch, figure):
    monkeypatch.setattr(cifar, "MAX_BYTES", 1_000_000)
    content = HOSTILE[what]()
    use(content)
    (tmp_path / "data").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "data" / CIFAR10.archive).write_bytes(content)
    before = listing(tmp_path)
    refused(cli, tmp_path / "data")
    created = {path for path in listing(tmp_path) if path not in before}
    allowed = {str(tmp_path / "data" / CIFAR10.folder / name) for name in (*FILES, "")}
    assert created <= allowed | {str(tmp_path / "data" / CIFAR10.folder)}
    assert not any(os.path.islink(path) for path in created)
    assert not os.path.exists("/tmp/resnet-lab-outside")
    assert unpickled == []
    figure("10", f"archive with a matching md5: {what}", "exit 3, nothing outside, nothing unpickled")


def test_file_replaced_after_its_md5_was_verified_runs_no_code(use, tmp_path, monkeypatch, figure):
    hostile = dict.fromkeys(FILES, b"cos\nsystem\n(S'touch executed'\ntR.")
    source = use(files=hostile)
    folder = tmp_path / "data" / CIFAR10.folder
    folder.mkdir(parents=True)
    for name, content in hostile.items():
        (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=r"it would call os\.system"):
        source.load(tmp_path / "data")
    assert not os.path.exists("executed")
    figure("10", "a file that runs code, with a matching md5", "exit 3, not executed")


def test_download_ends_at_the_size_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    (tmp_path / "endless").write_bytes(bytes(1_000_000))
    monkeypatch.setenv("RESNET_LAB_CIFAR10_URL", (tmp_path / "endless").as_uri())
    progress: deque[DownloadProgress] = deque(maxlen=1)
    with pytest.raises(DataError, match="is not the CIFAR-10 archive"):
        progress.extend(download.download(CIFAR10, tmp_path / "data"))
    assert progress[0].done_bytes < 300_000
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.cifar10
def test_one_flipped_byte_in_the_real_files_is_detected(cifar10, unpickled, tmp_path, cli, figure):
    folder = tmp_path / "data" / CIFAR10.folder
    folder.mkdir(parents=True)
    for name in CIFAR10.files:
        (folder / name).symlink_to(cifar10 / CIFAR10.folder / name)
    names = list(CIFAR10.files)[-times(1, 7) :]
    for name in names:
        (folder / name).unlink()
        content = (cifar10 / CIFAR10.folder / name).read_bytes()
        (folder / name).write_bytes(flipped(content, len(content) // 2))
        assert f"({name}: wrong md5)" in refused(cli, tmp_path / "data")
        (folder / name).unlink()
        (folder / name).symlink_to(cifar10 / CIFAR10.folder / name)
    assert unpickled == []
    figure("10", f"one byte flipped in {len(names)} of the 7 files of the real CIFAR-10", "exit 3, nothing unpickled")


def png(width, height):
    """A PNG file with this size in its header and little content."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


IMAGES = {
    "a decompression bomb": png(100_000, 100_000),
    "a row of 2^31 pixels": png(2**31 - 1, 1),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(executed) (w) file closefile\n",
    "a truncated TIFF": b"II*\0\x08\0\0\0\xff\xff" + bytes(30),
    "not an image": b"cos\nsystem\n(S'touch executed'\ntR.",
}


@pytest.mark.parametrize("what", IMAGES)
def test_malicious_image_is_refused_with_one_sentence(what, tmp_path, figure):
    path = tmp_path / "image.jpg"
    path.write_bytes(IMAGES[what])
    with pytest.raises(DataError, match="cannot be read as an image"):
        decode(Crop(str(path), 32, 36, (0.5, 0.5)))
    assert not os.path.exists("executed")
    figure("10", f"an image of a folder: {what}", "one sentence")


def test_pipe_in_an_image_folder_is_reported(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part / "ant").mkdir(parents=True)
        os.mkfifo(tmp_path / part / "ant" / "image.jpg")
    train, test, _ = find(tmp_path, 32)
    with pytest.raises(DataError, match="is not a regular file"):
        digests(tmp_path, train, test)
    shutil.rmtree(tmp_path / "train")
