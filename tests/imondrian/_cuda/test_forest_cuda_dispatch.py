"""Rows on a device through the estimator: what is scored, what is refused and how, and what is said without CUDA."""

import re
import sys
import types
from contextlib import contextmanager

import fake_cupy
import numpy as np
import pytest

import imondrian
from imondrian import IsolationMondrianForest
from imondrian._kit import torch_stream as _torch_stream

X = np.random.default_rng(0).normal(size=(300, 3))
QUERIES = np.random.default_rng(1).normal(size=(40, 3)) * 2


@pytest.fixture(scope="module", params=["depth", "insertion", "default"])
def fitted(request):
    return IsolationMondrianForest(10, score=request.param, random_state=0).fit(X)


def test_scores_labels_and_decisions_come_back_on_the_device(cp, fitted):
    on_device = cp.asarray(QUERIES)
    for method in ("score_samples", "decision_function", "predict"):
        expected, found = getattr(fitted, method)(QUERIES), getattr(fitted, method)(on_device)
        assert isinstance(found, cp.ndarray) and found.dtype == expected.dtype
        np.testing.assert_allclose(cp.asnumpy(found), expected, rtol=1e-12)


@pytest.mark.parametrize("score", ["depth", "insertion", "default"])
@pytest.mark.parametrize(
    "source, make",
    [
        ("split", lambda **options: IsolationMondrianForest(10, max_samples=16, **options).fit(np.tile(X, (4, 1)))),
        ("cross", lambda **options: IsolationMondrianForest(10, **options).fit(X)),
        ("prequential", lambda **options: IsolationMondrianForest(10, window=64, **options).partial_fit(X)),
    ],
)
def test_p_values_are_the_cpus(cp, source, make, score):
    detector = make(score=score, random_state=0)
    assert detector.calibration_ == source
    rows = np.concatenate([QUERIES, X])  # X: ties with what they are compared with
    found = detector.p_values(cp.asarray(rows))
    assert isinstance(found, cp.ndarray)
    np.testing.assert_array_equal(cp.asnumpy(found), detector.p_values(rows))


def test_rows_are_cast_to_the_forests_precision(cp):
    detector = IsolationMondrianForest(10, score="depth", random_state=0).fit(X.astype(np.float32))
    for rows in (
        QUERIES,
        QUERIES.astype(np.float16),
        (QUERIES * 4).astype(np.int8),
        np.asfortranarray(QUERIES),
        QUERIES.repeat(2, axis=0)[::2],
    ):
        np.testing.assert_allclose(
            cp.asnumpy(detector.score_samples(cp.asarray(rows))), detector.score_samples(rows), rtol=1e-12
        )


def test_missing_values_are_scored_there(cp, fitted):
    rows = np.where(np.random.default_rng(2).random(QUERIES.shape) < 0.3, np.nan, QUERIES)
    np.testing.assert_allclose(
        cp.asnumpy(fitted.score_samples(cp.asarray(rows))), fitted.score_samples(rows), rtol=1e-12
    )


def test_a_call_waits_once(cp, fitted):
    rows = cp.asarray(QUERIES)
    fitted.score_samples(rows)
    fake_cupy.SYNCS[0] = 0
    fitted.predict(rows)
    assert fake_cupy.SYNCS[0] == 1


def with_one(value):
    rows = QUERIES.copy()
    rows[7, 1] = value
    return rows


@pytest.mark.parametrize(
    "bad",
    [
        with_one(np.inf),
        with_one(-np.inf),
        QUERIES[:0],
        QUERIES[:, :0],
        QUERIES[:, :2],
        QUERIES[None],
        QUERIES.astype(complex),
    ],
)
def test_bad_rows_are_refused_in_the_same_words(cp, fitted, bad):
    messages = []
    for rows in (bad, cp.asarray(bad)):
        with pytest.raises(ValueError) as caught:
            fitted.score_samples(rows)
        messages.append(str(caught.value).splitlines()[0])
    assert messages[0] == messages[1]


