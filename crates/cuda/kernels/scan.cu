// The selective scan with a state of STATE numbers for each channel (Gu and Dao, 2023): dt = softplus(dt), h = exp(dt * decay) h + dt x b,
// out = h . c + d x. LANES lanes take one channel of one sequence through all its rows; its state stays in their registers.
#include "recurrent.cuh"

// Channels of a block.
#define CHANNELS (THREADS / LANES)

struct Scan {
    // [rows][channels]
    const float *x, *dt;
    // [rows][STATE]
    const float *b, *c;
    // [channels][STATE]
    const float *decay;
    // [channels]
    const float *d;
    float *out;
    int channels;
};

// What a chunk brings: copied as it is, then made ready.
struct Chunk {
    alignas(16) float b[CHUNK][STRIDE], c[CHUNK][STRIDE];
    alignas(16) float x[CHUNK][CHANNELS], dt[CHUNK][CHANNELS];
};

extern "C" __global__ void __launch_bounds__(THREADS + HELPERS)
    scan(const __grid_constant__ Scan op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[BUFFERS];
    let_next_begin();
    Sequence seq = seqs[blockIdx.y];
    int lane = threadIdx.x % LANES, own = threadIdx.x / LANES, begin = blockIdx.x * CHANNELS, channel = begin + own;
    bool there = threadIdx.x < THREADS && channel < op.channels;
    u64 at = (u64)channel * STATE;
    float h[PER], decay[PER], d = there ? op.d[channel] : 0.0f;
    load_row(decay, there ? op.decay + at : 0, lane);
    load_row(h, there ? kept_by(part, seq, at) : 0, lane);
    // For powers of 2.
#pragma unroll
    for (int i = 0; i < PER; i++) decay[i] *= 1.4426950408889634f;
    wait_for_previous();
    auto bring = [&](Chunk &chunk, u64 first, int rows, int helper) {
        u64 from = first * op.channels + begin;
        stage(chunk.b, op.b + first * STATE, STATE, rows, STATE, helper);
        stage(chunk.c, op.c + first * STATE, STATE, rows, STATE, helper);
        stage(chunk.x, op.x + from, op.channels, rows, op.channels - begin, helper);
        stage(chunk.dt, op.dt + from, op.channels, rows, op.channels - begin, helper);
    };
    auto prepare = [&](Chunk &chunk, int rows, int helper) {
        for (int i = helper; i < rows * CHANNELS; i += HELPERS) {
            float &dt = chunk.dt[i / CHANNELS][i % CHANNELS];
            dt = softplus(dt);
        }
    };
    auto work = [&](Chunk &chunk, u64 first, int rows) {
#pragma unroll 4
        for (int r = 0; r < rows; r++) {
            float bs[PER], cs[PER], time = chunk.dt[r][own], value = chunk.x[r][own], sum = 0.0f;
            load_shared(bs, chunk.b[r], lane);
            load_shared(cs, chunk.c[r], lane);
            float amount = time * value;
#pragma unroll
            for (int i = 0; i < PER; i++) {
                h[i] = fmaf(exp2f(time * decay[i]), h[i], amount * bs[i]);
                sum = fmaf(h[i], cs[i], sum);
            }
            sum = fold<1>(&sum, lane);
            if (lane == 0 && there) op.out[(first + r) * op.channels + channel] = fmaf(d, value, sum);
        }
    };
    go_through(chunks, seq, bring, prepare, work);
    if (there) store_row(h, place_of(part, seq, at), lane);
}
