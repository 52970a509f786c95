// The selective scan with a state S [dim, STATE] for each head (Dao and Gu, 2024): dt = clamp(softplus(dt + step)), S = exp(dt * decay) S +
// dt x b^T, out = S c + d x. LANES lanes take ROWS rows of S of one head of one sequence through all the sequence's rows; they stay in
// their registers. Rows come in CHUNKs: the block brings what they need to shared memory together.
#include "recurrent.cuh"

#define THREADS 128
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
    float x[CHUNK][SHARE], dt[CHUNK], keeps[CHUNK];
};

INLINE void bring(Chunk &chunk, const Ssd &op, u64 first, int rows, int head, int begin) {
    int inner = op.heads * op.dim, width = inner + 2 * op.groups * STATE;
    const float *row = op.xbc + first * width, *b = row + inner + head / (op.heads / op.groups) * STATE;
    stage(chunk.b, b, width, rows);
    stage(chunk.c, b + op.groups * STATE, width, rows);
    stage_part(chunk.x, row + head * op.dim + begin, width, rows, op.dim - begin);
    if (threadIdx.x < rows) copy_word(&chunk.dt[threadIdx.x], op.dt + (first + threadIdx.x) * op.heads + head, true);
    commit_copies();
}

extern "C" __global__ void __launch_bounds__(THREADS)
    ssd(const __grid_constant__ Ssd op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[2];
    let_next_begin();
    Sequence seq = seqs[blockIdx.z];
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, head = blockIdx.y, begin = blockIdx.x * SHARE;
    float s[ROWS][PER], d[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int i = begin + r * GROUPS + group;
        u64 row = (u64)head * op.dim + i;
        d[r] = i < op.dim ? op.d[row / op.d_share] : 0.0f;
        load_row(s[r], i < op.dim ? kept_by(part, seq, row * STATE) : 0, lane, STATE);
    }
    float step = op.step[head], decay = op.decay[head];
    wait_for_previous();
    bring(chunks[0], op, seq.first, min(CHUNK, seq.rows), head, begin);
    for (int done = 0; done < seq.rows; done += CHUNK) {
        int rows = min(CHUNK, seq.rows - done), rest = seq.rows - done - CHUNK, odd = done / CHUNK & 1;
        u64 first = seq.first + done;
        Chunk &chunk = chunks[odd];
        wait_copies<0>();
        __syncthreads();
        if (rest > 0) bring(chunks[odd ^ 1], op, first + CHUNK, min(CHUNK, rest), head, begin);
        if (threadIdx.x < rows) {
            float time = softplus(chunk.dt[threadIdx.x] + step);
            // What is not a number stays none.
            time = time < op.least ? op.least : time > op.most ? op.most : time;
            chunk.dt[threadIdx.x] = time;
            chunk.keeps[threadIdx.x] = expf(time * decay);
        }
        __syncthreads();
#pragma unroll 2
        for (int row = 0; row < rows; row++) {
            float bs[PER], cs[PER], kept = chunk.keeps[row], sums[ROWS];
            load_row(bs, chunk.b[row], lane, STRIDE);
            load_row(cs, chunk.c[row], lane, STRIDE);
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
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                int at = r * GROUPS + group, i = begin + at;
                float sum = fmaf(d[r], chunk.x[row][at], row_sum(sums[r]));
                if (lane == 0 && i < op.dim) op.out[((first + row) * op.heads + head) * op.dim + i] = sum;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int i = begin + r * GROUPS + group;
        if (i < op.dim) store_row(s[r], place_of(part, seq, ((u64)head * op.dim + i) * STATE), lane);
    }
}
