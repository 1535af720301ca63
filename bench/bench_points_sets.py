"""1-NNA between two sets of clouds with the Chamfer distance, beside a loop over pykdtree.

    pytest bench/bench_points_sets.py --benchmark-enable

The loop does what evaluation scripts do: every tree once, each unordered pair once, both ways.
``POINTS_THREADS`` sets the threads (default 2), ``POINTS_CLOUDS`` the clouds of each set (default 100).
"""

import os

import numpy as np
import pytest

THREADS = int(os.environ.get("POINTS_THREADS", "2"))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

from pointmetrics import sets  # noqa: E402

CLOUDS = int(os.environ.get("POINTS_CLOUDS", "100"))


def one_nna_of(joint, n_references):
    np.fill_diagonal(joint, np.inf)
    is_sample = np.arange(len(joint)) >= n_references
    return np.mean(is_sample[joint.argmin(axis=1)] == is_sample)


def with_pointmetrics(samples, references):
    return sets.evaluate(samples, references, n_threads=THREADS, n_bootstrap=1).one_nna.value


def with_pykdtree(samples, references):
    tree = pytest.importorskip("pykdtree.kdtree", reason="needs pykdtree").KDTree
    clouds = [*references, *samples]
    trees = [tree(cloud) for cloud in clouds]
    joint = np.zeros((len(clouds), len(clouds)))
    for i in range(len(clouds)):
        for j in range(i):
            forth, back = trees[j].query(clouds[i])[0], trees[i].query(clouds[j])[0]
            joint[i, j] = joint[j, i] = np.square(forth).mean() + np.square(back).mean()
    return one_nna_of(joint, len(references))


LIBRARIES = {"pointmetrics": with_pointmetrics, "pykdtree": with_pykdtree}


def make(k, n):
    rng = np.random.default_rng(0)
    samples, references = rng.normal(size=(2, k, n, 3)) * rng.random((2, k, 1, 3))
    return samples.astype(np.float32), references.astype(np.float32)


@pytest.mark.parametrize("library", LIBRARIES)
def test_one_nna(benchmark, library):
    k, n = (4, 50) if benchmark.disabled else (CLOUDS, 2048)
    benchmark.group = f"1-NNA with cd-l2, {k} x {k} clouds of {n}, float32"
    benchmark.name = library
    small = make(5, 200)
    assert LIBRARIES[library](*small) == with_pykdtree(*small)
    benchmark.pedantic(LIBRARIES[library], args=make(k, n), rounds=1)
