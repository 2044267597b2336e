// A compiled tensor program as a list of calls with all addresses filled in: see replay.py.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace engine {

using Handle = void*;  // of a tensor, as torch's stable C interface gives it out

enum Kind : int64_t { KERNEL, PRODUCT, PRODUCT_AND_SUM, ONEDNN, OPERATOR };

struct Call {
  int64_t kind;
  void* function;      // inductor's kernel, or the product in torch's C interface
  int64_t num_args;
  void** args;         // addresses of buffers for a KERNEL, handles and plain words for others
  double beta, alpha;  // of a PRODUCT_AND_SUM
  const char *name, *overload;  // of an OPERATOR, which torch looks up
  int64_t* is_handle;           // whether an argument of an OPERATOR is a tensor
  int64_t num_results;  // of ONEDNN and an OPERATOR: copied to where the program wants them
  void** results;
  int64_t* result_bytes;
};

// Functions of torch's C interface; they return 0, or what went wrong.
struct Torch {
  int (*new_handle)(Handle, Handle*);
  int (*delete_handle)(Handle);
  int (*data_ptr)(Handle, void**);
  int (*call_operator)(const char*, const char*, uint64_t*);
};

struct Program {
  int64_t num_calls;
  const Call* calls;
  void** inputs;
  void** outputs;
  const Torch* torch;
};

constexpr int MOST_ARGUMENTS = 256, MOST_OPERATOR_ARGUMENTS = 16;
constexpr int STEP = 8;  // kernels get null pointers up to a multiple of it, and do not read them

using KernelCaller = void (*)(void*, void**);

template <size_t>
using Pointer = void*;

template <size_t... I>
void call_kernel(void* function, void** args, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(Pointer<I>...)>(function)(args[I]...);
}

template <size_t N>
void call_kernel_of(void* function, void** args) {
  call_kernel(function, args, std::make_index_sequence<STEP * N>());
}

template <size_t... N>
constexpr std::array<KernelCaller, sizeof...(N)> kernel_callers(std::index_sequence<N...>) {
  return {call_kernel_of<N>...};
}

// By the number of arguments, since a call in C++ has a fixed number. One for each number would take
// the compiler two seconds.
inline constexpr auto KERNEL_CALLERS =
    kernel_callers(std::make_index_sequence<MOST_ARGUMENTS / STEP + 1>());

// Copies a result to where the program wants it, and gives it back.
inline int take(const Call& call, int64_t i, Handle result, const Torch& torch) {
  void* data;
  if (int error = torch.data_ptr(result, &data)) return error;
  std::memcpy(call.results[i], data, call.result_bytes[i]);
  return torch.delete_handle(result);
}

// A product by oneDNN, plus a bias to each row where there is one.
inline int multiply(const Call& call, const Torch& torch) {
  using Linear = int (*)(Handle, Handle, Handle*, const char*, const double**, int64_t, const char**, Handle*);
  void** args = call.args;
  Handle result, *bias = args[2] ? &args[2] : nullptr;
  const auto linear = reinterpret_cast<Linear>(call.function);
  if (int error = linear(args[0], args[1], bias, "none", nullptr, 0, nullptr, &result)) return error;
  return take(call, 0, result, torch);
}

inline int call_operator(const Call& call, const Torch& torch) {
  uint64_t stack[MOST_OPERATOR_ARGUMENTS];
  for (int64_t i = 0; i < call.num_args; ++i) {
    Handle argument = call.args[i];
    if (call.is_handle[i])  // torch takes handles away
      if (int error = torch.new_handle(call.args[i], &argument)) return error;
    stack[i] = reinterpret_cast<uint64_t>(argument);
  }
  if (int error = torch.call_operator(call.name, call.overload, stack)) return error;
  for (int64_t i = 0; i < call.num_results; ++i)
    if (int error = take(call, i, reinterpret_cast<Handle>(stack[i]), torch)) return error;
  return 0;
}

inline int make(const Call& call, const Torch& torch) {
  void** args = call.args;
  switch (call.kind) {
    case KERNEL:
      KERNEL_CALLERS[call.num_args / STEP](call.function, args);
      return 0;
    case PRODUCT:
      return reinterpret_cast<int (*)(Handle, Handle, Handle)>(call.function)(args[0], args[1], args[2]);
    case PRODUCT_AND_SUM:
      return reinterpret_cast<int (*)(Handle, Handle, Handle, Handle, double, double)>(call.function)(
          args[0], args[1], args[2], args[3], call.beta, call.alpha);
    case ONEDNN:
      return multiply(call, torch);
    default:
      return call_operator(call, torch);
  }
}

// Makes all calls; returns 0, or something else if one of them fails.
inline int run(const Program& program) {
  try {
    for (int64_t i = 0; i < program.num_calls; ++i)
      if (int error = make(program.calls[i], *program.torch)) return error;
  } catch (...) {  // of a kernel
    return 1;
  }
  return 0;
}

}  // namespace engine
