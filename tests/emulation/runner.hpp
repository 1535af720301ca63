// main() of a program that runs one kernel: the launch comes in on standard input, the arrays go out on
// standard output. Arrays live in heap blocks of their exact size, so that a sanitizer sees overruns.
//
// Input: kernel name (64 bytes), Shape (8 x u32), number of arguments (u64), and for each argument its
// kind (i64: -1 a scalar, k the k-th array), then 8 bytes of scalar; then the number of arrays (u64), and for
// each its size in bytes (u64) and its bytes.

#include <unistd.h>

namespace {

void read_all(void* to, std::size_t n) {
  for (std::size_t got = 0; got < n;) {
    const ssize_t k = ::read(0, static_cast<char*>(to) + got, n - got);
    if (k <= 0) std::exit(3);
    got += static_cast<std::size_t>(k);
  }
}

template <class T>
T read_one() {
  T value;
  read_all(&value, sizeof(T));
  return value;
}

void write_all(const void* from, std::size_t n) {
  for (std::size_t put = 0; put < n;) {
    const ssize_t k = ::write(1, static_cast<const char*>(from) + put, n - put);
    if (k <= 0) std::exit(3);
    put += static_cast<std::size_t>(k);
  }
}

}  // namespace

int main() {
  using Launch = int (*)(const cuda_host::Shape*, void**, char*, std::size_t);
  const std::pair<const char*, Launch> table[] = {KERNEL_TABLE};
  char name[64];
  read_all(name, sizeof(name));
  const auto shape = read_one<cuda_host::Shape>();
  std::vector<long long> kinds(read_one<std::uint64_t>());
  std::vector<std::uint64_t> scalars(kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    kinds[i] = read_one<long long>();
    scalars[i] = read_one<std::uint64_t>();
  }
  std::vector<std::pair<void*, std::size_t>> arrays(read_one<std::uint64_t>());
  for (auto& array : arrays) {
    array.second = read_one<std::uint64_t>();
    array.first = std::malloc(array.second);
    read_all(array.first, array.second);
  }
  std::vector<void*> pointers(kinds.size()), arguments(kinds.size());
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    pointers[i] = kinds[i] >= 0 ? arrays[static_cast<std::size_t>(kinds[i])].first : nullptr;
    arguments[i] = kinds[i] == -1 ? static_cast<void*>(&scalars[i]) : static_cast<void*>(&pointers[i]);
  }
  char message[4096] = "";
  for (const auto& entry : table) {
    if (std::strcmp(entry.first, name) != 0) continue;
    if (entry.second(&shape, arguments.data(), message, sizeof(message)) != 0) {
      std::fprintf(stderr, "%s\n", message);
      return 2;
    }
  }
  for (const auto& array : arrays) write_all(array.first, array.second);
  for (const auto& array : arrays) std::free(array.first);
  return 0;
}
