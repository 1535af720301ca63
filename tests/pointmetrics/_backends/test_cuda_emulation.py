"""The emulation itself: indices, warp collectives, atomics and refusals are those that CUDA documents."""

import host_build
import numpy as np
import pytest
from device import EmulatedDevice

from pointmetrics._backends.cuda.kernel_source import kernel_of

COLLECTIVES = """
extern "C" __global__ void probe(const int* values, int* out) {
  const int lane = threadIdx.x & 31;
  const int n = gridDim.x * blockDim.x;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int v = values[i];
  out[0 * n + i] = __shfl_sync(0xffffffffu, v, (lane * 7 + 3) & 31);
  out[1 * n + i] = __shfl_up_sync(0xffffffffu, v, 3);
  out[2 * n + i] = __shfl_down_sync(0xffffffffu, v, 5);
  out[3 * n + i] = __shfl_xor_sync(0xffffffffu, v, 9);
  out[4 * n + i] = static_cast<int>(__ballot_sync(0xffffffffu, v > 0));
  out[5 * n + i] = __any_sync(0xffffffffu, v > 90) + 2 * __all_sync(0xffffffffu, v > -90);
  out[6 * n + i] = __reduce_add_sync(0xffffffffu, v);
  out[7 * n + i] = __reduce_min_sync(0xffffffffu, v);
  out[8 * n + i] = __reduce_max_sync(0xffffffffu, v);
  out[9 * n + i] = __popc(v) * 10000 + __clz(v) * 100 + __ffs(v);
}
"""

ATOMICS = """
extern "C" __global__ void probe(const int* values, int* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(out, values[i]);
  atomicMin(out + 1, values[i]);
  atomicMax(out + 2, values[i]);
  atomicOr(out + 3, values[i]);
  atomicAnd(out + 4, values[i]);
  atomicExch(out + 5, 5);
  const int seen = atomicCAS(out + 6, i, i + 1);
  if (seen != i) __trap();
}
"""

SHAPE = """
extern "C" __global__ void probe(const int* values, int* out) {
  DYNAMIC_SHARED(memory);
  int* row = reinterpret_cast<int*>(memory);
  const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  row[thread] = values[thread] + block;
  __syncthreads();
  out[block * 12 + thread] = row[11 - thread];
}
"""


def run(source, values, size, grid=(2,), block=(64,), shared=0, initial=0, **options):
    if reason := host_build.missing():
        pytest.skip(reason)
    device = EmulatedDevice(edit=lambda _: source, **options)
    out = device.xp.full(size, initial, dtype=np.int32)
    device.launch(kernel_of("segments", "probe", np.float32), grid, block, (device.xp.asarray(values), out), shared)
    return device.xp.asnumpy(out)


@pytest.mark.parametrize("reverse", [False, True])
def test_warp_collectives(reverse):
    values = np.random.default_rng(0).integers(-100, 100, 128).astype(np.int32)
    out = run(COLLECTIVES, values, 1280, reverse=reverse).reshape(10, 4, 32)
    warps, lane = values.reshape(4, 32), np.arange(32)
    np.testing.assert_array_equal(out[0], warps[:, (lane * 7 + 3) % 32])
    np.testing.assert_array_equal(out[1], warps[:, np.where(lane >= 3, lane - 3, lane)])
    np.testing.assert_array_equal(out[2], warps[:, np.where(lane < 27, lane + 5, lane)])
    np.testing.assert_array_equal(out[3], warps[:, lane ^ 9])
    bits = ((warps > 0) * (1 << lane)).sum(axis=1).astype(np.uint32).view(np.int32)
    for found, expected in (
        (4, bits),
        (5, (warps > 90).any(1) + 2 * (warps > -90).all(1)),
        (6, warps.sum(1)),
        (7, warps.min(1)),
        (8, warps.max(1)),
    ):
        np.testing.assert_array_equal(out[found], np.repeat(expected[:, None], 32, axis=1))
    for value, found in zip(values.tolist(), out[9].ravel().tolist(), strict=True):
        text = f"{value & 0xFFFFFFFF:032b}"
        first = 32 - text.rindex("1") if "1" in text else 0
        assert found == text.count("1") * 10000 + (32 if value == 0 else text.index("1")) * 100 + first


def test_atomics():
    values = np.random.default_rng(0).integers(-100, 100, 128).astype(np.int32)
    out = run(ATOMICS, values, 7)
    assert out.tolist() == [values.sum(), values.min(), values.max(), np.bitwise_or.reduce(values), 0, 5, 128]


@pytest.mark.parametrize("reverse", [False, True])
def test_grids_and_blocks_of_three_dimensions(reverse):
    values = np.arange(12, dtype=np.int32) * 100
    out = run(SHAPE, values, 8 * 12, (2, 2, 2), (2, 3, 2), shared=48, reverse=reverse).reshape(8, 12)
    np.testing.assert_array_equal(out, values[::-1] + np.arange(8)[:, None])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"block": (2048,)}, "at most 1024 threads"),
        ({"grid": (1, 70000)}, "grid.y and grid.z"),
        ({"shared": 10**6}, "at most 227 KiB"),
    ],
)
def test_launches_that_a_device_would_refuse(options, message):
    with pytest.raises(RuntimeError, match=message):
        run(ATOMICS, np.zeros(128, dtype=np.int32), 7, **options)


def test_no_atomic_on_floating_point():
    source = 'extern "C" __global__ void probe(const int* values, int* out) { float f = 0; atomicAdd(&f, 1.0f); }'
    with pytest.raises(RuntimeError, match="did not compile"):
        run(source, np.zeros(1, dtype=np.int32), 1)


def test_a_thread_that_leaves_before_a_barrier_is_refused():
    source = (
        'extern "C" __global__ void probe(const int* values, int* out) {'
        " if (threadIdx.x > 3) return; __syncthreads(); }"
    )
    with pytest.raises(RuntimeError, match="never reach the barrier"):
        run(source, np.zeros(1, dtype=np.int32), 1)
