// Nearest neighbours of large clouds. Points are sorted along a Morton curve and cut into tiles of 32, 32
// tiles into a node, 32 nodes into one above; a warp searches for 32 queries that are neighbours on
// their own curve, so that whatever it visits is needed by most of them, and it never diverges.
//
// A box's distance is computed like a point's, and rounding is monotone: it never exceeds the computed
// distance of a point inside, so pruning on it is exact in floating point. Of equally near points the one
// of lowest id wins, whatever the order of visits; a box that can only tie is visited if it has a lower id.

#include "distance.cuh"

#define WARPS 4
#define MIN_BLOCKS (REAL_BITS == 32 && DIM > 0 ? 8 : 4)  // as many as the registers of a search allow
#define AXES (DIM > 0 ? DIM : 8)                         // most axes searched so; beyond, boxes spare nothing
#define CURVE_BITS (DIM == 2 ? 31 : DIM == 3 ? 21 : 7)

// frame: the lower corner of the cloud's box, then the number of cells a unit.
__device__ __forceinline__ u64 curve_key(const real* point, const real* frame, int d) {
  const unsigned most = (1u << CURVE_BITS) - 1;  // no float32 where there are 31 bits: the nearest one is 1 more
  unsigned cell[AXES];
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && a >= d) break;
    const real scaled = (point[a] - frame[a]) * frame[d];
    cell[a] = min(static_cast<unsigned>(min(max(scaled, static_cast<real>(0)), static_cast<real>(most))), most);
  }
  u64 key = 0;
  for (int bit = CURVE_BITS - 1; bit >= 0; --bit) {
#pragma unroll
    for (int a = 0; a < AXES; ++a) {
      if (DIM == 0 && a >= d) break;
      key = key << 1 | (cell[a] >> bit & 1u);
    }
  }
  return key;
}

extern "C" __global__ void __launch_bounds__(256)
    curve_keys(const real* points, i64 n, int d_any, const real* frame, u64* keys) {
  const int d = dimension(d_any);
  const i64 i = static_cast<i64>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) keys[i] = curve_key(points + i * d, frame, d);
}

struct Tree {
  const real* points;  // of tile t, axis a, point k: [(t * d + a) * 32 + k]
  const int* ids;      // ascending within a tile
  const real* boxes;   // of every node the lower, then the upper corner: tiles, nodes, top nodes
  const int* min_ids;  // of every node
  int n_tiles, n_nodes, n_top;
};

struct Search {
  Query query;
  real* tile;                  // of this warp, in shared memory
  real point[AXES];            // this lane's query
  real low[AXES], high[AXES];  // box of the warp's queries
  real best;
  int id;
  real worst;  // largest best of the warp
};

__device__ __forceinline__ real warp_max(real value) {
  for (int by = 16; by > 0; by /= 2) value = max(value, __shfl_xor_sync(FULL_MASK, value, by));
  return value;
}

__device__ __forceinline__ real warp_min(real value) {
  for (int by = 16; by > 0; by /= 2) value = min(value, __shfl_xor_sync(FULL_MASK, value, by));
  return value;
}

__device__ __forceinline__ void store_box(real low, real high, int a, int d, real* box) {
  low = warp_min(low), high = warp_max(high);
  if (lane_id() == 0) box[a] = low, box[d + a] = high;
}

// One warp a tile: 32 points that follow each other along the curve (order; past its end, the last one again), by
// ascending id, with their box. Equally near points of a tile are then met lowest id first.
extern "C" __global__ void __launch_bounds__(256)
    make_tiles(const real* points, i64 n, int d_any, const i64* order, const u64* keys, i64 n_tiles, real* tiles,
               int* ids, real* boxes, int* min_ids, u64* first_keys) {
  const int d = dimension(d_any), lane = lane_id();
  const i64 tile = static_cast<i64>(blockIdx.x) * 8 + warp_id();
  if (tile >= n_tiles) return;
  int id = static_cast<int>(order[min(tile * 32 + lane, n - 1)]);
  if (lane == 0) first_keys[tile] = keys[id];
  for (int size = 2; size <= 32; size *= 2) {  // a bitonic sort over the lanes
    for (int by = size / 2; by > 0; by /= 2) {
      const int other = __shfl_xor_sync(FULL_MASK, id, by);
      id = ((lane & by) == 0) == ((lane & size) == 0) ? min(id, other) : max(id, other);
    }
  }
  ids[tile * 32 + lane] = id;
  if (lane == 0) min_ids[tile] = id;
  for (int a = 0; a < d; ++a) {
    const real value = points[static_cast<i64>(id) * d + a];
    tiles[(tile * d + a) * 32 + lane] = value;
    store_box(value, value, a, d, boxes + tile * 2 * d);
  }
}

