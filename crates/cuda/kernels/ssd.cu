// The selective scan with a state S [dim, STATE] for each head (Dao and Gu, 2024): dt = clamp(softplus(dt + step)), S = exp(dt * decay) S +
// dt x b^T, out = S c + d x. LANES lanes take ROWS rows of S of one head of one sequence through all the sequence's rows; they stay in
// their registers.
#include "recurrent.cuh"

#define GROUPS (THREADS / LANES)
// Rows of S of a block.
#define SHARE (GROUPS * ROWS)

struct Ssd {
    // [rows][heads * dim + 2 * groups * STATE]: x, b, c.
    const float *xbc;
    // [rows][heads]
    const float *dt;
    // [heads]
    const float *step, *decay;
    // One for each `d_share` channels.
    const float *d;
    float *out;
    int heads, dim, groups, d_share;
    float least, most;
};

// What a chunk brings: copied as it is, then made ready.
struct Chunk {
    alignas(16) float b[CHUNK][STRIDE], c[CHUNK][STRIDE];
    alignas(16) float x[CHUNK][SHARE], dt[CHUNK], keeps[CHUNK];
};

extern "C" __global__ void __launch_bounds__(THREADS + HELPERS)
    ssd(const __grid_constant__ Ssd op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[BUFFERS];
    let_next_begin();
    Sequence seq = seqs[blockIdx.z];
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, head = blockIdx.y, begin = blockIdx.x * SHARE;
    // A lane gives the sum of one of its rows.
    int own = lane % ROWS * GROUPS + group;
    bool gives = threadIdx.x < THREADS && lane < ROWS && begin + own < op.dim;
    float s[ROWS][PER], d = gives ? op.d[((u64)head * op.dim + begin + own) / op.d_share] : 0.0f;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int i = begin + r * GROUPS + group;
        u64 row = (u64)head * op.dim + i;
        load_row(s[r], threadIdx.x < THREADS && i < op.dim ? kept_by(part, seq, row * STATE) : 0, lane);
    }
    float step = op.step[head], decay = op.decay[head];
    wait_for_previous();
    int inner = op.heads * op.dim, width = inner + 2 * op.groups * STATE, of_b = inner + head / (op.heads / op.groups) * STATE;
    auto bring = [&](Chunk &chunk, u64 first, int rows, int helper) {
        const float *row = op.xbc + first * width;
        stage(chunk.b, row + of_b, width, rows, STATE, helper);
        stage(chunk.c, row + of_b + op.groups * STATE, width, rows, STATE, helper);
        stage(chunk.x, row + head * op.dim + begin, width, rows, op.dim - begin, helper);
        if (helper < rows) copy_some<1>(&chunk.dt[helper], op.dt + (first + helper) * op.heads + head, true);
    };
    auto prepare = [&](Chunk &chunk, int rows, int helper) {
        if (helper >= rows) return;
        float time = softplus(chunk.dt[helper] + step);
        // What is not a number stays none.
        time = time < op.least ? op.least : time > op.most ? op.most : time;
        chunk.dt[helper] = time;
        chunk.keeps[helper] = expf(time * decay);
    };
    auto work = [&](Chunk &chunk, u64 first, int rows) {
#pragma unroll 2
        for (int row = 0; row < rows; row++) {
            float bs[PER], cs[PER], kept = chunk.keeps[row], sums[ROWS];
            load_shared(bs, chunk.b[row], lane);
            load_shared(cs, chunk.c[row], lane);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float amount = chunk.dt[row] * chunk.x[row][r * GROUPS + group];
                sums[r] = 0.0f;
#pragma unroll
                for (int i = 0; i < PER; i++) {
                    s[r][i] = fmaf(kept, s[r][i], amount * bs[i]);
                    sums[r] = fmaf(s[r][i], cs[i], sums[r]);
                }
            }
            float sum = fold<ROWS>(sums, lane);
            if (gives) op.out[((first + row) * op.heads + head) * op.dim + begin + own] = fmaf(d, chunk.x[row][own], sum);
        }
    };
    go_through(chunks, seq, bring, prepare, work);
    if (threadIdx.x >= THREADS) return;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int i = begin + r * GROUPS + group;
        if (i < op.dim) store_row(s[r], place_of(part, seq, ((u64)head * op.dim + i) * STATE), lane);
    }
}
