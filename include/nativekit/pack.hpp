// A 32-byte SIMD pack with a fixed number of lanes, so that sums round alike on every processor.
//
// GCC and Clang lower it to whatever the function's target offers; elsewhere plain loops do.
#pragma once

#include <cstring>

#include "simd.hpp"

namespace nativekit {

template <class T>
struct Pack {
  static constexpr int kLanes = 32 / static_cast<int>(sizeof(T));
#if defined(__GNUC__)
  typedef T Lanes __attribute__((vector_size(32)));
  Lanes v;
  static NK_INLINE Pack load(const T* from) {
    Pack p;
    std::memcpy(&p.v, from, sizeof p.v);
    return p;
  }
  NK_INLINE void store(T* to) const { std::memcpy(to, &v, sizeof v); }
  static NK_INLINE Pack zero() { return {Lanes{}}; }
  static NK_INLINE Pack of(T value) { return {Lanes{} + value}; }
  friend NK_INLINE Pack operator+(Pack a, Pack b) { return {a.v + b.v}; }
  friend NK_INLINE Pack operator-(Pack a, Pack b) { return {a.v - b.v}; }
  friend NK_INLINE Pack operator*(Pack a, Pack b) { return {a.v * b.v}; }
  // The larger or smaller; the second where either is NaN.
  friend NK_INLINE Pack larger(Pack a, Pack b) { return {a.v > b.v ? a.v : b.v}; }
  friend NK_INLINE Pack smaller(Pack a, Pack b) { return {a.v < b.v ? a.v : b.v}; }
  // `nan` where a lane is `value`.
  friend NK_INLINE Pack unless_equal(Pack a, T value, T nan) {
    return {a.v == (Lanes{} + value) ? Lanes{} + nan : a.v};
  }
  // `value` where a lane is NaN.
  friend NK_INLINE Pack unless_nan(Pack a, T value) { return {a.v == a.v ? a.v : (Lanes{} + value)}; }
  // The smaller or larger of two where NaN means "none": NaN only where both are.
  friend NK_INLINE Pack least(Pack a, Pack b) { return {a.v != a.v ? b.v : (b.v < a.v ? b.v : a.v)}; }
  friend NK_INLINE Pack most(Pack a, Pack b) { return {a.v != a.v ? b.v : (b.v > a.v ? b.v : a.v)}; }
  // A yes or no for every lane.
  struct Flags {
    typedef long long Words __attribute__((vector_size(32)));
    Words v = {};
    friend NK_INLINE Flags operator|(Flags a, Flags b) { return {a.v | b.v}; }
    NK_INLINE bool any() const { return ((v[0] | v[1]) | (v[2] | v[3])) != 0; }
  };
  // Whether x has a value and [lo, hi] does not contain it.
  static NK_INLINE Flags not_inside(Pack x, Pack lo, Pack hi) {
    return {(typename Flags::Words)((x.v == x.v) & ~((lo.v <= x.v) & (x.v <= hi.v)))};
  }
  // Whether b has a value where a has none.
  static NK_INLINE Flags lacks(Pack a, Pack b) { return {(typename Flags::Words)((a.v != a.v) & (b.v == b.v))}; }
  // Whether a and b differ in any bit.
  static NK_INLINE Flags differ(Pack a, Pack b) { return {(typename Flags::Words)a.v ^ (typename Flags::Words)b.v}; }
#else
  T v[kLanes];
  static NK_INLINE Pack load(const T* from) {
    Pack p;
    std::memcpy(p.v, from, sizeof p.v);
    return p;
  }
  NK_INLINE void store(T* to) const { std::memcpy(to, v, sizeof v); }
  static NK_INLINE Pack zero() { return Pack{}; }
  static NK_INLINE Pack of(T value) {
    Pack p;
    for (T& lane : p.v) lane = value;
    return p;
  }
  template <class F>
  static NK_INLINE Pack map(const Pack& a, const Pack& b, F f) {
    Pack p;
    for (int k = 0; k < kLanes; ++k) p.v[k] = f(a.v[k], b.v[k]);
    return p;
  }
  friend NK_INLINE Pack operator+(Pack a, Pack b) { return map(a, b, [](T x, T y) { return x + y; }); }
  friend NK_INLINE Pack operator-(Pack a, Pack b) { return map(a, b, [](T x, T y) { return x - y; }); }
  friend NK_INLINE Pack operator*(Pack a, Pack b) { return map(a, b, [](T x, T y) { return x * y; }); }
  friend NK_INLINE Pack larger(Pack a, Pack b) { return map(a, b, [](T x, T y) { return x > y ? x : y; }); }
  friend NK_INLINE Pack smaller(Pack a, Pack b) { return map(a, b, [](T x, T y) { return x < y ? x : y; }); }
  friend NK_INLINE Pack unless_equal(Pack a, T value, T nan) {
    return map(a, a, [value, nan](T x, T) { return x == value ? nan : x; });
  }
  friend NK_INLINE Pack unless_nan(Pack a, T value) {
    return map(a, a, [value](T x, T) { return x == x ? x : value; });
  }
  friend NK_INLINE Pack least(Pack a, Pack b) {
    return map(a, b, [](T x, T y) { return y < x || x != x ? y : x; });
  }
  friend NK_INLINE Pack most(Pack a, Pack b) {
    return map(a, b, [](T x, T y) { return y > x || x != x ? y : x; });
  }
  struct Flags {
    bool yes = false;
    friend NK_INLINE Flags operator|(Flags a, Flags b) { return {a.yes || b.yes}; }
    bool any() const { return yes; }
  };
  template <class F>
  static NK_INLINE Flags any_of(F f) {
    bool any = false;
    for (int k = 0; k < kLanes; ++k) any |= f(k);
    return {any};
  }
  static NK_INLINE Flags not_inside(const Pack& x, const Pack& lo, const Pack& hi) {
    return any_of([&](int k) { return (x.v[k] == x.v[k]) & !((lo.v[k] <= x.v[k]) & (x.v[k] <= hi.v[k])); });
  }
  static NK_INLINE Flags lacks(const Pack& a, const Pack& b) {
    return any_of([&](int k) { return (a.v[k] != a.v[k]) & (b.v[k] == b.v[k]); });
  }
  static NK_INLINE Flags differ(const Pack& a, const Pack& b) {
    return {std::memcmp(a.v, b.v, sizeof a.v) != 0};
  }
#endif
  // Halves are added until one lane is left: the same order everywhere.
  NK_INLINE T sum() const {
    T lane[kLanes];
    store(lane);
    for (int half = kLanes / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lane[k] += lane[k + half];
    }
    return lane[0];
  }
};

}  // namespace nativekit
