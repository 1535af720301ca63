"""A folder of a test's own, to run commands in."""

import pytest


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
