"""The lock of a run with an owner: another machine is simulated by its name, and by not taking the flock."""

import errno
import json
import os
import threading
import time

import pytest

from resnet_lab.errors import DiskError, LockedError
from resnet_lab.record import lock
from resnet_lab.record.lock import Machine, awaited, hold, holder, this_machine

OTHER = Machine("elsewhere", "another boot")
QUICK = {"heartbeat_seconds": 0.02, "stale_seconds": 0.4}


@pytest.fixture(autouse=True)
def _soon_refused(monkeypatch):
    monkeypatch.setattr(lock, "_FLOCK_SECONDS", 0.1)


def left_behind(folder, machine, pid=123, seconds_ago=1000.0):
    """The owner file of a process that was killed."""
    values = {"host": machine.host, "boot": machine.boot, "pid": pid, "token": "t", "since": "2026-01-01T00:00:00+00:00"}
    path = folder / ".owner.json"
    path.write_text(json.dumps(values))
    os.utime(path, (time.time() - seconds_ago,) * 2)
    return path


def owner_files(folder):
    return sorted(path.name for path in folder.glob(".owner*"))


def test_a_held_run_names_its_owner_and_a_released_one_leaves_no_file(tmp_path):
    assert holder(tmp_path) is None
    with hold(tmp_path) as held:
        owner = holder(tmp_path)
        assert (owner.machine, owner.pid) == (this_machine(), os.getpid())
        assert held.taken_over is None
        held.check()
        said = rf"Process {os.getpid()} on .* is working on .*last sign of life 0 s ago.*resnet-lab runs"
        with pytest.raises(LockedError, match=said), hold(tmp_path):
            pass
    assert owner_files(tmp_path) == []
    assert holder(tmp_path) is None


def test_a_killed_process_of_this_machine_is_taken_over_at_once(tmp_path):
    left_behind(tmp_path, this_machine(), seconds_ago=0)
    assert holder(tmp_path) is None
    assert awaited(tmp_path) is None
    begin = time.monotonic()
    with hold(tmp_path, stale_seconds=1000) as held:
        assert (held.taken_over.pid, str(held.taken_over)) == (123, f"process 123 on {this_machine().host}")
        assert holder(tmp_path).pid == os.getpid()
    assert time.monotonic() - begin < 100
    assert owner_files(tmp_path) == []


def test_a_process_of_another_machine_that_gives_signs_of_life_is_left_alone(tmp_path):
    path = left_behind(tmp_path, OTHER)
    ended = threading.Event()

    def beat():
        while not ended.wait(0.02):
            os.utime(path)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(LockedError, match="Process 123 on elsewhere is working on"), hold(tmp_path, stale_seconds=100):
            pass
        assert holder(tmp_path).pid == 123
    finally:
        ended.set()
        thread.join()
    assert json.loads(path.read_text())["pid"] == 123


def test_a_process_of_another_machine_without_a_sign_of_life_is_taken_over_after_the_wait(tmp_path):
    left_behind(tmp_path, OTHER, seconds_ago=0)
    assert awaited(tmp_path).host == "elsewhere"
    begin = time.monotonic()
    with hold(tmp_path, **QUICK) as held:
        assert time.monotonic() - begin >= QUICK["stale_seconds"]
        assert held.taken_over.host == "elsewhere"
        assert owner_files(tmp_path) == [".owner.json"]


def test_a_stop_ends_the_wait(tmp_path):
    path = left_behind(tmp_path, OTHER)
    with hold(tmp_path, lambda: True, stale_seconds=1000) as held:
        assert held is None
    assert json.loads(path.read_text())["pid"] == 123


def test_a_run_that_is_released_during_the_wait_is_taken(tmp_path):
    path = left_behind(tmp_path, OTHER)
    looks = []

    def stop():
        looks.append(1)
        if len(looks) == 2:
            path.unlink()
        return False

    with hold(tmp_path, stop, stale_seconds=10) as held:
        assert held.taken_over is None


