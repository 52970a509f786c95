// Norms of a vector by a block of threads.
#pragma once
#include "common.cuh"

// Activations of prompts are divided by it before they become f16, which ends at 65504.
#define ROOM 16.0f

#define NORM_NONE 0
#define NORM_RMS 1
#define NORM_LAYER 2

struct Norm {
    const float *weight, *bias;
    float eps;
    int kind;
};

INLINE float sum_of_block(float value) {
    __shared__ float sums[33];
    value = warp_sum(value);
    __syncthreads();
    if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = value;
    __syncthreads();
    float sum = threadIdx.x < (blockDim.x + 31) / 32 ? sums[threadIdx.x] : 0.0f;
    if (threadIdx.x < 32) {
        sum = warp_sum(sum);
        if (threadIdx.x == 0) sums[32] = sum;
    }
    __syncthreads();
    return sums[32];
}

struct Scale {
    float mean, factor;
};

// What a norm subtracts from the vector and multiplies it with, before its weight. All threads of the block take part.
INLINE Scale scale_of(const Norm &norm, const float *x, int len) {
    Scale s = {0.0f, 1.0f};
    if (norm.kind == NORM_NONE) return s;
    if (norm.kind == NORM_LAYER) {
        float sum = 0.0f;
        for (int i = threadIdx.x; i < len; i += blockDim.x) sum += x[i];
        s.mean = sum_of_block(sum) / len;
    }
    float squares = 0.0f;
    for (int i = threadIdx.x; i < len; i += blockDim.x) squares += (x[i] - s.mean) * (x[i] - s.mean);
    s.factor = rsqrtf(sum_of_block(squares) / len + norm.eps);
    return s;
}

INLINE float normed(const Norm &norm, Scale s, const float *x, int i) {
    if (norm.kind == NORM_NONE) return x[i];
    return (x[i] - s.mean) * s.factor * norm.weight[i] + (norm.bias ? norm.bias[i] : 0.0f);
}
