"""Mutated files: a ValueError, or a model that works; never anything else.

``IMONDRIAN_FUZZ_FILES=100000 pytest tests/imondrian/test_file_fuzz.py`` runs the long version.
"""

import os
import re

import numpy as np
import pytest
from reference.file_mutations import damaged

from imondrian import IsolationMondrianForest
from imondrian.river import OnlineIsolationMondrianForest

N_FILES = int(os.environ.get("IMONDRIAN_FUZZ_FILES", "4000"))
CLASSES = {"estimator": IsolationMondrianForest, "online": OnlineIsolationMondrianForest}


def models():
    """Small models of every kind."""
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(40, 3)), 1)
    yield "estimator", IsolationMondrianForest(2, max_samples=7, random_state=np.random.RandomState(0)).fit(X)
    yield "estimator", IsolationMondrianForest(2, window=6, contamination=0.2, random_state=0).partial_fit(X)
    forgot = IsolationMondrianForest(2, random_state=0).partial_fit(X[:12].astype(np.float32))
    forgot.forest_.forget(X[:5].astype(np.float32))
    yield "estimator", forgot
    for window in ("reservoir", 5, "thinned", None):
        model = OnlineIsolationMondrianForest(2, window=window, horizon=400, seed=0)
        for i, row in enumerate(X[:20].tolist()):
            x = dict(zip(("a", 1, ("b", None)), row, strict=True))
            model.learn_one(x if i % 4 else {"a": x["a"]})
        yield "online", model


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("sound"), {"estimator": [], "online": []}
    for kind, model in models():
        model.save(folder / "file")
        found[kind].append((folder / "file").read_bytes())
    return found


def use(kind, model, path):
    """Ask everything of a model that loaded."""
    if kind == "online":
        x = dict.fromkeys(model._model.keys, 0.5)
        assert 0.0 <= model.score_one(x) <= 1.0
        # A parameter from the file is as good as a caller's: an empty model that wants 10^9 trees would get them.
        if model._model.forest is not None:
            for shift in range(9):
                model.learn_one({key: value + shift for key, value in x.items()})
            model.forget_one(x, missing_ok=True)
            model.learn_one(x)
            model._model.forest.check()
    elif hasattr(model, "forest_"):
        X = np.arange(4.0 * model.n_features_in_).reshape(4, -1).astype(model.forest_.dtype)
        if not hasattr(model, "feature_names_in_"):
            assert np.isfinite(model.score_samples(X)).all()
            model.partial_fit(X).predict(X)
            model.p_values(X)
            model.forget(X[1:], missing_ok=True).partial_fit(X)
        model.forest_.check()
    model.save(path)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("kind", CLASSES)
def test_damaged_files_raise_or_do_no_harm(files, kind, mmap, tmp_path):
    path, cls, refused, loaded = tmp_path / "file", CLASSES[kind], 0, 0
    named = re.compile(re.escape(repr(str(path))))
    for seed in range(N_FILES // 4):
        path.unlink(missing_ok=True)  # what is mapped must not be written into
        path.write_bytes(damaged(f"{kind} {mmap} {seed}", files[kind]))
        with np.errstate(all="ignore"):
            try:
                model = cls.load(path, mmap=mmap)
            except ValueError as error:
                assert named.search(str(error)), (seed, error)
                refused += 1
            else:
                use(kind, model, tmp_path / "again")
                loaded += 1
    assert refused > 0.6 * (N_FILES // 4) and loaded > 0.02 * (N_FILES // 4), (refused, loaded)
