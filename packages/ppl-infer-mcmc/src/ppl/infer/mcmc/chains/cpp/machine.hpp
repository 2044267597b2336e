// What the transition kernels share: see machine.py and integrator.py.
#pragma once
#include <limits>

#include "metric.hpp"
#include "noise.hpp"

constexpr double MAX_ENERGY_ERROR = 1000.0;

// Room for the vectors of one chain that live for one step only.
template <typename real>
struct Scratch {
  real *left, *right, *total, *drift;
};

// All that a chain sees of the run.
template <typename real>
struct Context {
  const Settings& settings;
  Tuning<real> tuning;
  Noise<real> noise;
  const real* log_uniform;  // NUM_COINS of them
  Scratch<real> scratch;
};

template <typename real>
void copy(const PhasePoint<real>& from, const PhasePoint<real>& to, int64_t dim) {
  copy(from.position, to.position, dim);
  copy(from.gradient, to.gradient, dim);
  *to.potential = *from.potential;
  *to.energy = *from.energy;
}

template <typename real>
void copy(const Point<real>& from, const Point<real>& to, int64_t dim) {
  copy(from.position, to.position, dim);
  copy(from.momentum, to.momentum, dim);
  copy(from.gradient, to.gradient, dim);
}

// The first half of a leapfrog: the potential is wanted at the position that it leaves.
template <typename real>
void kick_and_drift(const Point<real>& edge, real step, const Settings& settings,
                    const Tuning<real>& tuning, real* scratch) {
  add_scaled(real(-0.5) * step, edge.gradient, edge.momentum, settings.dim);
  velocity(tuning.metric, settings, edge.momentum, scratch);
  add_scaled(step, scratch, edge.position, settings.dim);
}

// The second half of a leapfrog; returns the total energy.
template <typename real>
real kick(const Point<real>& edge, real step, real potential, const real* gradient,
          const Context<real>& context) {
  const int64_t dim = context.settings.dim;
  copy(gradient, edge.gradient, dim);
  add_scaled(real(-0.5) * step, gradient, edge.momentum, dim);
  return potential + kinetic_energy(context.tuning.metric, context.settings, edge.momentum,
                                    context.scratch.drift);
}

template <typename real>
real energy_error(real energy, real initial_energy) {
  const real error = energy - initial_energy;
  return std::isfinite(error) ? error : std::numeric_limits<real>::infinity();
}

template <typename real>
void swap(const Point<real>& a, const Point<real>& b, int64_t dim) {
  std::swap_ranges(a.position, a.position + dim, b.position);
  std::swap_ranges(a.momentum, a.momentum + dim, b.momentum);
  std::swap_ranges(a.gradient, a.gradient + dim, b.gradient);
}

// Puts the point where the draw is, with a fresh momentum, and gives the draw its energy there.
template <typename real>
void refresh_momentum(const PhasePoint<real>& draw, const Point<real>& point, const Context<real>& context) {
  const auto& [settings, tuning, noise, log_uniforms, scratch] = context;
  copy(draw.position, point.position, settings.dim);
  copy(draw.gradient, point.gradient, settings.dim);
  noise.draw_normals(scratch.total, settings.dim);
  draw_momentum(tuning.metric, settings, scratch.total, point.momentum);
  *draw.energy = *draw.potential +
                 kinetic_energy(tuning.metric, settings, point.momentum, scratch.drift);
}
