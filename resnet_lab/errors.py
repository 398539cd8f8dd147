"""What can go wrong for a user: one sentence with the way out, and the exit code that a script sees."""


class LabError(Exception):
    """A failure that the user can mend; the command line prints the sentence and exits with `exit_code`."""

    exit_code = 1


class ConfigError(LabError):
    """A setting or an option that cannot be used."""

    exit_code = 2


class DataError(LabError):
    """The data set, or a file of weights, is missing, incomplete or corrupt."""

    exit_code = 3


class DivergedError(LabError):
    """The training loss is not finite; the weights are those before the update."""

    exit_code = 4


class SweepError(LabError):
    """A sweep ended with failed runs."""

    exit_code = 5


class CheckpointError(LabError):
    """A run has no checkpoint, none of the step that is asked for, or none that can be loaded."""

    exit_code = 6


class FaultError(LabError):
    """`verify` has found a fault in a study."""

    exit_code = 6


class NotShownError(LabError):
    """The study does not show what `compare --expect-degradation` asks for."""

    exit_code = 7


class DiskError(LabError):
    """A folder cannot be read or written, or the disk is full."""

    exit_code = 74


class LockedError(LabError):
    """Another process is working on the run."""

    exit_code = 75
