// Runs programs for Python: see replay.py and iterate.py.
#include "iterate.hpp"
#include "rounds.hpp"

extern "C" {

int run_program(const engine::Program* program) { return engine::run(*program); }

int64_t iterate_program(const engine::Iteration* iteration, int64_t num_times, bool* failed) {
  return engine::iterate(*iteration, num_times, failed);
}

// Called as a kernel, with null pointers after its arguments.
void run_rounds(const engine::Program* program, const engine::Rounds* loop) {
  engine::run_rounds(*program, *loop);
}
}