def test_too_large_for_the_forests_precision(cp):
    detector = IsolationMondrianForest(5, score="depth", random_state=0).fit(X.astype(np.float32))
    too_large = r"infinity or a value too large for dtype\('float32'\)"
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=too_large):
        detector.score_samples(cp.asarray(QUERIES * 1e60))


def test_one_axis_is_refused(cp, fitted):
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array instead"):
        fitted.score_samples(cp.asarray(QUERIES[0]))


def test_names_are_asked_for_as_on_the_cpu(cp):
    pd = pytest.importorskip("pandas", reason="needs pandas")
    detector = IsolationMondrianForest(5, score="depth", random_state=0).fit(pd.DataFrame(X, columns=list("abc")))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        detector.score_samples(cp.asarray(QUERIES))


def test_what_is_done_on_the_cpu_says_so(cp, fitted):
    rows = cp.asarray(QUERIES)
    for call in (
        lambda: IsolationMondrianForest().fit(rows),
        lambda: IsolationMondrianForest().partial_fit(rows),
        lambda: fitted.reject(rows),
    ):
        with pytest.raises(TypeError, match=r"on a CUDA device.*pass cupy\.asnumpy\(X\)"):
            call()


def test_a_forest_grown_for_another_score_says_so(cp, fitted):
    depths = IsolationMondrianForest(5, score="depth", random_state=0).fit(X).set_params(score="default")
    for rows in (QUERIES, cp.asarray(QUERIES)):
        with pytest.raises(ValueError, match="was fitted for another score"):
            depths.score_samples(rows)


def test_an_unfitted_forest_is_named(cp):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        IsolationMondrianForest().score_samples(cp.asarray(QUERIES))


# Tensors on a CUDA device


class _Tensor:
    """As much of a tensor as the dispatch looks at."""

    def __init__(self, array, requires_grad=False, dtype="torch.float64"):
        self.array, self.requires_grad, self.dtype = array, requires_grad, dtype
        self.device = types.SimpleNamespace(type="cuda", index=0)


