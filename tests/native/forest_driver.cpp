// The forest core without Python, for sanitizers: random histories in both precisions and all three
// memories, of ordinary numbers and of all others, several threads, exact-sized heap columns so that a step outside one
// is seen; then callers in several threads that share a forest, behind the gate where one of them learns. Prints one
// line and returns 0 when every audit passes and every thread count gives the same bits.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include "base/rwlock.hpp"
#include "core.hpp"
#include "forest_columns.hpp"
#include "nativekit/isa.hpp"
#include "score/score_window.hpp"

namespace {

using imondrian::Score;
using imondrian::Status;

template <class T>
std::vector<T> random_rows(std::mt19937_64& random, std::int64_t n, std::int64_t d, int kind) {
  std::normal_distribution<double> normal;
  std::vector<T> x(static_cast<std::size_t>(n * d));
  for (T& value : x) {
    const double z = normal(random);
    value = static_cast<T>(kind == 0 ? z : kind == 1 ? std::round(z) : kind == 2 ? 1e6 + z : std::ldexp(z, 60));
    if (kind == 4 && random() % 3 == 0) value = std::numeric_limits<T>::quiet_NaN();
  }
  return x;
}

template <class T>
constexpr bool kIs64 = sizeof(T) == 8;

template <class T>
void audit(Columns<T>& columns, int threads) {
  imondrian::Fault fault;
  require(imondrian::audit(columns.view(), kIs64<T>, &fault, threads) == Status::kOk, "audit ran out of memory");
  if (fault.invariant != 0) {
    std::fprintf(stderr, "tree %lld slot %lld: I%d\n", static_cast<long long>(fault.tree),
                 static_cast<long long>(fault.slot), fault.invariant);
    require(false, "an invariant does not hold");
  }
}

// Scores of a row, of some, of all.
template <class T>
double score_all(Columns<T>& columns, const std::vector<T>& x, int threads) {
  double total = 0.0;
  const auto n = static_cast<std::int64_t>(x.size()) / columns.features;
  for (const Score kind : {Score::kDepth, Score::kInsertion}) {
    for (const std::int64_t rows : {std::int64_t{1}, std::int64_t{63}, std::int64_t{64}, n}) {
      std::vector<double> depth(static_cast<std::size_t>(rows));
      double norm;
      require(
          imondrian::score(columns.view(), kIs64<T>, x.data(), rows, kind, depth.data(), &norm, threads) == Status::kOk,
          "score ran out of memory");
      for (const double value : depth) total += value;
      total += norm;
    }
  }
  return total;
}

template <class T>
double stream(std::int64_t d, int kind, Memory memory, double decay, bool scaled, int threads) {
  constexpr std::int64_t kTrees = 3, kWindow = 40, kRows = 300;
  std::mt19937_64 random(7 + d);
  const bool bounded = memory != Memory::kUnbounded;
  Columns<T> columns(kTrees, bounded ? kWindow + 1 : 4 * kRows, d, bounded ? kWindow * kTrees + 600 : 5 * kRows, memory,
                     decay, scaled);
  double total = 0.0;
  for (int round = 0; round < 3; ++round) {
    std::vector<T> x = random_rows<T>(random, kRows, d, kind);
    for (T& value : x) value *= T(round + 1);  // so that scaled trees are renewed
    std::vector<double> depth(kRows), norm(kRows), weight(kRows, 1.0);
    for (double& w : weight) w = 0.5 * static_cast<double>(1 + random() % 4);
    std::int64_t learnt = 0;
    const bool scored = round > 0;
    require(imondrian::learn(columns.view(), kIs64<T>, x.data(), kRows, bounded ? nullptr : weight.data(), nullptr,
                             round == 1 ? Score::kDepth : Score::kInsertion, scored ? depth.data() : nullptr,
                             scored ? norm.data() : nullptr, &learnt, threads) == Status::kOk,
            "no room to learn");
    require(learnt == kRows, "not every row was learnt");
    audit(columns, threads);
    std::vector<std::int64_t> held(kRows), removed(kRows);
    for (const bool remove : {false, true}) {
      require(imondrian::forget(columns.view(), kIs64<T>, x.data(), kRows - 20, remove,
                                (remove ? removed : held).data(), threads) == Status::kOk,
              "forget failed");
    }
    require(held == removed, "what was held was not what was removed");
    audit(columns, threads);
    for (const std::int64_t count : removed) total += static_cast<double>(count);
    for (std::int64_t i = 0; i < kRows; ++i) total += depth[i] + norm[i];
    total += score_all(columns, random_rows<T>(random, 80, d, kind), threads);
  }
  return total;
}

// Fit in two steps: the trees say which rows they draw, and then get only those.
template <class T>
double from_drawn(const std::vector<T>& x, std::int64_t n, std::int64_t trees, std::int64_t sample, std::int64_t d,
                  bool scaled, const double* weight, int threads) {
  Columns<T> columns(trees, sample, d, trees * sample, Memory::kUnbounded, 0.0, scaled);
  std::vector<std::int64_t> drawn(static_cast<std::size_t>(trees * sample));
  ForestView view = columns.view();
  view.drawn = drawn.data();
  require(imondrian::draw_rows(view, n, weight, sample, threads) == Status::kOk, "draw_rows failed");
  std::vector<std::int64_t> kept = drawn;
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  std::vector<T> sent;
  for (const std::int64_t row : kept) sent.insert(sent.end(), x.begin() + row * d, x.begin() + (row + 1) * d);
  for (std::int64_t& row : drawn) row = std::lower_bound(kept.begin(), kept.end(), row) - kept.begin();
  require(imondrian::fit(view, kIs64<T>, sent.data(), static_cast<std::int64_t>(kept.size()), nullptr, sample, true,
                         true, threads) == Status::kOk,
          "fit of drawn rows failed");
  require(imondrian::fill_boxes(view, kIs64<T>, threads) == Status::kOk, "fill_boxes failed");
  audit(columns, threads);
  return score_all(columns, x, threads);
}

template <class T>
double batch(std::int64_t d, int kind, bool weighted, bool scaled, int threads) {
  constexpr std::int64_t kRows = 200, kTrees = 3;
  std::mt19937_64 random(3 + d);
  const std::vector<T> x = random_rows<T>(random, kRows, d, kind);
  const std::vector<double> weight(kRows, 2.0);
  double total = 0.0;
  for (const std::int64_t sample : {std::int64_t{1}, std::int64_t{64}, kRows}) {
    const bool own_rows = kRows > kTrees * sample;
    Columns<T> columns(kTrees, sample, d, own_rows ? kTrees * sample : kRows, Memory::kUnbounded, 0.0, scaled);
    require(imondrian::fit(columns.view(), kIs64<T>, x.data(), kRows, weighted ? weight.data() : nullptr, sample,
                           own_rows, false, threads) == Status::kOk,
            "fit failed");
    require(imondrian::fill_boxes(columns.view(), kIs64<T>, threads) == Status::kOk, "fill_boxes failed");
    audit(columns, threads);
    const double scored = score_all(columns, x, threads);
    if (own_rows) {
      require(from_drawn<T>(x, kRows, kTrees, sample, d, scaled, weighted ? weight.data() : nullptr, threads) == scored,
              "rows that were drawn first gave another forest");
    }
    total += scored;
  }
  return total;
}

template <class T>
void run() {
  for (const std::int64_t d : {1, 3, 17}) {
    for (int kind = 0; kind < 5; ++kind) {
      for (const bool scaled : {false, true}) {
        if (d != 3 && scaled != (kind % 2 == 0)) continue;  // by turns, but for one width
        require(batch<T>(d, kind, kind % 2 == 1, scaled, 1) == batch<T>(d, kind, kind % 2 == 1, scaled, 4),
                "threads changed a batch result");
        for (const Memory memory : {Memory::kUnbounded, Memory::kSliding, Memory::kReservoir}) {
          for (const double decay : {0.0, 0.02}) {
            if (memory == Memory::kUnbounded && decay > 0.0) continue;
            require(stream<T>(d, kind, memory, decay, scaled, 1) == stream<T>(d, kind, memory, decay, scaled, 4),
                    "threads changed a streamed result");
          }
        }
      }
    }
  }
}

// Numbers from one end of the type to the other, most of them several times; with kind 1, some are missing.
template <class T>
std::vector<T> any_rows(std::mt19937_64& random, std::int64_t n, std::int64_t d, int kind) {
  using Limits = std::numeric_limits<T>;
  const T sentinels[] = {T(0),
                         -T(0),
                         Limits::max(),
                         -Limits::max(),
                         Limits::max() / 2,
                         Limits::denorm_min(),
                         -Limits::denorm_min(),
                         Limits::min(),
                         T(1),
                         T(-1),
                         T(0.1),
                         T(2)};
  std::vector<T> pool(static_cast<std::size_t>(2 * n));
  for (T& value : pool) {
    const int span = Limits::max_exponent - Limits::min_exponent + Limits::digits;
    const int exponent = Limits::max_exponent - 1 - static_cast<int>(random() % static_cast<std::uint64_t>(span));
    value = std::ldexp(T(random() % 2 ? 1 : -1), exponent);
    if (random() % 2) value = sentinels[random() % std::size(sentinels)];
    if (random() % 4 == 0) value = std::nextafter(value, T(0));
  }
  std::vector<T> x(static_cast<std::size_t>(n * d));
  for (T& value : x) {
    value = pool[random() % pool.size()];
    if (kind == 1 && random() % 4 == 0) value = Limits::quiet_NaN();
  }
  for (std::int64_t i = n / 2; i < n; ++i) {  // again
    std::copy_n(x.begin() + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n / 2)) * d, d,
                x.begin() + i * d);
  }
  return x;
}

