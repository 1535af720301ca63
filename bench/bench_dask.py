"""Scoring on a Dask cluster of this machine: two workers of one thread beside one.

    DASK_ROWS=10000000 pytest bench/bench_dask.py --benchmark-enable

Rows (10 features, float64) are made on the workers before the clock starts, and of the scores only their sum travels:
what is timed is the graph, the forest's way to the workers, and the scoring. ``fit`` is timed over the same rows;
beside it stands ``X.compute()`` and the estimator's own ``fit``, which is what one would do without it.

``DASK_ROWS`` sets the rows (default 1,000,000), ``DASK_CHUNKS`` the chunks that they come in (default 20).
"""

import os

import numpy as np
import pytest

dask = pytest.importorskip("dask", reason="needs dask: pip install 'imondrian[dask]'")
distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'imondrian[dask]'")

import dask.array as da  # noqa: E402

import imondrian.dask as forests  # noqa: E402
from imondrian import IsolationMondrianForest  # noqa: E402

ROWS = int(os.environ.get("DASK_ROWS", "1000000"))
CHUNKS = int(os.environ.get("DASK_CHUNKS", "20"))
N_FEATURES, TINY = 10, 4_000


@pytest.fixture
def rows(timed):
    return ROWS if timed else TINY


@pytest.fixture(scope="module")
def cluster(request):
    """A cluster of so many processes of one thread."""
    workers = distributed.LocalCluster(
        n_workers=request.param, threads_per_worker=1, processes=True, dashboard_address=":0"
    )
    with workers as cluster, distributed.Client(cluster) as client:
        yield client


def make_rows(client, n):
    """Return rows in the workers' memory, in so many chunks; 4 where nothing is timed."""
    rows_a_chunk = n // (CHUNKS if n > TINY else 4)
    X = da.random.default_rng(0).normal(size=(n, N_FEATURES), chunks=(rows_a_chunk, N_FEATURES))
    X = client.persist(X)
    distributed.wait(X)
    return X


@pytest.mark.parametrize(("cluster", "workers"), [(1, "one worker"), (2, "two workers")], indirect=["cluster"])
def test_score(benchmark, cluster, workers, rows):
    X = make_rows(cluster, rows)
    forest = forests.fit(IsolationMondrianForest(random_state=0), X)
    scores = forests.score_samples(forest, X)
    np.testing.assert_array_equal(scores.blocks[-1].compute(), forest.score_samples(X.blocks[-1].compute()))
    benchmark.group = f"score {rows:,} x {N_FEATURES} on Dask workers of one thread"
    benchmark.name = f"imondrian.dask, {workers}"
    mean = benchmark.pedantic(lambda: float(scores.sum().compute()) / rows, rounds=3 if benchmark.enabled else 1)
    assert -0.6 < mean < -0.1


@pytest.mark.parametrize("cluster", [2], indirect=True)
@pytest.mark.parametrize("how", ["imondrian.dask.fit", "compute, then fit"])
def test_fit(benchmark, cluster, rows, how):
    X = make_rows(cluster, rows)
    benchmark.group = f"fit {rows:,} x {N_FEATURES} held by two Dask workers of one thread"
    benchmark.name = how
    estimator = IsolationMondrianForest(random_state=0)

    def run():
        return forests.fit(estimator, X) if how == "imondrian.dask.fit" else estimator.fit(X.compute())

    found = benchmark.pedantic(run, rounds=3 if benchmark.enabled else 1)
    few = X.blocks[0].compute()[:100]
    np.testing.assert_array_equal(
        found.score_samples(few), IsolationMondrianForest(random_state=0).fit(X.compute()).score_samples(few)
    )
