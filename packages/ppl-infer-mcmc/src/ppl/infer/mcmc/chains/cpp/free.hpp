// A chain that runs free: leapfrogs around a replayed potential, without Python between them: see
// free_chains.py.
#pragma once
#include "program.hpp"
#include "stride.hpp"

// Where the draws of one chain are written, as in step_records.DrawBuffer.
template <typename real>
struct DrawBuffer {
  real *position, *fields;
  int64_t num_draws;  // the slot after them is for what is not kept
  int64_t num_divergences, most_divergences;
  int64_t* diverged_draw;
  real* diverged_at;
};

// Where a chain is between two calls.
struct Cursor {
  int64_t first;         // the number of the first leapfrog of the stride that is under way
  int64_t row;           // leapfrogs of this stride that are done
  int64_t num_strides;   // how many strides to go on
  int64_t is_evaluated;  // whether somebody else has evaluated the potential for the next leapfrog
};

constexpr int64_t DIVERGING = 5;  // in step_records.FIELDS

template <typename real>
void note_divergence(DrawBuffer<real>& buffer, int64_t slot, const real* end, int64_t dim) {
  const int64_t number = buffer.num_divergences++;
  buffer.diverged_draw[number] = slot;
  copy(end, buffer.diverged_at + number * dim, dim);
}

// Advances a chain until it pauses or has made its strides of leapfrogs; returns whether the potential
// failed at the edge's position, which leaves the leapfrog half done.
template <typename Machine, typename real = typename Machine::real>
bool advance(const State<Machine>& state, const Settings& settings, const engine::Program& potential,
             int64_t seed, int64_t stride, DrawBuffer<real>& buffer, Cursor& cursor) {
  const int64_t dim = settings.dim;
  std::vector<real> room(5 * dim);
  real* end = room.data();
  const Scratch<real> scratch{end + dim, end + 2 * dim, end + 3 * dim, end + 4 * dim};
  const auto* gradient = static_cast<const real*>(potential.outputs[0]);
  const auto* value = static_cast<const real*>(potential.outputs[1]);
  for (; cursor.num_strides > 0 && !*state.paused; --cursor.num_strides) {
    for (; cursor.row < stride && !*state.paused; ++cursor.row) {
      if (!cursor.is_evaluated) {
        begin(state, settings, scratch.drift);
        copy(state.machine.edge.position, static_cast<real*>(potential.inputs[0]), dim);
        if (engine::run(potential)) return true;
      }
      cursor.is_evaluated = false;
      const Noise<real> noise{uint64_t(seed), uint64_t(cursor.first + cursor.row)};
      real log_uniforms[NUM_COINS];
      noise.draw_log_uniforms(log_uniforms);
      const Context<real> context{settings, state.tuning, noise, log_uniforms, scratch};
      const int64_t draw = *state.iteration - settings.num_warmup;
      const int64_t slot = draw < 0 ? buffer.num_draws : std::min(draw, buffer.num_draws);
      bool finished;
      int64_t iteration;
      const StepRecords<real> records{&finished, &iteration, buffer.position + slot * dim,
                                      buffer.fields + slot * NUM_FIELDS, end};
      complete(state, settings, *value, gradient, context, records);
      if (finished && slot < buffer.num_draws && records.fields[DIVERGING] != 0)
        note_divergence(buffer, slot, end, dim);
    }
    cursor.row = 0;
    cursor.first += stride;
    // a stride has at most as many divergences as leapfrogs
    if (buffer.num_divergences + stride > buffer.most_divergences) cursor.num_strides = 1;
  }
  return false;
}
