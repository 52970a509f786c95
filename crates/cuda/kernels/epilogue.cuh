// What becomes of a product: bias, activation, factor, residual. Shared by every kernel that multiplies.
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
