// The gated delta rule with a state S [STATE, v_dim] for each value head (Yang et al., 2024), STATE being the width of a key: with q and k of
// each head divided by their lengths, and q by sqrt(STATE) too: S = exp(decay * softplus(a + step)) S, S = S + k (sigmoid(b) (v - S^T k))^T,
// out = S^T q. It lies transposed, [v_dim][STATE], and LANES lanes take ROWS of its columns of one sequence through all the sequence's
// rows; they stay in their registers. Rows come in CHUNKs: the block brings what they need to shared memory together.
#include "recurrent.cuh"

#define THREADS 128
#define GROUPS (THREADS / LANES)
// Columns of S of a block.
#define SHARE (GROUPS * ROWS)

struct Delta {
    // [rows][key heads * STATE]
    const float *q, *k;
    // [rows][value heads * v_dim]
    const float *v;
    // [rows][value heads]
    const float *b, *a;
    // [value heads]
    const float *step, *decay;
    float *out;
    int k_heads, v_heads, v_dim;
    // Value head h reads key head h % k_heads, not h / (v_heads / k_heads).
    int tiled;
};

// What a chunk brings: copied as it is, then made ready.
struct Chunk {
    alignas(16) float q[CHUNK][STRIDE], k[CHUNK][STRIDE];
    float v[CHUNK][SHARE], keeps[CHUNK], writes[CHUNK], overlap[CHUNK];
};

INLINE void bring(Chunk &chunk, const Delta &op, u64 first, int rows, int head, int begin) {
    int key = op.tiled ? head % op.k_heads : head / (op.v_heads / op.k_heads);
    u64 keys = (u64)op.k_heads * STATE, values = (u64)op.v_heads * op.v_dim;
    stage(chunk.q, op.q + first * keys + key * STATE, keys, rows);
    stage(chunk.k, op.k + first * keys + key * STATE, keys, rows);
    stage_part(chunk.v, op.v + first * values + head * op.v_dim + begin, values, rows, op.v_dim - begin);
    if (threadIdx.x < rows) {
        u64 gate = (first + threadIdx.x) * op.v_heads + head;
        copy_word(&chunk.keeps[threadIdx.x], op.a + gate, true);
        copy_word(&chunk.writes[threadIdx.x], op.b + gate, true);
    }
    commit_copies();
}

// Makes the query and the key of a row as long as they have to be. All lanes of a warp.
INLINE void normalise(Chunk &chunk, int row, int lane) {
    float *q = chunk.q[row], *k = chunk.k[row], qq = 0.0f, kk = 0.0f, qk = 0.0f;
    for (int i = lane; i < STRIDE; i += 32) {
        qq = fmaf(q[i], q[i], qq);
        kk = fmaf(k[i], k[i], kk);
        qk = fmaf(q[i], k[i], qk);
    }
    qq = warp_sum(qq), kk = warp_sum(kk), qk = warp_sum(qk);
    float of_q = 1.0f / (sqrtf(qq + 1e-6f) * sqrtf((float)STATE)), of_k = 1.0f / sqrtf(kk + 1e-6f);
    for (int i = lane; i < STRIDE; i += 32) q[i] *= of_q, k[i] *= of_k;
    if (lane == 0) chunk.overlap[row] = qk * of_q * of_k;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    delta(const __grid_constant__ Delta op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[2];
    let_next_begin();
    Sequence seq = seqs[blockIdx.z];
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, head = blockIdx.y, begin = blockIdx.x * SHARE;
    float s[ROWS][PER];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int j = begin + r * GROUPS + group;
        load_row(s[r], j < op.v_dim ? kept_by(part, seq, ((u64)head * op.v_dim + j) * STATE) : 0, lane, STATE);
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
        for (int row = threadIdx.x / 32; row < rows; row += THREADS / 32) normalise(chunk, row, threadIdx.x % 32);
        if (threadIdx.x < rows) {
            chunk.keeps[threadIdx.x] = expf(decay * softplus(chunk.keeps[threadIdx.x] + step));
            chunk.writes[threadIdx.x] = exact_sigmoid(chunk.writes[threadIdx.x]);
        }
        __syncthreads();
#pragma unroll 1
        for (int row = 0; row < rows; row++) {
            float qs[PER], ks[PER], kept = chunk.keeps[row], known[ROWS] = {}, seen[ROWS] = {};
            load_row(qs, chunk.q[row], lane, STRIDE);
            load_row(ks, chunk.k[row], lane, STRIDE);
            // Both products with the state as it was: that of the new one with the query follows from them.
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
#pragma unroll
                for (int i = 0; i < PER; i++) {
                    known[r] = fmaf(s[r][i], ks[i], known[r]);
                    seen[r] = fmaf(s[r][i], qs[i], seen[r]);
                }
            }
#pragma unroll
            for (int r = 0; r < ROWS; r++) known[r] = row_sum(known[r]), seen[r] = row_sum(seen[r]);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                int at = r * GROUPS + group, j = begin + at;
                float fresh = chunk.writes[row] * (chunk.v[row][at] - kept * known[r]);
#pragma unroll
                for (int i = 0; i < PER; i++) s[r][i] = fmaf(ks[i], fresh, kept * s[r][i]);
                float out = fmaf(fresh, chunk.overlap[row], kept * seen[r]);
                if (lane == 0 && j < op.v_dim) op.out[((first + row) * op.v_heads + head) * op.v_dim + j] = out;
            }
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int j = begin + r * GROUPS + group;
        if (j < op.v_dim) store_row(s[r], place_of(part, seq, ((u64)head * op.v_dim + j) * STATE), lane);
    }
}