// Every score and every explanation is a number.
template <class T>
void require_numbers(Columns<T>& columns, const std::vector<T>& x, int threads) {
  const auto n = static_cast<std::int64_t>(x.size()) / columns.features;
  std::vector<double> value(static_cast<std::size_t>(n)), parts(2 * x.size());
  for (const Score kind : {Score::kDepth, Score::kInsertion, Score::kSpacing}) {
    double unit = 0.0;
    require(imondrian::score(columns.view(), kIs64<T>, x.data(), n, kind, value.data(), &unit, threads) == Status::kOk,
            "score ran out of memory");
    for (const double one : value) require(std::isfinite(one), "a score is no number");
    require(imondrian::explain(columns.view(), kIs64<T>, x.data(), std::min<std::int64_t>(n, 20), kind, parts.data(),
                               value.data(), &unit, threads) == Status::kOk,
            "explain ran out of memory");
    for (std::int64_t i = 0; i < std::min<std::int64_t>(n, 20) * 2 * columns.features; ++i) {
      require(std::isfinite(parts[i]), "a contribution is no number");
    }
  }
}

// Whole histories of such numbers: built, learnt and forgotten, under every score.
template <class T>
void any_numbers(std::int64_t d, int kind, bool scaled, unsigned seed) {
  constexpr std::int64_t kTrees = 9, kWindow = 16, kRows = 60;
  std::mt19937_64 random(seed);
  const std::vector<T> x = any_rows<T>(random, kRows, d, kind);
  for (const std::int64_t sample : {std::int64_t{5}, kRows}) {
    const std::int64_t rows = kRows > kTrees * sample ? kTrees * sample : kRows;
    Columns<T> built(kTrees, sample, d, rows, Memory::kUnbounded, 0.0, scaled, true);
    require(imondrian::fit(built.view(), kIs64<T>, x.data(), kRows, nullptr, sample, rows != kRows, false, 2) ==
                Status::kOk,
            "fit failed");
    require(imondrian::fill_boxes(built.view(), kIs64<T>, 1) == Status::kOk, "fill_boxes failed");
    audit(built, 1);
    require_numbers(built, x, 2);
  }
  for (const Memory memory : {Memory::kUnbounded, Memory::kSliding, Memory::kReservoir}) {
    const bool bounded = memory != Memory::kUnbounded;
    Columns<T> columns(kTrees, bounded ? kWindow + 1 : 4 * kRows, d, 6 * kRows + kTrees * kWindow + 600, memory,
                       bounded ? 0.05 : 0.0, scaled, true);
    for (int round = 0; round < 3; ++round) {
      const std::vector<T> rows = any_rows<T>(random, kRows, d, kind);
      std::vector<double> depth(kRows), norm(kRows);
      std::int64_t learnt = 0;
      require(imondrian::learn(columns.view(), kIs64<T>, rows.data(), kRows, nullptr, nullptr,
                               static_cast<Score>(round), depth.data(), norm.data(), &learnt, 2) == Status::kOk &&
                  learnt == kRows,
              "no room to learn");
      for (const double one : depth) require(std::isfinite(one), "a score is no number");
      audit(columns, 1);
      require_numbers(columns, rows, 2);
      std::vector<std::int64_t> held(kRows);
      require(imondrian::forget(columns.view(), kIs64<T>, rows.data(), kRows / 2, true, held.data(), 2) == Status::kOk,
              "forget failed");
      audit(columns, 1);
    }
  }
}