@pytest.fixture
def torch(cp, monkeypatch):
    """A stand-in for a torch with CUDA, whose tensors wrap the arrays of the stand-in for CuPy."""
    streams = []

    @contextmanager
    def entered(pointer):
        streams.append(pointer)
        yield

    current = types.SimpleNamespace(cuda_stream=77, device_index=0)
    module = types.SimpleNamespace(
        Tensor=_Tensor,
        bfloat16="torch.bfloat16",
        from_dlpack=_Tensor,
        streams=streams,
        cuda=types.SimpleNamespace(current_stream=lambda device: current),
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setattr(cp, "from_dlpack", lambda tensor: tensor.array, raising=False)
    monkeypatch.setattr(_torch_stream, "import_cupy", lambda: cp)
    monkeypatch.setattr(_torch_stream, "foreign_stream", lambda cupy, pointer: entered(pointer))
    return module


def test_tensors_are_scored_on_torchs_stream(cp, torch, fitted):
    found = fitted.score_samples(_Tensor(cp.asarray(QUERIES)))
    assert isinstance(found, _Tensor) and torch.streams == [77]
    np.testing.assert_allclose(cp.asnumpy(found.array), fitted.score_samples(QUERIES), rtol=1e-12)


def test_tensors_that_cannot_be_scored_are_named(cp, torch, fitted):
    with pytest.raises(ValueError, match=r"requires grad.*X\.detach\(\)"):
        fitted.score_samples(_Tensor(cp.asarray(QUERIES), requires_grad=True))
    with pytest.raises(TypeError, match="bfloat16"):
        fitted.score_samples(_Tensor(cp.asarray(QUERIES), dtype="torch.bfloat16"))
    with pytest.raises(TypeError, match=r"pass X\.cpu\(\)"):
        IsolationMondrianForest().fit(_Tensor(cp.asarray(QUERIES)))


def test_tensors_on_a_device_that_cupy_cannot_use(cp, torch, fitted, monkeypatch):
    """Torch brings its own CUDA, so a driver may serve it and be too old for CuPy."""
    fail = failing(fake_cupy.CUDARuntimeError("cudaErrorInsufficientDriver: too old"))
    monkeypatch.setattr(
        cp.cuda,
        "runtime",
        types.SimpleNamespace(
            CUDARuntimeError=fake_cupy.CUDARuntimeError,
            getDevice=fail,
            getDeviceCount=fail,
            driverGetVersion=lambda: 12040,
            runtimeGetVersion=lambda: 13000,
        ),
    )
    monkeypatch.setattr(cp, "__version__", "14.2", raising=False)
    with pytest.raises(RuntimeError, match=r"through CuPy, which cannot use it: .*CUDA 12\.4, .*update the driver"):
        fitted.score_samples(_Tensor(cp.asarray(QUERIES)))


# Where CUDA cannot be used


def runtime_of(driver=12040, devices=1):
    properties = {"name": b"A device", "major": 9, "minor": 0, "totalGlobalMem": 2**34}
    return types.SimpleNamespace(
        CUDARuntimeError=RuntimeError,
        runtimeGetVersion=lambda: 12040,
        driverGetVersion=lambda: driver,
        getDeviceCount=lambda: devices,
        getDevice=lambda: 0,
        getDeviceProperties=lambda number: properties,
    )


def failing(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    "runtime, nvrtc, said",
    [
        (runtime_of(driver=0), None, "not usable: no CUDA driver is loaded"),
        (runtime_of(devices=0), None, "not usable: the CUDA driver finds no device"),
        (
            runtime_of(),
            failing(RuntimeError("libnvrtc.so.12 not found")),
            "NVRTC, cannot be loaded .libnvrtc.so.12 not",
        ),
        (runtime_of(), lambda: [100, 120], "compute capability 9.0 is older than the least .*, 10.0"),
        (runtime_of(), lambda: [75, 90], "^usable: A device, CuPy 14.2"),
    ],
)
def test_info_says_what_is_missing(monkeypatch, runtime, nvrtc, said):
    compiler = types.SimpleNamespace(getSupportedArchs=nvrtc, getVersion=nvrtc)
    cuda = types.SimpleNamespace(runtime=runtime, nvrtc=compiler)
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, __version__="14.2"))
    assert re.search(said, imondrian.info()["CUDA"])


def test_info_without_cupy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert "pip install 'imondrian[cuda]'" in imondrian.info()["CUDA"]
    from imondrian.cli import main

    main(["info"])
    assert f"imondrian: {imondrian.__version__}\n" in capsys.readouterr().out


# On a device


@pytest.mark.gpu
@pytest.mark.parametrize("score", ["depth", "insertion", "default"])
def test_estimators_on_a_device(cupy_device, score):
    detector = IsolationMondrianForest(20, score=score, random_state=0).fit(X)
    rows = cupy_device.asarray(QUERIES)
    for method in ("score_samples", "decision_function", "predict", "p_values"):
        found = getattr(detector, method)(rows)
        assert isinstance(found, cupy_device.ndarray)
        np.testing.assert_allclose(cupy_device.asnumpy(found), getattr(detector, method)(QUERIES), rtol=1e-12)
    with pytest.raises(ValueError, match="infinity"):
        detector.score_samples(cupy_device.full((3, 3), np.inf))
    with cupy_device.cuda.Stream(non_blocking=True):
        found = detector.score_samples(cupy_device.asarray(QUERIES))
        np.testing.assert_allclose(cupy_device.asnumpy(found), detector.score_samples(QUERIES), rtol=1e-12)


@pytest.mark.gpu
def test_tensors_on_a_device(cupy_device):
    torch = pytest.importorskip("torch", reason="needs torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a torch with CUDA")
    detector = IsolationMondrianForest(20, score="depth", random_state=0).fit(X)
    found = detector.score_samples(torch.from_numpy(QUERIES).cuda())
    assert found.device.type == "cuda"
    np.testing.assert_allclose(found.cpu().numpy(), detector.score_samples(QUERIES), rtol=1e-12)
    assert imondrian.info()["CUDA"].startswith("usable")
