"""The kernels on a real device: sizes that an emulation cannot run, streams, torch, recorded graphs."""

import numpy as np
import pytest

import pointmetrics as pm
from pointmetrics._backends.conventions import look_up, put_together
from pointmetrics._backends.cpu.backend import CPU
from pointmetrics._backends.cuda import nearest as _cuda_nearest
from pointmetrics._backends.cuda import search as _cuda_search

pytestmark = pytest.mark.gpu


@pytest.fixture
def cuda(cupy_device):
    from pointmetrics._backends.cuda.backend import backend

    return backend()


@pytest.fixture
def torch_cuda(cupy_device):
    torch = pytest.importorskip("torch", reason="needs torch for CUDA")
    if not torch.cuda.is_available():
        pytest.skip("needs torch for CUDA")
    return torch


def clouds(sizes, d, dtype, seed=0, places=None):
    points = np.random.default_rng(seed).random((sum(sizes), d))
    points = points if places is None else np.round(points, places)
    return points.astype(dtype), np.concatenate([[0], np.cumsum(sizes)])


def check(cuda, x, y):
    expected = CPU.nearest(*x, *y, 8)
    up = cuda.upload
    found = cuda.nearest(up(x[0]), x[1], up(y[0]), y[1], 1)
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a, cuda.download(b))
    coefs = (np.random.default_rng(1).random(len(side[0])) for side in (x, y))
    coef_x, coef_y = coefs
    grads = CPU.nearest_grad(*x, *y, expected[1], coef_x, expected[3], coef_y)
    got = cuda.nearest_grad(up(x[0]), x[1], up(y[0]), y[1], found[1], up(coef_x), found[3], up(coef_y))
    for a, b in zip(grads, got, strict=True):
        np.testing.assert_array_equal(a, cuda.download(b))


