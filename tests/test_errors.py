"""Exit codes: which are worth another start."""

import pytest

from resnet_lab import errors
from resnet_lab.errors import LabError, retryable


@pytest.mark.parametrize("code", [129, 130, 134, 137, 139, 143, 74, 76])
def test_a_run_that_a_signal_a_full_disk_or_a_lost_process_ended_is_worth_another_start(code):
    assert retryable(code)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 75, 127])
def test_a_run_that_would_end_in_the_same_way_is_not(code):
    assert not retryable(code)


def test_of_all_errors_only_a_full_disk_and_a_lost_process_are_worth_another_start():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LabError)]
    assert [kind.__name__ for kind in kinds if retryable(kind.exit_code)] == ["DiskError", "JobError"]