def test_the_owner_gives_signs_of_life_and_stops_when_it_was_taken_over(tmp_path):
    with hold(tmp_path, **QUICK) as held:
        path = tmp_path / ".owner.json"
        os.utime(path, (0, 0))
        end = time.monotonic() + 60
        while path.stat().st_mtime == 0:
            assert time.monotonic() < end
            time.sleep(0.01)
        path.unlink()
        left_behind(tmp_path, OTHER)
        assert not held.beat()
        with pytest.raises(LockedError, match=r"Another process \(process 123 on elsewhere\) has taken over"):
            held.check()
    assert json.loads(path.read_text())["pid"] == 123, "the file of the new owner is not removed"


def test_of_several_machines_that_take_a_stale_run_over_at_most_one_succeeds(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_take_flock", lambda folder, stack: False)  # the file system does not pass it on
    taken = 0
    for _ in range(5):
        left_behind(tmp_path, OTHER)
        barrier, done = threading.Barrier(6), threading.Event()
        outcomes = []

        def take(number, barrier=barrier, done=done, outcomes=outcomes):
            barrier.wait()
            try:
                with hold(tmp_path, machine=Machine(f"machine {number}"), stale_seconds=0.2) as held:
                    held.check()
                    outcomes.append("held")
                    done.wait(60)
            except LockedError:
                outcomes.append("refused")

        threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        while len(outcomes) < 6:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join()
        assert outcomes.count("held") <= 1
        taken += outcomes.count("held")
        for file in owner_files(tmp_path):
            (tmp_path / file).unlink()
    assert taken > 0  # now and then all are refused: one has looked at the winner's file while the winner checked it


def test_a_reader_sees_a_recent_sign_of_life_of_another_machine(tmp_path):
    left_behind(tmp_path, OTHER, seconds_ago=20)
    assert holder(tmp_path).host == "elsewhere"
    left_behind(tmp_path, OTHER, seconds_ago=60)
    assert holder(tmp_path) is None


def test_without_file_locks_the_owner_file_alone_holds_the_run(tmp_path, monkeypatch):
    def unsupported(descriptor, kind):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    with hold(tmp_path, **QUICK):
        assert holder(tmp_path).pid == os.getpid()
        with pytest.raises(LockedError, match="is working on"), hold(tmp_path, **QUICK):
            pass
    left_behind(tmp_path, this_machine(), seconds_ago=0)
    assert holder(tmp_path).pid == 123, "nothing shows that the process is gone"
    with hold(tmp_path, **QUICK) as held:
        assert held.taken_over.pid == 123


@pytest.mark.parametrize(
    "content", [b"", b'{"host": "x"', b"[1]", b'{"host": 1, "boot": "", "pid": 1, "token": "", "since": ""}']
)
def test_a_damaged_owner_file_is_waited_for_and_taken_over(content, tmp_path):
    (tmp_path / ".owner.json").write_bytes(content)
    assert str(holder(tmp_path)) == "another process"
    with hold(tmp_path, stale_seconds=0.2) as held:
        assert str(held.taken_over) == "another process"


def test_a_read_only_folder_is_read(tmp_path):
    with hold(tmp_path):
        pass
    left_behind(tmp_path, OTHER, seconds_ago=0)
    tmp_path.chmod(0o500)
    try:
        assert holder(tmp_path).host == "elsewhere"
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_a_disk_error(tmp_path):
    with pytest.raises(DiskError, match="cannot be used"), hold(tmp_path / "missing"):
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DiskError), hold(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()
    assert holder(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes in folders")
def test_a_pipe_in_place_of_the_owner_file_blocks_no_reader(tmp_path):
    os.mkfifo(tmp_path / ".owner.json")
    assert holder(tmp_path) is None
    with pytest.raises(LockedError), hold(tmp_path):
        pass
