// Norms of their own, and what prompts need before a product: a block of threads takes one part of one row.
#include "norm.cuh"

// A gate beside a norm: one logit for each `part` numbers, or none at all.
struct NormGate {
    const float *logits;
    int by, part;
    // Whether x is gated before it is normed. Either way `out` is `x`, and nothing is added.
    int before;
};

// out = add + norm(x), over parts of `len`, of which `weights` that follow each other have weights of their own. `out` may be `x` or `add`.
extern "C" __global__ void add_norm(const float *x, Norm norm, const float *add, float *out, int len, int weights, NormGate gate) {
    let_next_begin();
    wait_for_previous();
    int own = blockIdx.x % weights * len;
    if (norm.weight) norm.weight += own;
    if (norm.bias) norm.bias += own;
    u64 first = (u64)blockIdx.x * len;
    if (gate.logits && gate.before) {
        // A thread reads what it has written.
        for (int i = threadIdx.x; i < len; i += blockDim.x) out[first + i] = x[first + i] * gate_factor(gate.by, gate.logits[(first + i) / gate.part]);
        x = out;
    }
    Scale s = scale_of(norm, x + first, len);
    if (gate.logits && !gate.before) {
        for (int i = threadIdx.x; i < len; i += blockDim.x)
            out[first + i] = normed(norm, s, x + first, i) * gate_factor(gate.by, gate.logits[(first + i) / gate.part]);
        return;
    }
    for (int i = threadIdx.x; i < len; i += blockDim.x)
        out[first + i] = (add ? add[first + i] : 0.0f) + normed(norm, s, x + first, i);
}

// out = norm(x) as f32.
extern "C" __global__ void norm_rows(const float *x, Norm norm, float *out, int len) {
    let_next_begin();
    wait_for_previous();
    u64 first = (u64)blockIdx.x * len;
    Scale s = scale_of(norm, x + first, len);
    for (int i = threadIdx.x; i < len; i += blockDim.x) out[first + i] = normed(norm, s, x + first, i);
}

// out = norm(x) / ROOM as f16, rows padded to `stride` with zeros.
extern "C" __global__ void norm_rows_f16(const float *x, Norm norm, u16 *out, int len, int stride) {
    let_next_begin();
    wait_for_previous();
    x += (u64)blockIdx.x * len;
    out += (u64)blockIdx.x * stride;
    Scale s = scale_of(norm, x, len);
    for (int i = threadIdx.x; i < stride; i += blockDim.x) out[i] = i < len ? (u16)f32_to_f16(normed(norm, s, x, i) * (1.0f / ROOM)) : 0;
}
