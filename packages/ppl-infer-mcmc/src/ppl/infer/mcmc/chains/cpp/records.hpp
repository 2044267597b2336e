// The records of a sampler's state, field by field as in the Python modules: an array of pointers to
// their tensors is one of these structs.  Tensors are contiguous with the chains in front;
// `at` returns the record of one chain.
#pragma once
#include <cstdint>

constexpr int64_t NUM_COINS = 4, NUM_FIELDS = 7;  // as in machine.py and step_records.py

// What is fixed during a run; every field has eight bytes.
struct Settings {
  int64_t chains, dim, dense;
  int64_t num_warmup;
  int64_t adapts_until;  // iteration to which a chain adapts its step size after each transition
  double target_accept_prob, t0, kappa, min_step, max_step;
  int64_t window_start, window_end;  // iterations whose draws are collected for the metric
  int64_t learns_gradients;          // whether the gradients there are collected, too
  int64_t follows_draws;  // whether the metric is renewed after each draw, from `few` on
  int64_t few, num_switches;
  const int64_t* switches;  // iterations after which a window ends, and the next one serves
  int64_t max_tree_depth, multinomial;  // of NUTS
  double trajectory_length;             // of HMC
  int64_t num_stops;
  const int64_t* pause_iterations;  // iterations after which a chain waits

  int64_t metric_size() const { return dense ? dim * dim : dim; }
};

template <typename real>
struct Point {
  real *position, *momentum, *gradient;

  Point at(int64_t chain, int64_t dim) const {
    return {position + chain * dim, momentum + chain * dim, gradient + chain * dim};
  }
};

template <typename real>
struct PhasePoint {
  real *position, *gradient, *potential, *energy;

  PhasePoint at(int64_t chain, int64_t dim) const {
    return {position + chain * dim, gradient + chain * dim, potential + chain, energy + chain};
  }
};

template <typename real>
struct Metric {
  real *inverse, *root;
};

template <typename real>
struct Tuning {
  real* step_size;
  Metric<real> metric;

  Tuning at(int64_t chain, const Settings& settings) const {
    const int64_t offset = chain * settings.metric_size();
    return {step_size + chain, {metric.inverse + offset, metric.root + offset}};
  }
};

template <typename real>
struct DualAverage {
  real *log_step, *log_step_mean, *error_mean, *num_updates, *center, *gamma;

  DualAverage at(int64_t c) const {
    return {log_step + c,    log_step_mean + c, error_mean + c,
            num_updates + c, center + c,        gamma + c};
  }
};

template <typename real>
struct Moments {
  real *num_draws, *mean, *scatter;

  Moments at(int64_t chain, const Settings& settings) const {
    return {num_draws + chain, mean + chain * settings.dim,
            scatter + chain * settings.metric_size()};
  }
};

// Moments that are not used are empty: their addresses are not.
template <typename real>
struct Window {
  Moments<real> draws, gradients;

  Window at(int64_t chain, const Settings& settings) const {
    return {draws.at(chain, settings), gradients.at(chain, settings)};
  }
};

template <typename real>
struct Adaptation {
  DualAverage<real> average;
  Window<real> window, next_window;

  Adaptation at(int64_t chain, const Settings& settings) const {
    return {average.at(chain), window.at(chain, settings), next_window.at(chain, settings)};
  }
};

template <typename real>
struct StepRecords {
  bool* finished;
  int64_t* iteration;
  real *position, *fields, *end;

  StepRecords at(int64_t chain, int64_t dim) const {
    return {finished + chain, iteration + chain, position + chain * dim,
            fields + chain * NUM_FIELDS, end + chain * dim};
  }
};

// What a step reports: of the transition, where that is finished.
template <typename real>
struct Outcome {
  bool finished, diverging;
  PhasePoint<real> draw;
  real accept_prob;
  int64_t num_steps, tree_depth;
  const real* end;
  bool subtree_ended;
};

template <typename Machine>
struct State {
  using real = typename Machine::real;
  Machine machine;
  Tuning<real> tuning;
  Adaptation<real> adaptation;
  int64_t* iteration;
  bool* paused;

  State at(int64_t chain, const Settings& settings) const {
    return {machine.at(chain, settings), tuning.at(chain, settings),
            adaptation.at(chain, settings), iteration + chain, paused + chain};
  }
};
