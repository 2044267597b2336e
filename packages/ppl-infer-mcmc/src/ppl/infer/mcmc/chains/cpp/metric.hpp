// Products with the metric of one chain: see metric.py.
#pragma once
#include "records.hpp"
#include "vectors.hpp"

template <typename real>
void apply(const real* matrix, const Settings& settings, const real* vector, real* result) {
  const int64_t dim = settings.dim;
  if (settings.dense)
    for (int64_t i = 0; i < dim; ++i) result[i] = dot(matrix + i * dim, vector, dim);
  else
    multiply(matrix, vector, result, dim);
}

template <typename real>
void velocity(const Metric<real>& metric, const Settings& settings, const real* momentum,
              real* result) {
  apply(metric.inverse, settings, momentum, result);
}

template <typename real>
void draw_momentum(const Metric<real>& metric, const Settings& settings, const real* normal,
                   real* result) {
  apply(metric.root, settings, normal, result);
}

template <typename real>
real kinetic_energy(const Metric<real>& metric, const Settings& settings, const real* momentum,
                    real* scratch) {
  velocity(metric, settings, momentum, scratch);
  return real(0.5) * dot(momentum, scratch, settings.dim);
}
