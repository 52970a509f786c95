// The product of any rows of activations with an f32 matrix, in f32. One warp a row of the matrix, ROWS rows of activations at once.
#include "epilogue.cuh"

#define ROWS 4

extern "C" __global__ void plain(const float *matrix, Output to, const float *x, int rows, int cols) {
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, first = blockIdx.y * ROWS;
    if (row >= to.rows) return;
    const float *w = matrix + (u64)row * cols;
    float sums[ROWS] = {};
    for (int col = lane; col < cols; col += 32) {
        float weight = w[col];
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (first + r < rows) sums[r] = fmaf(weight, x[(u64)(first + r) * cols + col], sums[r]);
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float sum = warp_sum(sums[r]);
        if (lane == 0 && first + r < rows) finish(to, first + r, row, sum);
    }
}