@pytest.mark.parametrize("places", [None, 1], ids=["uniform", "ties"])
@pytest.mark.parametrize(
    "sizes",
    [([2048] * 32, [2048] * 32), ([16384], [16384]), ([1, 5000, 77], [3000, 2, 1])],
    ids=["batch", "one pair", "ragged"],
)
@pytest.mark.parametrize("d", [2, 3, 8, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_neighbours_and_gradients_are_the_cpus(cuda, dtype, d, sizes, places):
    if d == 64 and max(map(max, sizes)) > 5000:
        pytest.skip("needs minutes on the CPU")
    check(cuda, clouds(sizes[0], d, dtype, 0, places), clouds(sizes[1], d, dtype, 1, places))


@pytest.mark.parametrize("places", [None, 2], ids=["uniform", "ties"])
@pytest.mark.parametrize("d", [2, 3, 8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_search_is_the_cpus(cuda, monkeypatch, dtype, d, places):
    monkeypatch.setattr(_cuda_search, "LEAST_PAIRS", 0)
    monkeypatch.setattr(_cuda_nearest, "_SCAN_LIMIT", 0)
    check(cuda, clouds([50_000], d, dtype, 0, places), clouds([70_001], d, dtype, 1, places))


def test_a_million_points(cuda):
    check(cuda, clouds([1_000_000], 3, np.float32), clouds([1_000_000], 3, np.float32, 1))


def test_sums_of_pairs_are_the_cpus(cuda):
    x, y = clouds([2048] * 8, 3, np.float32), clouds([2048, 5000, 3], 3, np.float32, 1)
    pairs = np.argwhere(np.ones((8, 3)))
    expected = CPU.pairwise(*x, *y, pairs, 1, 8)
    found = cuda.pairwise(cuda.upload(x[0]), x[1], cuda.upload(y[0]), y[1], pairs, 1, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_minima_on_a_device_are_a_matrixs(cuda, dtype, within):
    x = clouds([300] * 20 + [1, 4096, 30], 3, dtype, places=1)
    y = x if within else clouds([300] * 11 + [5000, 3], 3, dtype, 1, places=1)
    definition = look_up("cd-l1")
    pairs = np.ascontiguousarray(np.argwhere(np.ones((len(x[1]) - 1, len(y[1]) - 1))))
    up = cuda.upload
    sums = cuda.pairwise(up(x[0]), x[1], up(y[0]), y[1], pairs, definition.power, 1)
    values = put_together(definition, *sums, np.diff(x[1])[pairs[:, 0]], np.diff(y[1])[pairs[:, 1]])
    values = values.reshape(len(x[1]) - 1, -1)
    if within:
        values = np.triu(values, 1) + np.triu(values, 1).T
        np.fill_diagonal(values, np.inf)
    found = cuda.nearest_clouds(up(x[0]), x[1], up(y[0]), y[1], within, definition, 1)
    for axis, distance, ids in ((1, *found[:2]), (0, *found[2:])):
        np.testing.assert_array_equal(distance, values.min(axis=axis))
        np.testing.assert_array_equal(ids, values.argmin(axis=axis))


def test_results_have_the_same_bits_every_time(cupy_device):
    x, y = (cupy_device.asarray(np.random.default_rng(i).random((4, 3000, 3), dtype=np.float32)) for i in range(2))
    first, second = (pm.chamfer_distance(x, y, convention="cd-l1", return_grad=True) for _ in range(2))
    for a, b in zip((first[0], *first[1]), (second[0], *second[1]), strict=True):
        assert bool((a == b).all())


def test_work_runs_on_the_callers_stream(cupy_device):
    x = cupy_device.random.random((20_000, 3), dtype=np.float32)
    cupy_device.cuda.Device().synchronize()
    stream = cupy_device.cuda.Stream(non_blocking=True)
    with stream:
        y = x + 1
        value = pm.chamfer_distance(x, y)
    stream.synchronize()
    np.testing.assert_allclose(float(value), pm.chamfer_distance(x.get(), x.get() + 1), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_have_the_cpus_values_and_gradients(torch_cuda, dtype):
    torch = torch_cuda
    x, y = (torch.rand(3, 500, 3, dtype=getattr(torch, dtype)) for _ in range(2))
    results = []
    for device in ("cpu", "cuda"):
        a, b = (t.to(device).requires_grad_() for t in (x, y))
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            loss = pm.torch.chamfer_distance(a, b, convention="cd-l1")
            loss.sum().backward()
        side.synchronize()
        assert loss.device.type == device
        results.append([t.detach().cpu() for t in (loss, a.grad, b.grad)])
    for on_cpu, on_cuda in zip(*results, strict=True):
        torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("warm_up", ["the same stream", "another", "the default one"])
@pytest.mark.parametrize("function", ["chamfer", "chamfer with gradients", "emd", "hausdorff"])
def test_a_graph_of_torch_replays(torch_cuda, function, warm_up):
    """Whichever stream was used before, and whatever is computed between recording and replay."""
    torch = torch_cuda
    call = {
        "chamfer": pm.chamfer_distance,
        "hausdorff": pm.hausdorff_distance,
        "chamfer with gradients": lambda x, y: pm.chamfer_distance(x, y, return_grad=True)[1][0],
        "emd": lambda x, y: pm.earth_movers_distance(x, y, tol=1e-2),
    }[function]
    x, y = torch.rand(2, 4, 512, 3, device="cuda")
    recording = torch.cuda.Stream()
    before = {
        "the same stream": recording,
        "another": torch.cuda.Stream(),
        "the default one": torch.cuda.default_stream(),
    }[warm_up]
    torch.cuda.synchronize()
    with torch.cuda.stream(before):
        call(x, y)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=recording):
        value = call(x, y)
    for n in range(1, 100):  # uses memory and sizes up that the recording has left
        with torch.cuda.stream(recording if n % 2 else before):
            call(*torch.rand(2, 1, 2 * n, 3, device="cuda"))
    kept = [torch.full((1 << 20,), float("nan"), device="cuda") for _ in range(8)]
    for _ in range(2):
        x.add_(0.25)
        graph.replay()
        torch.cuda.synchronize()
        torch.testing.assert_close(value, call(x, y))
    assert all(bool(t.isnan().all()) for t in kept)  # a replay writes into nobody else's memory


def test_tensors_are_computed_on_in_torchs_memory(torch_cuda, cupy_device):
    torch = torch_cuda
    x = torch.rand(4, 512, 3, device="cuda")
    pm.chamfer_distance(x, x)
    cupy_device.get_default_memory_pool().free_all_blocks()
    before = cupy_device.get_default_memory_pool().total_bytes()
    pm.chamfer_distance(x[:, ::2], x)
    assert cupy_device.get_default_memory_pool().total_bytes() == before


def test_info_names_the_device(cupy_device):
    status = pm.info().cuda
    assert status.usable and status.device and status.memory_bytes > 0
