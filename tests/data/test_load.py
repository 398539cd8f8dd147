"""Readers of the data sets, and the folder that they read from."""

from pathlib import Path
from typing import get_args

from resnet_lab.config.datasets import DATASETS, Dataset
from resnet_lab.data.load import READERS, data_root


def test_every_data_set_has_a_table_entry_and_a_reader():
    assert set(DATASETS) == set(get_args(Dataset))
    assert set(READERS) == {name for name in DATASETS if not DATASETS[name].is_folder and name != "auto"}


def test_the_data_folder_is_the_option_else_the_variable_else_data(monkeypatch):
    assert data_root(None) == Path("data")
    monkeypatch.setenv("RESNET_LAB_DATA", "/elsewhere")
    assert data_root(None) == Path("/elsewhere")
    assert data_root(Path("here")) == Path("here")
