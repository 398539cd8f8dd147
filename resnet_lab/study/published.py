"""Published test errors of these networks, for comparison with runs that follow the paper's recipe."""

from typing import NamedTuple

from resnet_lab.config.paper import departures
from resnet_lab.config.schema import RunConfig


class Published(NamedTuple):
    """A published result; errors in percent. Sources measure `train_error`, the final training error, in different ways."""

    source: str
    variant: str
    depth: int
    test_error: float
    train_error: float | None = None


PAPER = "He et al. 2015, Table 6"
# Reproductions on GitHub, named after the owners of the repositories; the last epoch unless noted.
NUMBERS = (
    Published(PAPER, "residual", 20, 8.75),
    Published(PAPER, "residual", 32, 7.51),
    Published(PAPER, "residual", 44, 7.17),
    Published(PAPER, "residual", 56, 6.97),
    Published(PAPER, "residual", 110, 6.61),  # mean of 5 runs, ± 0.16
    Published(PAPER, "residual", 1202, 7.93),
    Published("a-martyn", "plain", 20, 9.69, 0.74),
    Published("a-martyn", "plain", 32, 10.04, 0.79),
    Published("a-martyn", "plain", 44, 11.56, 2.76),
    Published("a-martyn", "plain", 56, 13.07, 3.33),
    Published("a-martyn", "residual", 20, 8.04, 0.40),
    Published("a-martyn", "residual", 32, 7.79, 0.12),
    Published("a-martyn", "residual", 44, 7.51, 0.05),
    Published("a-martyn", "residual", 56, 7.46, 0.04),
    Published("hhhhuangggg", "plain", 20, 9.35, 1.12),
    Published("hhhhuangggg", "plain", 56, 12.32, 3.75),
    Published("hhhhuangggg", "residual", 20, 8.23, 0.61),
    Published("hhhhuangggg", "residual", 56, 7.13, 0.06),
    Published("ltzhenry", "plain", 20, 8.88, 1.52),
    Published("ltzhenry", "plain", 56, 11.83, 3.73),
    Published("ltzhenry", "plain", 110, 78.39, 77.8),
    Published("akamaster (best epoch)", "residual", 20, 8.27),
    Published("akamaster (best epoch)", "residual", 32, 7.37),
    Published("akamaster (best epoch)", "residual", 44, 6.90),
    Published("akamaster (best epoch)", "residual", 56, 6.61),
    Published("akamaster (best epoch)", "residual", 110, 6.32),
    Published("AmroAbujabal (3 seeds)", "residual", 20, 8.39),
    Published("AmroAbujabal (3 seeds)", "residual", 56, 7.45),
)


def is_comparable(config: RunConfig) -> bool:
    """Whether a run follows the paper's recipe in every setting, so that its errors can be compared with published ones."""
    return not departures(config)
