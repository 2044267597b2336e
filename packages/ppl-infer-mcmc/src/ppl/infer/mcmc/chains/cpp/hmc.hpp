// The transition of Hamiltonian Monte Carlo, one leapfrog a step: see hmc_transition.py.
#pragma once
#include "machine.hpp"

template <typename number>
struct HMCState {
  using real = number;
  static constexpr double ROUNDING = 1e-3;
  Point<real> edge;
  real* initial_energy;
  int64_t* num_steps;
  PhasePoint<real> draw;

  HMCState at(int64_t chain, const Settings& settings) const {
    return {edge.at(chain, settings.dim), initial_energy + chain, num_steps + chain,
            draw.at(chain, settings.dim)};
  }

  real time_step(real step_size) const { return step_size; }

  Outcome<real> step(real potential, const real* gradient, const Context<real>& context) const {
    const real step_size = *context.tuning.step_size;
    real energy = kick(edge, step_size, potential, gradient, context);
    const real error = energy_error(energy, *initial_energy);
    ++*num_steps;
    const real next_time = (*num_steps + 1 - real(ROUNDING)) * step_size;
    const bool diverging = error > MAX_ENERGY_ERROR;
    const bool finished = diverging || next_time > real(context.settings.trajectory_length);
    if (finished && !diverging && context.log_uniform[0] < -error)
      copy({edge.position, edge.gradient, &potential, &energy}, draw, context.settings.dim);
    const real accept_prob = std::exp(-std::max(error, real(0)));
    return {finished, diverging, draw, accept_prob, *num_steps, 0, edge.position, false};
  }

  void go_on(const Outcome<real>& outcome, const Context<real>& context) const {
    if (!outcome.finished) return;
    refresh_momentum(draw, edge, context);
    *initial_energy = *draw.energy;
    *num_steps = 0;
  }
};
