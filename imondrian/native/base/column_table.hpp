// The table of columns as data, for the binding: Python reads it from here.
#pragma once

#include "base/view.hpp"
#include "columns.hpp"

namespace imondrian {

struct ColumnText {
  const char *name, *type, *of, *when, *kept, *holds, *where;
  int each, empty, since;
};

inline constexpr ColumnText kColumns[] = {
#define IMONDRIAN_TEXT(name, type, of, each, when, kept, holds, empty, where, since) \
  {#name, #type, #of, #when, #kept, #holds, #where, each, empty, since},
    IMONDRIAN_COLUMNS(IMONDRIAN_TEXT)
#undef IMONDRIAN_TEXT
};
inline constexpr int kColumnCount = static_cast<int>(sizeof kColumns / sizeof *kColumns);

// Let the view's column of that number in the table be what lies at `data`.
inline void set_column(ForestView& view, int column, void* data) {
  int at = 0;
#define IMONDRIAN_SET(name, type, of, each, when, kept, holds, empty, where, since) \
  if (at++ == column) view.name = static_cast<Elements<void>::type*>(data);
  IMONDRIAN_COLUMNS(IMONDRIAN_SET)
#undef IMONDRIAN_SET
}

}  // namespace imondrian
