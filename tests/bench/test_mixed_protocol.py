"""The protocols of mixed tables plant what they say, and count what they say they count."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")
pytest.importorskip("pandas", reason="needs pandas")

import mixed_protocol as protocol
from forest_protocols import Figure
from mixed_detectors import MixedNeighbours, Spad, frequency, one_hot, ordinal
from mixed_tables import CATEGORICAL, NUISANCE, PLANTED, MixedTable, nominal_tables, planted, split_70_30


@pytest.mark.parametrize("name", PLANTED)
def test_planted_tables_are_the_seed_s_and_of_one_shape(name):
    table, again, other = planted(name, 0), planted(name, 0), planted(name, 1)
    assert table.y.sum() == 40
    assert len(table.numbers) == len(table.levels) == len(table.y) == 5_000
    np.testing.assert_array_equal(table.numbers, again.numbers)
    np.testing.assert_array_equal(table.levels, again.levels)
    assert not np.array_equal(table.numbers, other.numbers)


@pytest.mark.parametrize("name", NUISANCE)
def test_nuisances_say_nothing_of_the_anomalies_whose_number_is_moved(name):
    table = planted(name, 0)
    anomalies = table.y == 1
    assert np.abs(table.numbers[anomalies, 0]).min() > (2 if "5 sd" in name else 4)
    assert np.abs(table.numbers[:, 1:]).max() < 6
    for column in table.levels.T:
        usual = np.unique(column[~anomalies], return_counts=True)[1].max() / (~anomalies).sum()
        among = np.unique(column[anomalies], return_counts=True)[1].max() / 40
        assert abs(usual - among) < 0.3


def test_categorical_anomalies_are_what_their_names_say():
    mixed, disagreeing, told, rare, unseen, flag = (planted(name, 3) for name in CATEGORICAL)
    np.testing.assert_array_equal(mixed.levels[:, 0] // 4 != mixed.levels[:, 1] // 4, mixed.y == 1)
    np.testing.assert_array_equal(disagreeing.levels[:, 0] != disagreeing.levels[:, 1], disagreeing.y == 1)
    usual = told.y == 0
    assert np.abs(told.numbers[usual, 0] - 6 * told.levels[usual, 0]).max() < 6
    assert np.abs(told.numbers[~usual, 0] - 6 * told.levels[~usual, 0]).mean() > 6
    np.testing.assert_array_equal(rare.levels[:, 0] >= 5, rare.y == 1)
    np.testing.assert_array_equal(flag.levels[:, 0], flag.y)
    train, test = split_70_30(unseen, 0)
    assert set(test.levels[test.y == 1, 0]) == {5}
    assert 5 not in train.levels[:, 0]
    assert train.y.sum() == 28


def test_flags_become_numbers_and_other_columns_stay():
    table = planted("everything, 8 sd", 0)
    numbers = table.with_flags_as_numbers()
    assert numbers.numbers.shape[1] == 3 + 3
    assert numbers.levels.shape[1] == table.levels.shape[1] - 3


def test_codes_of_levels_that_training_has_not_seen():
    training, tested = np.array([[0], [0], [1], [2]]), np.array([[0], [7]])
    np.testing.assert_array_equal(one_hot(training)(tested), [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(ordinal(training)(tested), [[0], [-1]])
    np.testing.assert_array_equal(frequency(training)(tested), [[0.5], [0]])


def test_slow_peers_say_what_their_formulas_say():
    numbers, levels = np.array([[-1.0], [1.0]] * 4), np.array([[0], [1]] * 4)
    table = MixedTable("made", numbers, levels, np.zeros(8, int))
    asked = MixedTable("asked", np.array([[1.0], [1.0]]), np.array([[1], [9]]), np.zeros(2, int))
    # The four rows (1, 1) are at 0 and at 3; the fifth nearest is 2 away by number, and by its level 3.
    np.testing.assert_allclose(MixedNeighbours().fit(table).scores(asked), [5 / 5, (4 * 3 + 5) / 5])
    common, unseen = Spad().fit(table).scores(asked)
    assert unseen - common == pytest.approx(np.log(5 / 10) - np.log(1 / 10))


def test_tables_leave_out_of_their_means_what_neighbours_do_not_solve():
    found = {"ours": (0.9, 0.5), "kNN(5), mismatch 3": (0.8, 0.3)}
    figures = [
        Figure(kind, method, "test", seed, 0.5, ap + 0.01 * seed)
        for method, aps in found.items()
        for kind, ap in zip(("rare levels", "groups mixed"), aps, strict=True)
        for seed in (0, 1)
    ]
    header, rows = protocol.planted_table(figures)
    assert header == ["average precision", "ours", "kNN(5), mismatch 3"]
    assert rows == [
        ["(groups mixed)", ".505 ± .005", ".305 ± .005"],
        ["rare levels", ".905 ± .005", ".805 ± .005"],
        ["categorical, mean", ".905", ".805"],
        ["all, mean", ".905", ".805"],
    ]


def test_nominal_sets_come_from_a_folder(tmp_path):
    rng = np.random.default_rng(0)
    levels = rng.integers(3, size=(120, 2)).astype(np.int16)
    np.savez(tmp_path / "made.npz", C=levels, y=np.arange(120) % 20 == 0)
    (table,) = nominal_tables(tmp_path)
    np.testing.assert_array_equal(table.levels, levels)
    figures = protocol.run("nominal", str(tmp_path), None, ["SPAD", "ours, one-hot"], 2, 100, print)
    assert [(figure.method, figure.repeat) for figure in figures] == [
        ("SPAD", 0),
        ("ours, one-hot", 0),
        ("SPAD", 1),
        ("ours, one-hot", 1),
    ]
    with pytest.raises(ValueError, match="no table named 'other'; there are made"):
        protocol.run("nominal", str(tmp_path), ["other"], None, 1, 100, print)
    np.savez(tmp_path / "wrong.npz", X=levels)
    with pytest.raises(ValueError, match=r"wrong\.npz must hold arrays C and y, lacks C, y"):
        list(nominal_tables(tmp_path))


def test_streams_score_before_they_learn():
    pytest.importorskip("river", reason="needs river")
    rng = np.random.default_rng(0)
    table = MixedTable("made", rng.normal(size=(300, 2)), np.empty((300, 0), int), np.arange(300) % 50 == 49)
    table.numbers[table.y == 1] = 9.0
    figure = protocol.stream(table, "ours", protocol.STREAMS["ours, stream"].make, 0)
    assert figure.ap > 0.5
