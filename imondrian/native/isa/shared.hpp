// Everything that a level of the core (level.hpp) uses from elsewhere: it must come before the level begins, see
// nativekit/isa.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <numeric>
#include <optional>
#include <queue>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/rng.hpp"
#include "base/sample.hpp"
#include "base/view.hpp"
#include "base/wide.hpp"
#include "base/words.hpp"
#include "core.hpp"
#include "nativekit/atomic.hpp"
#include "nativekit/interrupt.hpp"
#include "nativekit/isa.hpp"
#include "nativekit/parallel.hpp"
#include "score/score_window.hpp"
#include "shared/clean.hpp"
