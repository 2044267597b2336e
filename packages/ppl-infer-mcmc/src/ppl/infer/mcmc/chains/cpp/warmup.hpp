// How step size and moments follow the draws of one chain: see adaptation/.
#pragma once
#include "metric.hpp"

template <typename real>
void update(const DualAverage<real>& average, real accept_prob, const Settings& settings,
            real* step_size) {
  constexpr real GAMMA = 0.05, T0 = 10, KAPPA = 0.75;
  const real count = *average.num_updates += 1;
  const real error = real(settings.target_accept_prob) - accept_prob;
  *average.error_mean += (error - *average.error_mean) / (count + T0);
  const real log_step = *average.center - std::sqrt(count) / GAMMA * *average.error_mean;
  *average.log_step = log_step;
  *average.log_step_mean += (log_step - *average.log_step_mean) * std::pow(count, -KAPPA);
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
void adapt(const Adaptation<real>& adaptation, const Outcome<real>& outcome, int64_t iteration,
           const Settings& settings, real* step_size) {
  if (iteration >= settings.num_warmup) return;
  if (iteration < settings.adapts_until)
    update(adaptation.average, outcome.accept_prob, settings, step_size);
  if (settings.window_start <= iteration && iteration < settings.window_end)
    update(adaptation.moments, outcome.draw.position, settings);
}
