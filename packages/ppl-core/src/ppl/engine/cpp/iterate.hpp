// A program that is run again and again, whose results become inputs of the next time: see iterate.py.
#pragma once
#include <cstring>

#include "program.hpp"

namespace engine {

// A row of a table is copied to an input or from an output, or an output to an input.
struct Copy {
  char* from;
  char* to;
  int64_t bytes;
  int64_t row;  // bytes from one row of a table to the next
};

struct Iteration {
  const Program* program;
  const bool* goes_on;  // an output: whether the states change
  int64_t num_given, num_noted, num_states;
  const Copy *given, *noted, *states;
};

// Returns how many times the states have changed, and whether the last time failed. One that does not
// go on is noted, too.
inline int64_t iterate(const Iteration& it, int64_t num_times, bool* failed) {
  *failed = false;
  for (int64_t time = 0; time < num_times; ++time) {
    for (int64_t i = 0; i < it.num_given; ++i)
      std::memcpy(it.given[i].to, it.given[i].from + time * it.given[i].row, it.given[i].bytes);
    if ((*failed = run(*it.program) != 0)) return time;
    for (int64_t i = 0; i < it.num_noted; ++i)
      std::memcpy(it.noted[i].to + time * it.noted[i].row, it.noted[i].from, it.noted[i].bytes);
    if (!*it.goes_on) return time;
    for (int64_t i = 0; i < it.num_states; ++i)
      std::memcpy(it.states[i].to, it.states[i].from, it.states[i].bytes);
  }
  return num_times;
}

}  // namespace engine
