// The transition of the No-U-Turn sampler, one leapfrog a step: see nuts.py.
#pragma once
#include "tree.hpp"

template <typename real>
struct TrajectoryStats {
  real* accept_sum;
  int64_t* num_steps;
};

template <typename number>
struct Trajectory {
  using real = number;
  Point<real> edge;
  real *direction, *initial_energy, *log_slice;
  Tree<real> tree;
  Subtree<real> subtree;
  TrajectoryStats<real> stats;

  Trajectory at(int64_t chain, const Settings& settings) const {
    return {edge.at(chain, settings.dim),
            direction + chain,
            initial_energy + chain,
            log_slice + chain,
            tree.at(chain, settings.dim),
            subtree.at(chain, settings),
            {stats.accept_sum + chain, stats.num_steps + chain}};
  }

  real time_step(real step_size) const { return *direction * step_size; }

  Outcome<real> step(real potential, const real* gradient, const Context<real>& context) const {
    const Settings& settings = context.settings;
    const real* log_uniforms = context.log_uniform;  // leaf, join, direction, slice
    real energy = kick(edge, time_step(*context.tuning.step_size), potential, gradient, context);
    const real error = energy_error(energy, *initial_energy);
    const bool diverging = error > MAX_ENERGY_ERROR;
    *stats.accept_sum += std::exp(-std::max(error, real(0)));
    ++*stats.num_steps;

    const PhasePoint<real> leaf{edge.position, edge.gradient, &potential, &energy};
    const real log_weight = leaf_weight(error, settings.multinomial);
    const bool turns = grow(subtree, leaf, edge.momentum, log_weight, log_uniforms[0], context);
    bool finished = turns || diverging;
    const bool joins = !finished && *subtree.size >> *tree.depth > 0;
    if (joins) {
      finished = join(tree, subtree, edge.momentum, log_uniforms[1], context);
      finished = finished || *tree.depth >= settings.max_tree_depth;
    }
    const real accept_prob = *stats.accept_sum / *stats.num_steps;
    return {finished,           diverging,   tree.proposal, accept_prob,
            *stats.num_steps, *tree.depth, edge.position, finished || joins};
  }

  void go_on(const Outcome<real>& outcome, const Context<real>& context) const {
    if (!outcome.subtree_ended) return;
    const bool turns_round = context.log_uniform[2] < std::log(real(0.5));
    if (turns_round) *direction = -*direction;
    if (outcome.finished)
      begin_trajectory(context);
    else if (turns_round)
      swap(edge, tree.far, context.settings.dim);
    begin_subtree(context.settings.dim);
  }

 private:
  real leaf_weight(real error, bool multinomial) const {
    if (multinomial) return -error;
    return *log_slice > -error ? -std::numeric_limits<real>::infinity() : real(0);
  }

  void begin_trajectory(const Context<real>& context) const {
    const int64_t dim = context.settings.dim;
    refresh_momentum(tree.proposal, edge, context);
    *initial_energy = *tree.proposal.energy;
    *log_slice = context.log_uniform[3];
    copy(edge, tree.far, dim);
    copy(edge.momentum, tree.momentum_sum, dim);
    *tree.log_weight = 0;
    *tree.depth = 0;
    *stats.accept_sum = 0;
    *stats.num_steps = 0;
  }

  void begin_subtree(int64_t dim) const {
    copy(edge.momentum, tree.near, dim);
    std::fill_n(subtree.momentum_sum, dim, real(0));
    *subtree.size = 0;
    *subtree.log_weight = -std::numeric_limits<real>::infinity();
  }
};