// One warp a node: the box and the lowest id of the 32 nodes from first_child + 32 * node on, at first_node + node.
extern "C" __global__ void __launch_bounds__(256)
    make_nodes(i64 first_child, i64 first_node, i64 n_nodes, int d_any, real* boxes, int* min_ids) {
  const int d = dimension(d_any);
  const i64 node = static_cast<i64>(blockIdx.x) * 8 + warp_id();
  if (node >= n_nodes) return;
  const i64 child = first_child + node * 32 + lane_id();
  for (int a = 0; a < d; ++a) {
    store_box(boxes[child * 2 * d + a], boxes[(child * 2 + 1) * d + a], a, d, boxes + (first_node + node) * 2 * d);
  }
  int least = min_ids[child];
  for (int by = 16; by > 0; by /= 2) least = min(least, __shfl_xor_sync(FULL_MASK, least, by));
  if (lane_id() == 0) min_ids[first_node + node] = least;
}

// Squared distance between a box and the box of the warp's queries.
__device__ __forceinline__ real sq_gap(const real* box, const Search& s, int d) {
  real sum = 0;
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && a >= d) break;
    sum = add_square(sum, gap_between(box[a], box[d + a], s.low[a], s.high[a], static_cast<real>(0)));
  }
  return sum;
}

// May anything in the box help any query? The same for all lanes.
__device__ __forceinline__ bool helps(const Tree& tree, int node, const Search& s, int d) {
  const real* box = tree.boxes + static_cast<i64>(node) * 2 * d;
  real sum = 0;
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && a >= d) break;
    sum = add_square(sum, gap_between(box[a], box[d + a], s.point[a], s.point[a], static_cast<real>(0)));
  }
  return __any_sync(FULL_MASK, sum < s.best || (sum == s.best && tree.min_ids[node] < s.id));
}

__device__ __forceinline__ void scan_tile(const Tree& tree, int t, Search& s, int d) {
  __syncwarp();
  for (int a = 0; a < d; ++a) {
    s.tile[a * 32 + lane_id()] = tree.points[(static_cast<i64>(t) * d + a) * 32 + lane_id()];
  }
  __syncwarp();
  real least[1] = {REAL_INFINITY};
  int group[1] = {0};
#pragma unroll
  for (int k = 0; k < 32; k += GROUP) group_minima(s.tile + k, 32, d, &s.query, k, least, group);
  if (!__any_sync(FULL_MASK, least[0] <= s.best)) return;
  int slot = group[0] + GROUP - 1;
  for (int k = GROUP - 1; k >= 0; --k) {
    real sum = 0;
#pragma unroll
    for (int a = 0; a < AXES; ++a) {
      if (DIM == 0 && a >= d) break;
      sum = add_square(sum, s.point[a] - s.tile[a * 32 + group[0] + k]);
    }
    if (sum == least[0]) slot = group[0] + k;
  }
  const int id = tree.ids[static_cast<i64>(t) * 32 + slot];
  if (least[0] < s.best || (least[0] == s.best && id < s.id)) {
    s.best = least[0];
    s.id = id;
  }
  s.worst = warp_max(s.best);
}

// The tiles of a node: first those that reach into the queries' box, whose bound spares most others.
__device__ __forceinline__ void scan_node(const Tree& tree, int node, int done, Search& s, int d) {
  const int mine = node * 32 + lane_id();
  const real gap = sq_gap(tree.boxes + static_cast<i64>(mine) * 2 * d, s, d);
  const unsigned inside = __ballot_sync(FULL_MASK, gap == 0);
  const unsigned near = __ballot_sync(FULL_MASK, gap <= s.worst) & ~inside;
  for (int pass = 0; pass < 2; ++pass) {
    for (unsigned mask = pass == 0 ? inside : near; mask != 0; mask &= mask - 1) {
      const int k = __ffs(static_cast<int>(mask)) - 1;
      const int t = node * 32 + k;
      if (t == done || __shfl_sync(FULL_MASK, gap, k) > s.worst) continue;
      if (helps(tree, t, s, d)) scan_tile(tree, t, s, d);
    }
  }
}

