// What becomes of a product: bias, factor, residual; and whose product it is. Shared by every kernel that multiplies.
#pragma once
#include "common.cuh"

// One matrix of a launch: its rows begin at `first` among those of all matrices, in blocks of 16.
struct Output {
    const float *bias;
    float *out;
    // The residual, or null.
    const float *add;
    float scale;
    int rows;
};

// out[seq, row] = add + scale * (product + bias).
INLINE void finish(const Output &o, int seq, int row, float product) {
    u64 at = (u64)seq * o.rows + row;
    float value = product + (o.bias ? o.bias[row] : 0.0f);
    o.out[at] = (o.add ? o.add[at] : 0.0f) + o.scale * value;
}

// Who goes to which experts.
struct Experts {
    // [row][ids.., gates..]
    const float *routes;
    // Of each expert its place in the stacks, or -1 where it is in others.
    const int *places;
    // Of each place the factor of its scales, for each of two matrices.
    const float *factors[2];
    // Experts of a row; those that share a row of activations; blocks of rows of one expert's matrix; whether routes were written before
    // the kernel before this one began.
    int per_row, per_input, blocks, early;
};

// Where the expert of a (row, slot) lies in the stacks. Read after the wait: an earlier kernel writes routes.
INLINE int place_of_pair(const Experts &e, int pair) {
    int row = pair / e.per_row, slot = pair % e.per_row;
    return e.places[(int)e.routes[(u64)row * 2 * e.per_row + slot]];
}
