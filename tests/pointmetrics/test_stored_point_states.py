"""What version 0.1.0 left on the disk: pickles, and an unfinished matrix."""

import json
import pickle
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "fixtures"))

from make_point_states import ARCHIVE, answers, partial_matrix

with ZipFile(ARCHIVE) as archive:
    EXPECTED = json.loads(archive.read("states.json"))


@pytest.fixture
def states(tmp_path):
    """A folder with everything in it."""
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", EXPECTED["pickles"])
def test_a_pickle_is_what_it_was(states, name):
    assert answers(pickle.loads((states / f"{name}.pickle").read_bytes())) == EXPECTED["pickles"][name]


def test_an_unfinished_matrix_is_gone_on_with(states):
    with np.load(states / "matrix.npz") as saved:
        kept = ~np.isnan(saved["matrix"])
    assert 0 < kept.sum() < kept.size
    assert partial_matrix(states / "matrix.npz", None).tolist() == EXPECTED["matrix"]


def test_an_unfinished_matrix_is_read(states):
    """What it says of finished pairs is taken as it is."""
    path = states / "matrix.npz"
    with np.load(path) as saved:
        key, matrix = saved["key"], saved["matrix"].copy()
    i, j = np.argwhere(~np.isnan(matrix))[0]
    matrix[i, j] = 42.0
    np.savez(path, key=key, matrix=matrix)
    assert partial_matrix(path, None)[i, j] == 42.0
