// How step size and moments follow the draws of one chain: see adaptation/.
#pragma once
#include "metric.hpp"

template <typename real>
void update(const DualAverage<real>& average, real accept_prob, const Settings& settings,
            real* step_size) {
  const real count = *average.num_updates += 1;
  const real error = real(settings.target_accept_prob) - accept_prob;
  *average.error_mean += (error - *average.error_mean) / (count + real(settings.t0));
  const real log_step = *average.center - std::sqrt(count) / *average.gamma * *average.error_mean;
  *average.log_step = log_step;
  *average.log_step_mean += (log_step - *average.log_step_mean) * std::pow(count, -real(settings.kappa));
  *step_size = std::clamp(std::exp(log_step), real(settings.min_step), real(settings.max_step));
}

template <typename real>
void update(const Moments<real>& moments, const real* position, const Settings& settings) {
  const int64_t dim = settings.dim;
  const real count = *moments.num_draws += 1, weight = (count - 1) / count;
  for (int64_t i = 0; i < dim; ++i) {
    const real before = position[i] - moments.mean[i];
    if (settings.dense)
      for (int64_t j = 0; j < dim; ++j)
        moments.scatter[i * dim + j] += weight * before * (position[j] - moments.mean[j]);
    else
      moments.scatter[i] += weight * before * before;
  }
  for (int64_t i = 0; i < dim; ++i) moments.mean[i] += (position[i] - moments.mean[i]) / count;
}

template <typename real>
void learn(const Window<real>& window, const PhasePoint<real>& draw, const Settings& settings) {
  update(window.draws, draw.position, settings);
  if (settings.learns_gradients) update(window.gradients, draw.gradient, settings);
}

// Moves moments with variances only.
template <typename real>
void move(const Moments<real>& from, const Moments<real>& to, int64_t dim) {
  copy(from.mean, to.mean, dim);
  copy(from.scatter, to.scatter, dim);
  *to.num_draws = *from.num_draws;
  std::fill_n(from.mean, dim, real(0));
  std::fill_n(from.scatter, dim, real(0));
  *from.num_draws = 0;
}

// See gradient_metric.variance.
template <typename real>
void renew(const Metric<real>& metric, const Window<real>& window, const Settings& settings) {
  if (*window.draws.num_draws < settings.few) return;
  for (int64_t i = 0; i < settings.dim; ++i) {
    const real variance = std::sqrt(window.draws.scatter[i] / window.gradients.scatter[i]);
    if (!std::isfinite(variance) || variance <= 0) continue;
    metric.inverse[i] = variance;
    metric.root[i] = 1 / std::sqrt(variance);
  }
}

template <typename real>
void follow(const Adaptation<real>& adaptation, const PhasePoint<real>& draw, int64_t iteration,
            const Settings& settings, const Metric<real>& metric) {
  const auto& [average, window, next_window] = adaptation;
  learn(next_window, draw, settings);
  const int64_t* end = settings.switches + settings.num_switches;
  if (std::find(settings.switches, end, iteration + 1) != end) {
    move(next_window.draws, window.draws, settings.dim);
    move(next_window.gradients, window.gradients, settings.dim);
  }
  renew(metric, window, settings);
}

template <typename real>
void adapt(const Adaptation<real>& adaptation, const Outcome<real>& outcome, int64_t iteration,
           const Settings& settings, const Tuning<real>& tuning) {
  if (iteration >= settings.num_warmup) return;
  if (iteration < settings.adapts_until)
    update(adaptation.average, outcome.accept_prob, settings, tuning.step_size);
  if (iteration < settings.window_start || iteration >= settings.window_end) return;
  learn(adaptation.window, outcome.draw, settings);
  if (settings.follows_draws)
    follow(adaptation, outcome.draw, iteration, settings, tuning.metric);
}
