"""Checks of a run's own files: its config, its final records, its checkpoints, exports and results of analyses."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnet_lab.analysis import registry
from resnet_lab.record import checksums
from resnet_lab.record.files import read_json
from resnet_lab.record.lines import Event, event_from_line
from resnet_lab.record.store import FILES, Run
from resnet_lab.record.study import Study
from resnet_lab.report.checks.check import Check, Fault, unrecorded
from resnet_lab.text import counted

RESTORE = "Restore it from a copy, or remove the run's folder and train the run again."


def identity(runs: Sequence[Run], unreadable: Sequence[str]) -> Check:
    """Whether each run still has the config and the environment file recorded when it started.

    `unreadable` has a sentence on each run that could not be read.
    """
    faults = [Fault(f"{fault.rstrip('.')}.", RESTORE) for fault in unreadable]
    starts = {run.name: event for run in runs if (event := last_start(run)) is not None}
    for run in (run for run in runs if run.name in starts):
        start, config_digest = starts[run.name], run.config.digest()
        if start.detail.get("digest", config_digest) != config_digest:
            faults.append(Fault(f"{run.name}/config.json does not have the digest recorded when the run started.", RESTORE))
        expected = recorded_digests(start).get("environment.json")
        if expected is not None and expected != run.folder.digests().get("environment.json"):
            faults.append(Fault(f"{run.name}/environment.json is not the file recorded when the run started.", RESTORE))
    not_started = len(runs) - len(starts)
    detail = f"{counted(len(starts), 'config')} compared with the digest recorded at the start"
    detail += f"; {counted(not_started, 'run')} not started" if not_started else ""
    return Check("identity", detail, tuple(faults), not starts)


def final_files(runs: Sequence[Run]) -> Check:
    """Whether the files of finished runs are those recorded when the runs finished."""
    faults, compared, finished = [], 0, [run for run in runs if run.state == "finished"]
    for run in finished:
        earlier_events, end = _finish(run)
        if end is None:
            continue
        compared += 1
        current = run.folder.digests() | {"events.jsonl": hashlib.sha256(earlier_events).hexdigest()}
        for name, digest in recorded_digests(end).items():
            if name in FILES and current.get(name) != digest:
                faults.append(Fault(f"{run.name}/{name} has changed since the run finished (its sha256 differs).", RESTORE))
    if not finished:
        return Check("files", "no run is finished", skipped=True)
    if not compared:
        return Check("files", "not recorded: the runs are of an older version", skipped=True)
    detail = f"{counted(compared, 'finished run')} compared with the sha256 of config, records and events recorded at the end"
    return Check("files", detail + unrecorded(len(finished) - compared), tuple(faults))


def _finish(run: Run) -> tuple[bytes, Event | None]:
    """The bytes of events.jsonl before the `finished` event, and that event; None if it records no digests."""
    before = b""
    for line in (run.folder.path / "events.jsonl").read_bytes().splitlines(keepends=True):
        event = event_from_line(line.decode(errors="replace"))
        if event is not None and event.name == "finished" and recorded_digests(event):
            return before, event
        before += line
    return before, None


def last_start(run: Run) -> Event | None:
    """The run's last `started` event; a run that was killed before its first checkpoint has several."""
    return next((event for event in reversed(run.events) if event.name == "started"), None)


def recorded_digests(event: Event) -> dict[str, str]:
    """The digests in an event, by the name of the file or property; none in events of older versions."""
    digests = event.detail.get("sha256")
    return {name: digest for name, digest in digests.items() if isinstance(digest, str)} if isinstance(digests, dict) else {}


def checkpoints(runs: Sequence[Run]) -> Check:
    """Whether checkpoints have the sha256 in their manifests."""
    faults, number, active = [], 0, 0
    for run in runs:
        if run.state == "running":
            active += 1
            continue
        manifest = read_json(run.folder.checkpoints / "manifest.json")
        number += len(manifest)
        faults += list(_checkpoint_faults(run, manifest))
    detail = f"{counted(number, 'file')} compared with the sha256 in their manifests"
    detail += f"; {counted(active, 'active run')} left out" if active else ""
    if not number and not faults:
        return Check("checkpoints", "none here", skipped=True)
    return Check("checkpoints", detail, tuple(faults))


def _checkpoint_faults(run: Run, manifest: Mapping[str, Any]) -> Iterator[Fault]:
    folder, place = run.folder.checkpoints, f"{run.name}/checkpoints"
    if not manifest and (folder / "manifest.json").exists():
        yield Fault(f"{place}/manifest.json cannot be read.", RESTORE)
    for name, entry in manifest.items():
        path = checksums.file_in(folder, name)
        if path is None:
            may_be_incomplete = name == max(manifest) and run.state != "finished"  # it is listed before it is written
            if not may_be_incomplete:
                yield Fault(f"{place}/{name} is listed but missing.", RESTORE)
        elif not isinstance(entry, dict) or checksums.sha256_of(path) != entry.get("sha256"):
            yield Fault(
                f"{place}/{name} is damaged (its sha256 differs).",
                "Restore it from a copy, or remove it and its entry in manifest.json, so that an older one is used.",
            )
    for path in sorted(folder.glob("step-*.pt")):
        if path.name not in manifest:
            yield Fault(
                f"{place}/{path.name} is not listed in manifest.json.",
                "Remove it: it is left over from an interrupted save, or belongs to another run.",
            )


def exports(study: Study) -> Check:
    """Whether exported files are as they were written."""
    folder = study.path / "export"
    if not folder.is_dir():
        return Check("exports", "none here", skipped=True)
    if not (folder / checksums.LIST).exists():
        return Check("exports", "not recorded: written by an older version", skipped=True)
    remedy = "`resnet-lab export` writes it again."
    faults = tuple(Fault(f"export/{name} {problem}.", remedy) for name, problem in checksums.damaged_files(folder))
    number = len(checksums.listed_files(folder))
    return Check("exports", f"{counted(number, 'file')} compared with the sha256 in export/{checksums.LIST}", faults)


def analyses(runs: Sequence[Run]) -> Check:
    """Whether results of analyses are valid and as they were written."""
    faults, number, not_listed = [], 0, 0
    remedy = "`resnet-lab analyze` writes it again; or remove it."
    for run in runs:
        folder = run.folder.analysis
        results, invalid = registry.read(run.folder, run.config.model)
        names = checksums.listed_files(folder)
        number += len(names)
        not_listed += sum(result.file_name not in names for result in results)
        damaged = checksums.damaged_files(folder)
        faults += [Fault(f"{run.name}/analysis/{name} {problem}.", remedy) for name, problem in damaged]
        faults += [Fault(sentence, remedy) for sentence in invalid]
    if not faults and not number:
        old = f"not recorded: {counted(not_listed, 'result')} of an older version"
        return Check("analyses", old if not_listed else "none here", skipped=True)
    detail = f"{counted(number, 'result')} compared with the sha256 in analysis/{checksums.LIST}"
    return Check("analyses", detail + unrecorded(not_listed), tuple(faults))
