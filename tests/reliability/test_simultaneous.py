"""Many starts of one run at once: it is trained once."""

from collections import Counter

from resnet_lab.errors import LockedError
from resnet_lab.record.store import RunFolder
from tests.reliability.lasting import lasting, stateful
from tests.reliability.processes import exit_code, start, train
from tests.reliability.scale import times

LONG = stateful(recipe__steps=times(60, 600))


def test_simultaneous_starts_in_one_folder_train_the_run_once(tmp_path, figure):
    folder, alone = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "alone")
    count = times(8, 50)
    processes = [start(train, str(folder.path), LONG, "/dev/null", 60.0) for _ in range(count)]
    codes = Counter(exit_code(process) for process in processes)
    assert set(codes) <= {0, LockedError.exit_code}
    assert codes[0] >= 1
    events = Counter(event.name for event in folder.events())
    assert (events["started"], events["resumed"], events["finished"]) == (1, 0, 1)
    assert exit_code(start(train, str(alone.path), LONG, "/dev/null", 60.0)) == 0
    assert lasting(folder) == lasting(alone)
    assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == len(folder.records())
    figure(
        "8",
        f"{count} simultaneous starts in one folder",
        f"trained once; {codes[0]} ended with 0 (finished), {codes[LockedError.exit_code]} with {LockedError.exit_code}",
    )
