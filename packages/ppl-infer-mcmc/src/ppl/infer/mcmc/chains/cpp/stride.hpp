// One leapfrog of one chain, around the evaluation of the potential: see sampler.py.
#pragma once
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
    adapt(state.adaptation, outcome, *state.iteration, settings, state.tuning);
    ++*state.iteration;
    *state.paused = std::count(settings.pause_iterations, settings.pause_iterations + settings.num_stops, *state.iteration);
  }
  state.machine.go_on(outcome, context);
}