// Callers that only score need no gate, whatever they score.
template <class T>
void concurrent_scorers(std::int64_t d, Memory memory) {
  std::mt19937_64 random(11);
  Columns<T> columns(3, 41, d, 1000, memory, 0.0, false);
  const std::vector<T> x = random_rows<T>(random, 40, d, 0), queries = random_rows<T>(random, 80, d, 4);
  std::int64_t learnt = 0;
  require(imondrian::learn(columns.view(), kIs64<T>, x.data(), 40, nullptr, nullptr, Score::kDepth, nullptr, nullptr,
                           &learnt, 1) == Status::kOk,
          "no room to learn");
  const double expected = score_all(columns, queries, 1);
  std::vector<double> found(4);
  std::vector<std::thread> callers;
  for (double& total : found) callers.emplace_back([&] { total = score_all(columns, queries, 2); });
  for (std::thread& caller : callers) caller.join();
  for (const double total : found) require(total == expected, "callers disturbed each other's scores");
}

// Callers that learn go through the gate alone; a score then is of a forest that nobody is changing.
template <class T>
void learners_among_scorers(std::int64_t d, Memory memory) {
  constexpr std::int64_t kWindow = 40, kRows = 60;
  Columns<T> columns(3, memory == Memory::kUnbounded ? 1000 : kWindow + 1, d, 1000, memory, 0.0, true);
  imondrian::Gate gate;
  const auto learn = [&](unsigned seed) {
    std::mt19937_64 random(seed);
    const std::vector<T> x = random_rows<T>(random, kRows, d, 1);
    for (std::int64_t i = 0; i < kRows; ++i) {
      if (gate.try_write() != imondrian::Entry::kIn) gate.write(nullptr);
      std::int64_t learnt = 0;
      require(imondrian::learn(columns.view(), kIs64<T>, x.data() + i * d, 1, nullptr, nullptr, Score::kDepth, nullptr,
                               nullptr, &learnt, 2) == Status::kOk &&
                  learnt == 1,
              "no room to learn");
      gate.end_write();
    }
  };
  const auto score = [&](unsigned seed) {
    std::mt19937_64 random(seed);
    const std::vector<T> queries = random_rows<T>(random, 64, d, 4);
    for (int i = 0; i < 20; ++i) {
      if (gate.try_read() != imondrian::Entry::kIn) gate.read(nullptr);
      require(std::isfinite(score_all(columns, queries, 1)), "a score is not finite");
      gate.end_read();
    }
  };
  std::vector<std::thread> callers;
  for (const unsigned seed : {1u, 2u}) callers.emplace_back(learn, seed);
  for (const unsigned seed : {3u, 4u}) callers.emplace_back(score, seed);
  for (std::thread& caller : callers) caller.join();
  audit(columns, 1);
  for (std::int64_t t = 0; t < columns.trees; ++t) {
    require(columns.stream[imondrian::kStreamSize * t + imondrian::kSeen] == 2 * kRows, "a point was lost");
  }
}

