// All rounds of a loop whose round is a program: see loops/native.py.
#pragma once
#include <stdexcept>

#include "program.hpp"

namespace engine {

struct Rounds {
  int64_t num_rounds, is_backward, num_state, num_given, num_shared, num_output;
  void** tensors;        // state at the start, given, shared, state at the end, output
  const int64_t* bytes;  // of each, in one round
};

inline void run_rounds(const Program& program, const Rounds& loop) {
  const int64_t given = loop.num_state, shared = given + loop.num_given;
  const int64_t end = shared + loop.num_shared, output = end + loop.num_state;
  const auto at = [&](int64_t i, int64_t round) {
    return static_cast<char*>(loop.tensors[i]) + round * loop.bytes[i];
  };
  const auto in = [&](int64_t i, int64_t from, int64_t round) {
    std::memcpy(program.inputs[i], at(from, round), loop.bytes[from]);
  };
  for (int64_t i = 0; i < end; ++i)
    if (i < given || i >= shared) in(i, i, 0);
  for (int64_t n = 0; n < loop.num_rounds; ++n) {
    const int64_t round = loop.is_backward ? loop.num_rounds - 1 - n : n;
    for (int64_t i = given; i < shared; ++i) in(i, i, round);
    if (run(program)) throw std::runtime_error("a call of a round failed");
    // an output may be an input: all are copied before an input changes
    for (int64_t i = 0; i < loop.num_output; ++i)
      std::memcpy(at(output + i, round), program.outputs[given + i], loop.bytes[output + i]);
    for (int64_t i = 0; i < given; ++i)
      std::memcpy(at(end + i, 0), program.outputs[i], loop.bytes[end + i]);
    for (int64_t i = 0; i < given; ++i) in(i, end + i, 0);
  }
}

}  // namespace engine
