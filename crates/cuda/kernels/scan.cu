// The selective scan with a state of STATE numbers for each channel (Gu and Dao, 2023): dt = softplus(dt), h = exp(dt * decay) h + dt x b,
// out = h . c + d x. LANES lanes take one channel of one sequence through all its rows; its state stays in their registers. Rows come in
// CHUNKs: the block brings what they need to shared memory together.
#include "recurrent.cuh"

#define THREADS 128
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
    float x[CHUNK][CHANNELS], dt[CHUNK][CHANNELS];
};

INLINE void bring(Chunk &chunk, const Scan &op, u64 first, int rows, int begin) {
    stage(chunk.b, op.b + first * STATE, STATE, rows);
    stage(chunk.c, op.c + first * STATE, STATE, rows);
    u64 from = first * op.channels + begin;
    stage_part(chunk.x, op.x + from, op.channels, rows, op.channels - begin);
    stage_part(chunk.dt, op.dt + from, op.channels, rows, op.channels - begin);
    commit_copies();
}

extern "C" __global__ void __launch_bounds__(THREADS)
    scan(const __grid_constant__ Scan op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[2];
    let_next_begin();
    Sequence seq = seqs[blockIdx.y];
    int lane = threadIdx.x % LANES, own = threadIdx.x / LANES, begin = blockIdx.x * CHANNELS, channel = begin + own;
    bool there = channel < op.channels;
    u64 at = (u64)channel * STATE;
    float h[PER], decay[PER], d = there ? op.d[channel] : 0.0f;
    load_row(decay, there ? op.decay + at : 0, lane, STATE);
    load_row(h, there ? kept_by(part, seq, at) : 0, lane, STATE);
    // For powers of 2.
#pragma unroll
    for (int i = 0; i < PER; i++) decay[i] *= 1.4426950408889634f;
    wait_for_previous();
    bring(chunks[0], op, seq.first, min(CHUNK, seq.rows), begin);
    for (int done = 0; done < seq.rows; done += CHUNK) {
        int rows = min(CHUNK, seq.rows - done), rest = seq.rows - done - CHUNK, odd = done / CHUNK & 1;
        u64 first = seq.first + done;
        Chunk &chunk = chunks[odd];
        wait_copies<0>();
        __syncthreads();
        if (rest > 0) bring(chunks[odd ^ 1], op, first + CHUNK, min(CHUNK, rest), begin);
        for (int i = threadIdx.x; i < rows * CHANNELS; i += THREADS) {
            float &dt = chunk.dt[i / CHANNELS][i % CHANNELS];
            dt = softplus(dt);
        }
        __syncthreads();
#pragma unroll 4
        for (int r = 0; r < rows; r++) {
            float bs[PER], cs[PER], time = chunk.dt[r][own], value = chunk.x[r][own], sum = 0.0f;
            load_row(bs, chunk.b[r], lane, STRIDE);
            load_row(cs, chunk.c[r], lane, STRIDE);
            float amount = time * value;
#pragma unroll
            for (int i = 0; i < PER; i++) {
                h[i] = fmaf(exp2f(time * decay[i]), h[i], amount * bs[i]);
                sum = fmaf(h[i], cs[i], sum);
            }
            sum = row_sum(sum);
            if (lane == 0 && there) op.out[(first + r) * op.channels + channel] = fmaf(d, value, sum);
        }
    }
    if (there) store_row(h, place_of(part, seq, at), lane);
}
