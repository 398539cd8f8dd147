"""Errors reported to the user: a one-sentence message with a remedy, and an exit code for scripts."""

_FIRST_SIGNAL = 128  # a process that is ended by signal n has the exit code 128 + n


class LabError(Exception):
    """An error that the user can fix; the command line prints the message and exits with `exit_code`."""

    exit_code = 1


class ConfigError(LabError):
    """A setting or option is invalid."""

    exit_code = 2


class DataError(LabError):
    """A data set or weights file is missing, incomplete or corrupt."""

    exit_code = 3


class DivergedError(LabError):
    """The training loss or its gradient became NaN or infinite; the weights keep their values from before that update."""

    exit_code = 4


class SweepError(LabError):
    """A sweep ended with failed runs."""

    exit_code = 5


class CheckpointError(LabError):
    """A run has no checkpoint, none at the requested step, or none that can be loaded."""

    exit_code = 6


class FaultError(LabError):
    """`verify` found a fault in a study."""

    exit_code = 6


class NotShownError(LabError):
    """The study does not meet the condition of `compare --expect-degradation`."""

    exit_code = 7


class DiskError(LabError):
    """A folder cannot be read or written, or the disk is full."""

    exit_code = 74


class LockedError(LabError):
    """Another process is working on the run."""

    exit_code = 75


class JobError(LabError):
    """Another process of a job of several processes has ended; the job can be started again."""

    exit_code = 76


def retryable(exit_code: int) -> bool:
    """Whether a run that ended with this exit code is worth another start: after a signal (128 + n), a full disk, or the end of
    another process of its job.

    A run that is killed for lack of memory has 137. Other failures, such as invalid settings, would occur again.
    """
    return exit_code > _FIRST_SIGNAL or exit_code in (DiskError.exit_code, JobError.exit_code)


def final_exit_codes() -> list[int]:
    """The exit codes of a run's errors that would occur again, see `retryable`; a lock is released some time, so not 75."""
    of_a_run = (ConfigError, DataError, DivergedError, CheckpointError, DiskError)
    return [kind.exit_code for kind in of_a_run if not retryable(kind.exit_code)]
