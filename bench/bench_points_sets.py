"""1-NNA between two sets of clouds: with the Chamfer distance beside pykdtree, with exact EMD beside POT.

    pytest bench/bench_points_sets.py --benchmark-enable

The loop does what evaluation scripts do: every tree once, each unordered pair once, both ways.
All pairs with POT take hours for 100 clouds, so POT solves a sample of the pairs, drawn by a fixed seed;
``all_pairs_seconds`` in its extra info is its time times the share of pairs left out, an extrapolation.

``POINTS_THREADS`` sets the threads (default 2), ``POINTS_CLOUDS`` the clouds of each set (default 100 for
Chamfer and 20 for EMD), ``POINTS_POT_PAIRS`` the pairs that POT solves (default 20).
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

THREADS = int(os.environ.get("POINTS_THREADS", "2"))
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))

from pointmetrics import sets  # noqa: E402

CLOUDS = int(os.environ.get("POINTS_CLOUDS", "100"))
EMD_CLOUDS = int(os.environ.get("POINTS_CLOUDS", "20"))
POT_PAIRS = int(os.environ.get("POINTS_POT_PAIRS", "20"))


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


def make_alike(k, n):
    """All clouds from one distribution: the hardest case for bounds."""
    samples, references = np.random.default_rng(0).normal(size=(2, k, n, 3))
    return samples.astype(np.float32), references.astype(np.float32)


def make(k, n):
    """Clouds whose extents differ, as those of different things do."""
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


def with_needed_pairs(samples, references):
    result = sets.evaluate(samples, references, "emd", n_threads=THREADS, n_bootstrap=1, full_matrices=False)
    return result.one_nna.value


def with_all_pairs(samples, references):
    return sets.evaluate(samples, references, "emd", n_threads=THREADS, n_bootstrap=1).one_nna.value


def all_pairs_of(clouds):
    return [(i, j) for i in range(len(clouds)) for j in range(i)]


def with_pot(clouds, pairs):
    ot = pytest.importorskip("ot", reason="needs POT")
    distance = pytest.importorskip("scipy.spatial.distance", reason="needs scipy")
    joint = np.full((len(clouds), len(clouds)), np.inf)

    def solve(pair):
        i, j = pair
        joint[i, j] = joint[j, i] = ot.emd2([], [], distance.cdist(clouds[i], clouds[j]), numItermax=10**7)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(solve, pairs))
    return joint


KINDS = {make: "differing", make_alike: "alike"}
EMD_RUNS = {"pointmetrics, needed pairs": with_needed_pairs, "pointmetrics, all pairs": with_all_pairs, "POT": None}


@pytest.mark.parametrize("shapes", [make, make_alike], ids=["differing", "alike"])
@pytest.mark.parametrize("run", EMD_RUNS)
def test_one_nna_with_exact_emd(benchmark, run, shapes):
    k, n = (3, 40) if benchmark.disabled else (EMD_CLOUDS, 2048)
    benchmark.group = f"1-NNA with exact EMD, {k} x {k} {KINDS[shapes]} clouds of {n}, float32"
    samples, references = shapes(k, n)
    if run == "POT":
        clouds = [*references, *samples]
        pairs = all_pairs_of(clouds)
        chosen = np.random.default_rng(0).permutation(pairs)[:POT_PAIRS].tolist()
        benchmark.name = f"POT, {len(chosen)} of {len(pairs):,} pairs"
        benchmark.pedantic(with_pot, args=(clouds, chosen), rounds=1)
        if not benchmark.disabled:
            benchmark.extra_info["all_pairs_seconds"] = benchmark.stats.stats.min * len(pairs) / len(chosen)
        return
    small = shapes(5, 60)
    clouds = [*small[1], *small[0]]
    assert EMD_RUNS[run](*small) == one_nna_of(with_pot(clouds, all_pairs_of(clouds)), 5)
    benchmark.name = run
    benchmark.pedantic(EMD_RUNS[run], args=(samples, references), rounds=1)
