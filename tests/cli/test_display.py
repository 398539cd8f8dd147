"""What the terminal shows: forecasts and their advice, downloads, live tables, plain lines where there is no terminal."""

import io

import pytest
from rich.console import Console

from resnet_lab.cli import terminal
from resnet_lab.cli.layout import column_widths, wrapped
from resnet_lab.cli.screens import DownloadLine, TrainingScreen, training_screen
from resnet_lab.config.files import load_study
from resnet_lab.data.progress import DownloadProgress
from resnet_lab.models.cost import Cost
from resnet_lab.record.lines import TrainRecord
from resnet_lab.record.store import RunFolder
from resnet_lab.run.estimate import Forecast, Speed, evaluated_images, forecast
from resnet_lab.text import duration
from tests.builders import tiny


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (42.4, "42 s"), (120, "2 min"), (3_900, "1 h 05 min"), (200_000, "2.3 days")]
)
def test_durations_are_written_in_words(seconds, words):
    assert duration(seconds) == words


def test_forecast_of_more_than_a_day_names_the_smaller_presets(capsys, tmp_path):
    config = load_study("paper").run(kind="plain", depth=56)
    expected = Forecast(config, 853_018, 125_485_696, images_per_second=40.0, from_step=0, seconds=200_000)
    with training_screen(RunFolder(tmp_path)) as screen:
        screen.show(expected)
    shown = capsys.readouterr().err
    for words in ("plain network of depth 56, 853,018 parameters, 125.49 M", "40 images/s: 2.3 days", "--config quick"):
        assert words in shown


def test_forecast_without_a_measured_speed_names_only_the_steps(capsys, tmp_path):
    with training_screen(RunFolder(tmp_path)) as screen:
        screen.show(Forecast(tiny(), 5_006, 850_000, images_per_second=0.0, from_step=10, seconds=0.0))
    shown = capsys.readouterr().err
    assert "20 steps.\n" in shown
    assert "images/s" not in shown


def test_forecast_counts_steps_evaluations_and_plateau_checks():
    config = tiny()  # 30 steps; evaluations at 7, 14, 21, 28 and 30; checks every 4 steps
    assert evaluated_images(config) == 4 * (30 + 20 + 20) + (80 + 20 + 20) + 7 * 20
    assert evaluated_images(config, from_step=14) == 2 * (30 + 20 + 20) + (80 + 20 + 20) + 4 * 20
    speed = Speed({"data": 0.5, "forward": 1.5}, eval_image_seconds=0.5)
    expected = forecast(config, Cost((), (), 1, 2, 3, 4), speed, from_step=14)
    assert expected.seconds == 16 * 2.0 + 0.5 * evaluated_images(config, 14)
    assert expected.images_per_second == 8.0


def test_download_shows_its_rate_and_the_time_left(capsys):
    DownloadLine().show(DownloadProgress("CIFAR-10", 17_000_000, 170_000_000, 55_000.0, 10.0))
    assert "CIFAR-10: 10 % of 170 MB, 55 kB/s, 46 min left" in capsys.readouterr().err


def test_training_at_a_terminal_shows_a_progress_bar(monkeypatch, tmp_path):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "stderr", Console(file=screen, force_terminal=True, width=80))
    with training_screen(RunFolder(tmp_path / "plain-8-s0")) as shown:
        assert isinstance(shown, TrainingScreen)
        shown.show(Forecast(tiny(), 1, 1, 100.0, 0, 60.0))
        shown.show(TrainRecord(15, 0.5, 1.0, 0.1, 80, 1.0))
    text = screen.getvalue()
    assert "plain-8-s0" in text
    assert "15/30" in text


def test_no_color_variable_turns_colours_off(cli, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in cli("summary", "--depth", 8, "--plain").out


def test_markup_in_a_note_is_printed_as_it_is(capsys):
    terminal.note("[bold]a[/bold] :smile:")
    assert "[bold]a[/bold] :smile:" in capsys.readouterr().err


def test_table_columns_break_between_words_before_within_words():
    header, rows = ("network", "largest difference", "size"), [("residual-20-s0 to 44", "1.5 % of all of them", "3x3 conv")] * 2
    assert column_widths([header, *rows], 80) == [20, 20, 8]
    assert sum(column_widths([header, *rows], 34)) == 30
    assert column_widths([header, *rows], 32) == [14, 10, 4]
    assert sum(column_widths([header, *rows], 31)) == 27  # names are broken, then words of the header, and numbers never
    narrow = [("run", "difference"), ("residual-imagenet", "1,234,567.89")]
    assert column_widths(narrow, 22) == [8, 12]
    assert column_widths(narrow, 21) == [None, None]


def test_note_breaks_between_words_and_never_within_a_command():
    text = "Then say `resnet-lab evaluate --weights 'a b.pth'`, and no more."
    assert wrapped(text, 20).split("\n") == [
        "Then say", "`resnet-lab evaluate --weights 'a b.pth'`,", "and no more.",
    ]  # fmt: skip
    assert wrapped("a\n\n  b `c", 80) == "a\n\nb ` c"
    assert wrapped("error 87.88 %, no more", 11) == "error\n87.88 %, no\nmore"
