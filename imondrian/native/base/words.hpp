// Nominal features: the levels of a category, which have neither order nor distance.
//
// A value is a word, hash bits of its level, held as the bit pattern of a real number. Each useful bit is a binary
// coordinate as long as a share of the feature's unit, so that a cut on it parts the levels at random, and the law of
// boxes carries over: what a box has of a word is the bits that all of its values have (`lower`: their AND) and those
// that any has (`upper`: their OR); where these differ it has a side. Only the bits that no word may set or lack are
// useless: one of the exponent, so that each word is a finite number, and the lowest, so that it is never a zero.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "nativekit/simd.hpp"

namespace imondrian {

template <class T>
using WordBits = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

constexpr int kUselessBits = 2;

template <class T>
struct Word {
  static constexpr int kSize = 8 * sizeof(T);
  static constexpr int kUseful = kSize - kUselessBits;
  static constexpr WordBits<T> kNever = WordBits<T>{1} << (kSize - 2);
  static constexpr WordBits<T> kAlways = 1;
};

template <class T>
NK_INLINE WordBits<T> word_of(T value) {
  WordBits<T> bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
template <class T>
NK_INLINE T real_of(WordBits<T> bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
NK_INLINE bool is_word(T value) {
  return (word_of(value) & (Word<T>::kNever | Word<T>::kAlways)) == Word<T>::kAlways;
}

// Whether a value that is there has the bit of that number.
template <class T>
NK_INLINE bool has_bit(T value, int bit) {
  return (word_of(value) >> (bit & (Word<T>::kSize - 1))) & 1;
}

// The bits that a box has both set and not, none where it has seen no value.
template <class T>
NK_INLINE WordBits<T> bits_between(T lo, T hi) {
  return lo == lo ? word_of(hi) & ~word_of(lo) : WordBits<T>{0};
}
// The bits that tell x from all of a box, none where either has no value.
template <class T>
NK_INLINE WordBits<T> bits_outside(T x, T lo, T hi) {
  const WordBits<T> bits = (word_of(x) & ~word_of(hi)) | (word_of(lo) & ~word_of(x));
  return ((x == x) & (lo == lo)) ? bits : WordBits<T>{0};
}

// The number of the k-th bit that is set, from 0.
template <class Bits>
NK_INLINE int nth_bit(Bits bits, int k) {
  for (; k > 0; --k) bits &= bits - 1;
  return nativekit::lowest_bit(std::uint64_t{bits});
}

// Which features of a row are nominal.
template <class T>
struct Kinds {
  const T* mask = nullptr;              // by feature, and padding: all bits of a nominal one, else none
  const std::int32_t* which = nullptr;  // the nominal ones, rising
  std::int64_t n = 0;                   // 0: the others are null
  const T* bit_rate = nullptr;          // by feature: cuts per bit that differs
  const double* weight = nullptr;       // by feature: how much it counts, against a number

  bool any() const { return n != 0; }
  bool is_nominal(std::int64_t j) const { return n != 0 && word_of(mask[j]) != 0; }
  // Whether a value that is there lies right of a cut.
  NK_INLINE bool is_right(std::int64_t j, T value, T threshold) const {
    const WordBits<T> kind = word_of(mask[j]);  // no branch: where kinds alternate, half of them would be missed
    const int bit = static_cast<int>(real_of<T>(word_of(threshold) & kind));
    return ((word_of(value) >> (bit & (Word<T>::kSize - 1))) & kind & 1) | ((value > threshold) & ~kind & 1);
  }
};

}  // namespace imondrian
