// Products with f32 matrices, in f32. One warp a row of the matrix.
#include "epilogue.cuh"

#define ROWS 4

// Any rows of activations, ROWS at once.
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

// One row of activations and one expert that it goes to, among stacked matrices.
extern "C" __global__ void plain_experts(const float *stack, Output to, const float *x, int cols, Experts experts) {
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, row = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, pair = blockIdx.y;
    int place = place_of_pair(experts, pair);
    if (row >= to.rows || place < 0) return;
    const float *w = stack + ((u64)place * to.rows + row) * cols;
    x += (u64)(pair / experts.per_input) * cols;
    float sum = 0.0f;
    for (int col = lane; col < cols; col += 32) sum = fmaf(w[col], x[col], sum);
    sum = warp_sum(sum);
    if (lane == 0) to.out[(u64)pair * to.rows + row] = sum + (to.bias ? to.bias[(u64)place * to.rows + row] : 0.0f);
}
