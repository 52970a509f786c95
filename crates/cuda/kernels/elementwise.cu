// Ops on single numbers.
#include "common.cuh"

// x = cap * tanh(x / cap).
extern "C" __global__ void soft_cap(float *x, float cap, u64 count) {
    let_next_begin();
    wait_for_previous();
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
        x[i] = cap * tanhf(x[i] / cap);
}

// out = act(out) * up, or act(out) where there is no `up`.
extern "C" __global__ void gate(float *out, const float *up, Act act, u64 count) {
    let_next_begin();
    wait_for_previous();
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
        out[i] = up ? gated(act, out[i], up[i]) : activate(act, out[i]);
}

// x[r] = x[r] * by[r, first..first + width], rows of `by` being `stride` long.
extern "C" __global__ void times(float *x, const float *by, int width, int stride, int first, u64 count) {
    let_next_begin();
    wait_for_previous();
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
        x[i] *= by[i / width * stride + first + i % width];
}

// x = f(gate) * x, a gate for each `part` numbers.
extern "C" __global__ void gate_parts(float *x, const float *gate, int by, int part, u64 count) {
    let_next_begin();
    wait_for_previous();
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
        x[i] *= gate_factor(by, gate[i / part]);
}

// out[i] = x[wanted[i]].
extern "C" __global__ void gather(const float *x, const u32 *wanted, float *out, int width) {
    let_next_begin();
    wait_for_previous();
    const float *from = x + (u64)wanted[blockIdx.x] * width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) out[(u64)blockIdx.x * width + i] = from[i];
}
