// How a call of the core ended: nothing that it throws leaves it.
#pragma once

#include <new>

#include "nativekit/interrupt.hpp"

namespace pointmetrics {

// kInterrupted: the call's watch (nativekit/interrupt.hpp) said stop. Results are half written then.
enum Status : int { kOk = 0, kOutOfMemory = 1, kInterrupted = 2 };

// Run body, which returns a status.
template <class Body>
int guarded(const Body& body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return kOutOfMemory;
  } catch (const nativekit::Interrupted&) {
    return kInterrupted;
  }
}

}  // namespace pointmetrics
