"""A cluster of this machine, for the tests that ask for one."""

import pytest


@pytest.fixture(scope="module")
def client():
    """Two worker processes of one thread; a worker that is killed is started again."""
    distributed = pytest.importorskip("distributed", reason="needs distributed: pip install 'imondrian[dask]'")
    workers = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0")
    with workers as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def scheduler(request):
    """Tests that ask for no cluster run in this thread."""
    dask = pytest.importorskip("dask", reason="needs dask: pip install 'imondrian[dask]'")
    if "client" in request.fixturenames:
        yield
    else:
        with dask.config.set(scheduler="synchronous"):
            yield
