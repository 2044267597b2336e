// One leapfrog of every chain, around the evaluation of the potential: see sampler.py.
//
// A stride calls `..._begin` once and then, for each leapfrog, evaluates the potential at the edges'
// positions and calls `..._complete`, which also begins the next leapfrog unless it is the last.
// EXPORT(name, Machine, real) makes these functions for a transition.
#pragma once
#include "free.hpp"

template <typename Machine, typename real = typename Machine::real>
void begin_all(const State<Machine>& states, const Settings& settings) {
  std::vector<real> scratch(settings.dim);
  for (int64_t chain = 0; chain < settings.chains; ++chain) {
    const State<Machine> state = states.at(chain, settings);
    if (!*state.paused) begin(state, settings, scratch.data());
  }
}

template <typename Machine, typename real = typename Machine::real>
void complete_all(const State<Machine>& states, const Settings& settings, const real* potential,
                  const real* gradient, const int64_t* seeds, int64_t step,
                  const StepRecords<real>& rows, bool begins_next) {
  const int64_t dim = settings.dim;
  std::vector<real> room(4 * dim);
  real* next = room.data();
  const Scratch<real> scratch{next, next + dim, next + 2 * dim, next + 3 * dim};
  for (int64_t chain = 0; chain < settings.chains; ++chain) {
    const State<Machine> state = states.at(chain, settings);
    const StepRecords<real> records = rows.at(chain, dim);
    *records.finished = false;
    *records.iteration = *state.iteration;
    if (*state.paused) continue;
    const Noise<real> noise{uint64_t(seeds[chain]), uint64_t(step)};
    real log_uniforms[NUM_COINS];
    noise.draw_log_uniforms(log_uniforms);
    const Context<real> context{settings, state.tuning, noise, log_uniforms, scratch};
    complete(state, settings, potential[chain], gradient + chain * dim, context, records);
    if (begins_next && !*state.paused) begin(state, settings, scratch.drift);
  }
}

#define EXPORT(name, Machine, real)                                                      \
  extern "C" void name##_begin(const State<Machine<real>>* states, const Settings* settings) {   \
    begin_all(*states, *settings);                                                              \
  }                                                                                             \
  extern "C" void name##_complete(const State<Machine<real>>* states, const Settings* settings, \
                                  const real* potential, const real* gradient,                  \
                                  const int64_t* seeds, int64_t step, bool begins_next,         \
                                  bool* finished, int64_t* iteration, real* position,           \
                                  real* fields, real* end) {                                    \
    complete_all(*states, *settings, potential, gradient, seeds, step,                          \
                 {finished, iteration, position, fields, end}, begins_next);                    \
  }                                                                                             \
  extern "C" bool name##_advance(const State<Machine<real>>* state, const Settings* settings,   \
                                 const engine::Program* potential, int64_t seed, int64_t stride, \
                                 DrawBuffer<real>* buffer, Cursor* cursor) {                     \
    return advance(*state, *settings, *potential, seed, stride, *buffer, *cursor);              \
  }
