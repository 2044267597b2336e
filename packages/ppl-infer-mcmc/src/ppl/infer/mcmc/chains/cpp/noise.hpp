// The randomness of one step of one chain, a function of the chain's seed and the number of the step:
// Philox 4x32-10 (Salmon, Moraes, Dror & Shaw 2011), normals by Box & Muller 1958.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

#include "records.hpp"

using Words = std::array<uint32_t, 4>;

inline Words philox(Words counter, uint64_t key) {
  uint32_t low = uint32_t(key), high = uint32_t(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t(0xD2511F53) * counter[0];
    const uint64_t second = uint64_t(0xCD9E8D57) * counter[2];
    counter = {uint32_t(second >> 32) ^ counter[1] ^ low, uint32_t(second),
               uint32_t(first >> 32) ^ counter[3] ^ high, uint32_t(first)};
    low += 0x9E3779B9;
    high += 0xBB67AE85;
  }
  return counter;
}

template <typename real>
real uniform(uint32_t word) {  // never zero
  return (real(word >> 8) + real(0.5)) * real(0x1p-24);
}

template <typename real>
struct Noise {
  uint64_t seed, step;

  void draw_log_uniforms(real* result) const {
    const Words words = block(0);
    for (int i = 0; i < NUM_COINS; ++i) result[i] = std::log(uniform<real>(words[i]));
  }

  void draw_normals(real* result, int64_t size) const {
    for (int64_t i = 0; i < size; i += 4) {
      const Words words = block(1 + i / 4);
      real normals[4];
      for (int pair = 0; pair < 4; pair += 2) {
        const real radius = std::sqrt(-2 * std::log(uniform<real>(words[pair])));
        const real angle = real(2 * M_PI) * uniform<real>(words[pair + 1]);
        normals[pair] = radius * std::cos(angle);
        normals[pair + 1] = radius * std::sin(angle);
      }
      for (int64_t j = i; j < std::min(i + 4, size); ++j) result[j] = normals[j - i];
    }
  }

 private:
  Words block(uint32_t number) const {
    return philox({uint32_t(step), uint32_t(step >> 32), number, 0}, seed);
  }
};
