// One leapfrog of every chain, around the evaluation of the potential: see sampler.py.
//
// A stride calls `..._begin` once and then, for each leapfrog, evaluates the potential at the edges'
// positions and calls `..._complete`, which also begins the next leapfrog unless it is the last.
#include <vector>

#include "hmc.hpp"
#include "nuts.hpp"
#include "warmup.hpp"

template <typename Machine, typename real = typename Machine::real>
void begin(const State<Machine>& state, const Settings& settings, real* scratch) {
  const real step = state.machine.time_step(*state.tuning.step_size);
  kick_and_drift(state.machine.edge, step, settings, state.tuning, scratch);
}

template <typename real>
void record(const StepRecords<real>& records, const Outcome<real>& outcome, real step_size, int64_t dim) {
  const real fields[NUM_FIELDS] = {
      outcome.accept_prob, step_size, real(outcome.tree_depth), real(outcome.num_steps),
      *outcome.draw.energy, real(outcome.diverging), *outcome.draw.potential};
  copy(outcome.draw.position, records.position, dim);
  copy(fields, records.fields, NUM_FIELDS);
  copy(outcome.end, records.end, dim);
}

template <typename Machine, typename real = typename Machine::real>
void complete(const State<Machine>& state, const Settings& settings, real potential,
              const real* gradient, const Context<real>& context, const StepRecords<real>& records) {
  const Outcome<real> outcome = state.machine.step(potential, gradient, context);
  *records.finished = outcome.finished;
  if (outcome.finished) {
    record(records, outcome, *state.tuning.step_size, settings.dim);
    adapt(state.adaptation, outcome, *state.iteration, settings, state.tuning.step_size);
    ++*state.iteration;
    *state.paused = std::count(settings.pause_iterations, settings.pause_iterations + settings.num_stops, *state.iteration);
  }
  state.machine.go_on(outcome, context);
}

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
  }

EXPORT(nuts_float, Trajectory, float)
EXPORT(nuts_double, Trajectory, double)
EXPORT(hmc_float, HMCState, float)
EXPORT(hmc_double, HMCState, double)
