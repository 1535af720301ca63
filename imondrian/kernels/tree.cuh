// The forest's columns as kernels get them: those that native/columns.hpp gives to devices, in its order.
#include "columns.hpp"
#include "common.cuh"

typedef int i32;
typedef double f64;

#define ON_device(...) __VA_ARGS__
#define ON_host(...)

// What a kernel file's parameters begin with. A column that the forest lacks is a stand-in, which is not read.
#define COLUMN_PARAMETER(name, type, of, each, when, kept, holds, empty, where, since) ON_##where(const type* name, )
#define COLUMNS IMONDRIAN_COLUMNS(COLUMN_PARAMETER) int n_trees, i64 capacity, i64 width, int d

// One tree's slices of the columns. The padding of rows up to `width` is not read.
struct Tree {
#define COLUMN_MEMBER(name, type, of, each, when, kept, holds, empty, where, since) ON_##where(const type* name;)
  IMONDRIAN_COLUMNS(COLUMN_MEMBER)
#undef COLUMN_MEMBER
  i64 width;
  int d;

  __device__ __forceinline__ bool empty() const { return header[kLeaves] == 0; }
  __device__ __forceinline__ i32 root() const { return header[kRoot]; }
  __device__ __forceinline__ double mass_of(int v) const { return v < 0 ? leaf_mass[~v] : mass[v]; }
};

// Where tree t begins, by what the column holds a place for; trees share the others whole.
#define FIRST_node (t * capacity)
#define FIRST_leaf (t * capacity)
#define FIRST_tree t
#define FIRST_row 0
#define FIRST_group 0
#define FIRST_forest 0
#define COLUMN_SLICE(name, type, of, each, when, kept, holds, empty, where, since) \
  ON_##where(name + FIRST_##of * ((each) == kWidth ? width : static_cast<i64>(each)), )
#define TREE_T \
  Tree { IMONDRIAN_COLUMNS(COLUMN_SLICE) width, d }
