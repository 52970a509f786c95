// The linear recurrence of single numbers (De et al., 2024): a = exp(decay * sigmoid(gate + gate_bias)), h = a h + sqrt(1 - a^2) x
// sigmoid(input + input_bias); at position 0 h is the gated x. A block takes 32 channels of one sequence through all its rows, as many
// rows at once as it has warps: each warp makes the gates of one row, then the first goes through the rows.
#include "recurrent.cuh"

struct Lru {
    // [rows][channels]
    const float *x, *input, *gate;
    // [channels]
    const float *input_bias, *gate_bias, *decay;
    float *out;
    int channels;
};

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    lru(const __grid_constant__ Lru op, SlotPart part, const Sequence *seqs, const u32 *positions) {
    // Two chunks, so that the next rows' gates are made while the first warp goes through these.
    __shared__ float keeps[2][WARPS][32], fresh[2][WARPS][32];
    let_next_begin();
    Sequence seq = seqs[blockIdx.y];
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, channel = blockIdx.x * 32 + lane;
    bool there = channel < op.channels;
    float input_bias = 0.0f, gate_bias = 0.0f, decay = 0.0f, h = 0.0f;
    if (there) {
        input_bias = op.input_bias[channel], gate_bias = op.gate_bias[channel], decay = op.decay[channel];
        const float *before = kept_by(part, seq, channel);
        if (before && warp == 0) h = *before;
    }
    wait_for_previous();
    // A row is read while that before it is at work.
    auto read = [&](const float *from, int row) {
        return there && row < seq.rows ? from[(u64)(seq.first + row) * op.channels + channel] : 0.0f;
    };
    float x = read(op.x, warp), input = read(op.input, warp), gate = read(op.gate, warp);
    for (int done = 0; done < seq.rows; done += WARPS) {
        int odd = done / WARPS & 1, rows = min(WARPS, seq.rows - done), next = done + WARPS + warp;
        float log = decay * exact_sigmoid(gate + gate_bias), gated = x * exact_sigmoid(input + input_bias);
        x = read(op.x, next), input = read(op.input, next), gate = read(op.gate, next);
        bool first = warp < rows && positions[seq.first + done + warp] == 0;
        keeps[odd][warp][lane] = first ? 0.0f : expf(log);
        fresh[odd][warp][lane] = first ? gated : sqrtf(-expm1f(2.0f * log)) * gated;
        __syncthreads();
        if (warp != 0 || !there) continue;
        float *out = op.out + (u64)(seq.first + done) * op.channels + channel;
#pragma unroll
        for (int r = 0; r < WARPS; r++) {
            if (r < rows) {
                h = fmaf(keeps[odd][r][lane], h, fresh[odd][r][lane]);
                out[(u64)r * op.channels] = h;
            }
        }
    }
    if (there && warp == 0) *place_of(part, seq, channel) = h;
}
