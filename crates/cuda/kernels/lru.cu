// The linear recurrence of single numbers (De et al., 2024): a = exp(decay * sigmoid(gate + gate_bias)), h = a h + sqrt(1 - a^2) x
// sigmoid(input + input_bias); at position 0 h is the gated x. A thread takes one channel of one sequence through all its rows.
#include "recurrent.cuh"

struct Lru {
    // [rows][channels]
    const float *x, *input, *gate;
    // [channels]
    const float *input_bias, *gate_bias, *decay;
    float *out;
    int channels;
};

extern "C" __global__ void __launch_bounds__(32)
    lru(const __grid_constant__ Lru op, SlotPart part, const Sequence *seqs, const u32 *positions) {
    let_next_begin();
    Sequence seq = seqs[blockIdx.y];
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    bool there = channel < op.channels;
    float input_bias = 0.0f, gate_bias = 0.0f, decay = 0.0f, h = 0.0f;
    if (there) {
        input_bias = op.input_bias[channel], gate_bias = op.gate_bias[channel], decay = op.decay[channel];
        const float *before = kept_by(part, seq, channel);
        if (before) h = *before;
    }
    wait_for_previous();
    if (!there) return;
    const float *__restrict__ x = op.x + channel, *__restrict__ input = op.input + channel, *__restrict__ gate = op.gate + channel;
    float *__restrict__ out = op.out + channel;
#pragma unroll 8
    for (int r = 0; r < seq.rows; r++) {
        int row = seq.first + r;
        u64 at = (u64)row * op.channels;
        float log = decay * exact_sigmoid(gate[at] + gate_bias), fresh = x[at] * exact_sigmoid(input[at] + input_bias);
        bool first = positions[row] == 0;
        float keeps = expf(log), share = sqrtf(-expm1f(2.0f * log));
        h = first ? fresh : fmaf(keeps, h, share * fresh);
        out[at] = h;
    }
    *place_of(part, seq, channel) = h;
}
