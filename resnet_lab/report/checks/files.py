"""Checks of a run's own files: its identity, what it finished with, its checkpoints, exports and results of analyses."""

import hashlib
from collections.abc import Iterator, Sequence

from resnet_lab.analysis import registry
from resnet_lab.record import sums
from resnet_lab.record.files import read_json
from resnet_lab.record.lines import Event, event_from_line
from resnet_lab.record.store import FILES, Run
from resnet_lab.record.study import Study
from resnet_lab.report.checks.check import Check, Fault, counted

RESTORE = "Restore it from a copy, or remove the run's folder and train it anew"


def identity(study: Study) -> Check:
    """Whether each run still has the config, and the environment file, that it was started with."""
    faults = [Fault(f"{fault.rstrip('.')}.", f"{RESTORE}.") for fault in study.faults]
    started = {run.name: event for run in study.runs if (event := last_start(run)) is not None}
    for run in (run for run in study.runs if run.name in started):
        if started[run.name].detail.get("digest", run.config.digest()) != run.config.digest():
            faults.append(
                Fault(f"{run.name}/config.json has not the digest of the event with which the run started.", f"{RESTORE}.")
            )
        begun = recorded(started[run.name]).get("environment.json")
        if begun is not None and begun != run.folder.digests().get("environment.json"):
            faults.append(Fault(f"{run.name}/environment.json is not the file that the run started with.", f"{RESTORE}."))
    says = f"{counted(len(started), 'config')} compared with the digest at the start of the run"
    waiting = len(study.runs) - len(started)
    return Check("identity", says + (f"; {counted(waiting, 'run')} not started" if waiting else ""), tuple(faults), not started)


def endings(runs: Sequence[Run]) -> Check:
    """Whether the files of finished runs are those that they finished with."""
    faults, compared, finished = [], 0, [run for run in runs if run.state == "finished"]
    for run in finished:
        begun, end = _at_the_end(run)
        compared += end is not None
        for name, digest in ({} if end is None else recorded(end)).items():
            found = hashlib.sha256(begun).hexdigest() if name == "events.jsonl" else run.folder.digests().get(name)
            if name in FILES and found != digest:
                faults.append(Fault(f"{run.name}/{name} is not as the run left it (its sha256 differs).", f"{RESTORE}."))
    says = f"{counted(compared, 'finished run')} compared with the sha256 of records, events and settings at the end"
    older = len(finished) - compared
    if not finished:
        return Check("files", "no run is finished", is_open=True)
    if not compared:
        return Check("files", "not recorded: the runs are of an older version", is_open=True)
    return Check("files", says + (f"; of {older} not recorded" if older else ""), tuple(faults))


def _at_the_end(run: Run) -> tuple[bytes, Event | None]:
    """What stands in events.jsonl before the run's last event, and that event where it has the digests of the run's files."""
    before = b""
    for line in (run.folder.path / "events.jsonl").read_bytes().splitlines(keepends=True):
        event = event_from_line(line.decode(errors="replace"))
        if event is not None and event.name == "finished" and recorded(event):
            return before, event
        before += line
    return before, None


def last_start(run: Run) -> Event | None:
    """The event with which the run began; of a run that was killed before its first checkpoint the last one."""
    return next((event for event in reversed(run.events) if event.name == "started"), None)


def recorded(event: Event) -> dict[str, str]:
    """The digests that an event has recorded, by what they are of; none in events of older versions."""
    found = event.detail.get("sha256")
    return {what: each for what, each in found.items() if isinstance(each, str)} if isinstance(found, dict) else {}


def checkpoints(runs: Sequence[Run]) -> Check:
    """Whether checkpoints have the sha256 that their manifests say."""
    faults, number, running = [], 0, 0
    for run in runs:
        if run.state == "running":
            running += 1
            continue
        names = list(read_json(run.folder.checkpoints / "manifest.json"))
        number += len(names)
        faults += list(_checkpoints(run, names))
    says = f"{counted(number, 'file')} compared with the sha256 in their manifests"
    if running:
        says += f"; those of {counted(running, 'running run')} left out"
    if not number and not faults:
        return Check("checkpoints", "none here", is_open=True)
    return Check("checkpoints", says, tuple(faults))


def _checkpoints(run: Run, names: Sequence[str]) -> Iterator[Fault]:
    folder, place = run.folder.checkpoints, f"{run.name}/checkpoints"
    manifest = read_json(folder / "manifest.json")
    if not names and (folder / "manifest.json").exists():
        yield Fault(f"{place}/manifest.json cannot be read.", f"{RESTORE}.")
    for name in names:
        entry, path = manifest[name], sums.file_in(folder, name)
        if path is None:
            being_written = name == max(names) and run.state != "finished"
            if not being_written:  # it is listed first: a run that is killed then goes on from the one before
                yield Fault(f"{place}/{name} is listed and missing.", f"{RESTORE}.")
        elif not isinstance(entry, dict) or sums.sha256_of(path) != entry.get("sha256"):
            yield Fault(
                f"{place}/{name} is damaged (its sha256 differs).",
                "Restore it from a copy, or remove it and its line in manifest.json: an older one takes its place.",
            )
    for path in sorted(folder.glob("step-*.pt")):
        if path.name not in names:
            yield Fault(
                f"{place}/{path.name} is not listed in manifest.json.",
                "Remove it: it is left of an interrupted save, or of another run.",
            )


def exports(study: Study) -> Check:
    """Whether exported files are as they were written."""
    folder = study.path / "export"
    if not folder.is_dir():
        return Check("exports", "none here", is_open=True)
    if not (folder / sums.LIST).exists():
        return Check("exports", "not recorded: written by an older version", is_open=True)
    to_do = "`resnet-lab export` writes it anew."
    faults = tuple(Fault(f"export/{name} {what}.", to_do) for name, what in sums.damaged(folder))
    return Check("exports", f"{counted(len(sums.listed(folder)), 'file')} compared with the sha256 in export/{sums.LIST}", faults)


def analyses(runs: Sequence[Run]) -> Check:
    """Whether results of analyses can be read and are as they were written."""
    faults, number, older = [], 0, 0
    for run in runs:
        folder = run.folder.analysis
        results, unreadable = registry.read(run.folder)
        names = sums.listed(folder)
        number += len(names)
        older += sum(result.file_name not in names for result in results)
        to_do = "`resnet-lab analyze` writes it anew; or remove it."
        faults += [Fault(f"{run.name}/analysis/{name} {what}.", to_do) for name, what in sums.damaged(folder)]
        faults += [Fault(sentence, to_do) for sentence in unreadable]
    says = f"{counted(number, 'result')} compared with the sha256 in analysis/{sums.LIST}"
    if not faults and not number:
        return Check(
            "analyses", f"not recorded: {counted(older, 'result')} of an older version" if older else "none here", is_open=True
        )
    return Check("analyses", says + (f"; of {older} not recorded" if older else ""), tuple(faults))
