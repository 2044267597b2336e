// The binary tree of the No-U-Turn sampler, grown leaf by leaf: see tree.py.
#pragma once
#include "machine.hpp"

template <typename real>
struct Span {
  const real *first, *last, *total;
};

template <typename real>
struct Memory {
  real *first, *before, *last;

  Memory at(int64_t chain, const Settings& settings) const {
    const int64_t levels = settings.max_tree_depth, row = chain * settings.dim;
    return {first + row * levels, before + row * levels, last + row * (levels - 1)};
  }
};

template <typename real>
struct Subtree {
  int64_t* size;
  real *momentum_sum, *log_weight;
  PhasePoint<real> proposal;
  Memory<real> memory;

  Subtree at(int64_t chain, const Settings& settings) const {
    return {size + chain, momentum_sum + chain * settings.dim, log_weight + chain,
            proposal.at(chain, settings.dim), memory.at(chain, settings)};
  }
};

template <typename real>
struct Tree {
  Point<real> far;
  real *near, *momentum_sum, *log_weight;
  PhasePoint<real> proposal;
  int64_t* depth;

  Tree at(int64_t chain, int64_t dim) const {
    return {far.at(chain, dim), near + chain * dim, momentum_sum + chain * dim,
            log_weight + chain, proposal.at(chain, dim), depth + chain};
  }
};

template <typename real>
bool disagrees(const real* a, const real* b, const real* first, const real* last,
               const Context<real>& context) {
  const auto& [settings, tuning, noise, log_uniforms, scratch] = context;
  add(a, b, scratch.total, settings.dim);
  velocity(tuning.metric, settings, scratch.total, scratch.drift);
  return dot(scratch.drift, first, settings.dim) <= 0 ||
         dot(scratch.drift, last, settings.dim) <= 0;
}

template <typename real>
bool is_turning(const Span<real>& left, const Span<real>& right, const Context<real>& context) {
  return disagrees(left.total, right.total, left.first, right.last, context) ||
         disagrees(left.total, right.first, left.first, right.first, context) ||
         disagrees(left.last, right.total, left.last, right.last, context);
}

// Whether a block turns that began at one of the levels `lowest <= level < highest`.
template <typename real>
bool blocks_turn(const Subtree<real>& subtree, int64_t lowest, int64_t highest,
                 const real* momentum, const Context<real>& context) {
  const auto& [first, before, last] = subtree.memory;
  const int64_t dim = context.settings.dim;
  for (int64_t level = highest - 1; level >= lowest; --level) {
    const int64_t block = level * dim, half = block + dim;
    subtract(before + half, before + block, context.scratch.left, dim);
    subtract(subtree.momentum_sum, before + half, context.scratch.right, dim);
    const Span<real> left{first + block, last + block, context.scratch.left};
    const Span<real> right{first + half, momentum, context.scratch.right};
    if (is_turning(left, right, context)) return true;
  }
  return false;
}

// Adds a leaf to the subtree; returns whether a block that it completes turns.
template <typename real>
bool grow(const Subtree<real>& subtree, const PhasePoint<real>& leaf, const real* momentum,
          real log_weight, real log_coin, const Context<real>& context) {
  const int64_t dim = context.settings.dim, n = *subtree.size;
  const Memory<real>& memory = subtree.memory;
  *subtree.log_weight = log_add_exp(*subtree.log_weight, log_weight);
  if (log_coin < log_weight - *subtree.log_weight) copy(leaf, subtree.proposal, dim);
  const int64_t opens = __builtin_popcountll(n), closes = __builtin_popcountll(n + 1) - 1;
  copy(momentum, memory.first + opens * dim, dim);
  copy(subtree.momentum_sum, memory.before + opens * dim, dim);
  add(subtree.momentum_sum, momentum, subtree.momentum_sum, dim);
  const bool turning = blocks_turn(subtree, closes, opens, momentum, context);
  if (closes < context.settings.max_tree_depth - 1) copy(momentum, memory.last + closes * dim, dim);
  *subtree.size = n + 1;
  return turning;
}

// Doubles the tree by its finished subtree; returns whether it turns.
template <typename real>
bool join(const Tree<real>& tree, const Subtree<real>& subtree, const real* momentum, real log_coin,
          const Context<real>& context) {
  const int64_t dim = context.settings.dim;
  const Span<real> left{tree.far.momentum, tree.near, tree.momentum_sum};
  const Span<real> right{subtree.memory.first, momentum, subtree.momentum_sum};
  const bool turning = is_turning(left, right, context);
  if (log_coin < *subtree.log_weight - *tree.log_weight) copy(subtree.proposal, tree.proposal, dim);
  add(tree.momentum_sum, subtree.momentum_sum, tree.momentum_sum, dim);
  *tree.log_weight = log_add_exp(*tree.log_weight, *subtree.log_weight);
  ++*tree.depth;
  return turning;
}