template <class T>
void share() {
  for (const Memory memory : {Memory::kUnbounded, Memory::kSliding, Memory::kReservoir}) {
    concurrent_scorers<T>(5, memory);
    learners_among_scorers<T>(5, memory);
  }
}

// A call of many rows makes tables of the trees; calls of few walk the trees themselves: every bit is the same.
template <class T>
void many_rows(std::int64_t d, std::int64_t sample, int kind) {
  constexpr std::int64_t kTrees = 7;
  std::mt19937_64 random(static_cast<unsigned>(d + sample + kind));
  const std::vector<T> x = any_rows<T>(random, 2 * sample, d, kind);
  Columns<T> columns(kTrees, sample, d, kTrees * sample, Memory::kUnbounded, 0.0, true, true);
  require(
      imondrian::fit(columns.view(), kIs64<T>, x.data(), 2 * sample, nullptr, sample, true, false, 2) == Status::kOk,
      "fit failed");
  require(imondrian::fill_boxes(columns.view(), kIs64<T>, 1) == Status::kOk, "fill_boxes failed");
  const std::int64_t n = 6 * sample + 203;
  std::vector<T> asked;
  while (static_cast<std::int64_t>(asked.size()) < n * d) {
    const std::vector<T> more = any_rows<T>(random, 2 * sample, d, kind);
    asked.insert(asked.end(), x.begin(), x.end());
    asked.insert(asked.end(), more.begin(), more.end());
  }
  for (const Score score : {Score::kDepth, Score::kSpacing}) {
    std::vector<double> many(static_cast<std::size_t>(n)), few(many.size());
    double norm = 0.0;
    require(imondrian::score(columns.view(), kIs64<T>, asked.data(), n, score, many.data(), &norm, 2) == Status::kOk,
            "score ran out of memory");
    for (std::int64_t i = 0; i < n; i += 7) {
      require(imondrian::score(columns.view(), kIs64<T>, asked.data() + i * d, std::min<std::int64_t>(7, n - i), score,
                               few.data() + i, &norm, 1) == Status::kOk,
              "score ran out of memory");
    }
    require(many == few, "many rows score otherwise than few");
  }
}

template <class T>
void all_many_rows() {
  for (int kind = 0; kind < 2; ++kind) {
    for (const std::int64_t d : {1, 3, 17, 40}) many_rows<T>(d, 50, kind);
    for (const std::int64_t sample : {1, 2, 130, 300}) many_rows<T>(3, sample, kind);
  }
}

void run_all() {
  all_many_rows<float>();
  all_many_rows<double>();
  run<float>();
  run<double>();
  for (unsigned seed = 0; seed < 24; ++seed) {
    const std::int64_t d = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 3 : 9;
    any_numbers<float>(d, seed / 3 % 2, seed / 6 % 2 == 0, seed);
    any_numbers<double>(d, seed / 3 % 2, seed / 6 % 2 == 0, seed);
  }
  share<float>();
  share<double>();
}

}  // namespace

int main() {
  for (int level = 0; level <= static_cast<int>(nativekit::best_level()); ++level) {
    nativekit::limit_level(level);
    run_all();
  }
  std::puts("forest_driver: ok");
  return 0;
}