// The tile whose part of the curve a key falls into.
__device__ __forceinline__ int find_tile(const u64* first_keys, int n_tiles, u64 key) {
  int low = 0;
  int high = n_tiles;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first_keys[middle] <= key)
      low = middle;
    else
      high = middle;
  }
  return low;
}

// Begin with the queries of a tile, of which nothing is known yet.
__device__ __forceinline__ void load_tile(const real* queries, i64 q_tile, int d, Search& s) {
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && a >= d) break;
    s.point[a] = queries[(q_tile * d + a) * 32 + lane_id()];
    s.low[a] = warp_min(s.point[a]);
    s.high[a] = warp_max(s.point[a]);
#if DIM > 0
    s.query.at[0][a] = s.point[a];
#else
    s.tile[(d + a) * 32 + lane_id()] = s.point[a];
#endif
  }
#if DIM == 0
  s.query.at = s.tile + d * 32 + lane_id();
#endif
  s.best = REAL_INFINITY;
  s.id = NO_POINT;
  s.worst = REAL_INFINITY;
}

// The tile where the queries lie on the targets' curve.
__device__ __forceinline__ int tile_at(const Tree& tree, const u64* first_keys, const real* frame, const Search& s,
                                       int d) {
  real centre[AXES];
#pragma unroll
  for (int a = 0; a < AXES; ++a) {
    if (DIM == 0 && a >= d) break;
    centre[a] = s.low[a] + (s.high[a] - s.low[a]) / 2;
  }
  return find_tile(first_keys, tree.n_tiles, curve_key(centre, frame, d));
}

// All nodes but one, from the top.
__device__ __forceinline__ void scan_all(const Tree& tree, int done, Search& s, int d) {
  const real* boxes = tree.boxes;
  for (int first = 0; first < tree.n_top; first += 32) {
    const int top = min(first + lane_id(), tree.n_top - 1);
    const real top_gap = sq_gap(boxes + static_cast<i64>(tree.n_tiles + tree.n_nodes + top) * 2 * d, s, d);
    const int here = min(32, tree.n_top - first);
    for (int k = 0; k < here; ++k) {
      if (__shfl_sync(FULL_MASK, top_gap, k) > s.worst) continue;
      const int child = (first + k) * 32 + lane_id();
      const real gap = sq_gap(boxes + static_cast<i64>(tree.n_tiles + child) * 2 * d, s, d);
      for (unsigned mask = __ballot_sync(FULL_MASK, gap <= s.worst); mask != 0; mask &= mask - 1) {
        const int c = __ffs(static_cast<int>(mask)) - 1;
        const int node = (first + k) * 32 + c;
        if (node == done || __shfl_sync(FULL_MASK, gap, c) > s.worst) continue;
        if (helps(tree, tree.n_tiles + node, s, d)) scan_node(tree, node, -1, s, d);
      }
    }
  }
}

// queries: tiles of the other tree, which holds n points; what fills up the last tile repeats the last point.
extern "C" __global__ void __launch_bounds__(32 * WARPS, MIN_BLOCKS)
    nearest_pruned(const real* queries, const int* query_ids, i64 n, const real* points, const int* ids,
                   const real* boxes, const int* min_ids, const u64* first_keys, const real* frame, int n_top,
                   int d_any, real* sq, int* id) {
  DYNAMIC_SHARED(memory);
  const int d = dimension(d_any);
  const Tree tree = {points, ids, boxes, min_ids, n_top * 1024, n_top * 32, n_top};
  const i64 q_tile = static_cast<i64>(blockIdx.x) * WARPS + warp_id();
  if (q_tile * 32 >= n) return;

  Search s;
  s.tile = reinterpret_cast<real*>(memory) + warp_id() * 64 * d;
  load_tile(queries, q_tile, d, s);
  // From where the queries lie on the targets' curve outward, so that the bound is good from the start.
  const int seed = tile_at(tree, first_keys, frame, s, d);
  scan_tile(tree, seed, s, d);
  scan_node(tree, seed / 32, seed, s, d);
  scan_all(tree, seed / 32, s, d);
  // Copies of the last point lie side by side among the ascending ids: one of them answers.
  const int at = query_ids[q_tile * 32 + lane_id()];
  if (lane_id() == 0 || query_ids[q_tile * 32 + lane_id() - 1] != at) {
    sq[at] = found_or_nan(s.best);
    id[at] = found_or_first(s.id);
  }
}
