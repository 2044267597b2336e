// Arithmetic on the numbers of one chain.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

template <typename real>
void copy(const real* from, real* to, int64_t size) {
  std::copy(from, from + size, to);
}

template <typename real>
void add(const real* a, const real* b, real* result, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) result[i] = a[i] + b[i];
}

template <typename real>
void subtract(const real* a, const real* b, real* result, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) result[i] = a[i] - b[i];
}

template <typename real>
void multiply(const real* a, const real* b, real* result, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) result[i] = a[i] * b[i];
}

template <typename real>
void add_scaled(real scale, const real* x, real* result, int64_t size) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) result[i] += scale * x[i];
}

template <typename real>
real dot(const real* a, const real* b, int64_t size) {
  real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < size; ++i) sum += a[i] * b[i];
  return sum;
}

template <typename real>
real log_add_exp(real a, real b) {
  const real larger = std::max(a, b);
  if (std::isinf(larger)) return larger;
  return larger + std::log1p(std::exp(-std::abs(a - b)));
}
