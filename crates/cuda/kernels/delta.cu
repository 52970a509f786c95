// The gated delta rule with a state S [STATE, v_dim] for each value head (Yang et al., 2024), STATE being the width of a key: with q and k of
// each head divided by their lengths, and q by sqrt(STATE) too: S = exp(decay * softplus(a + step)) S, S = S + k (sigmoid(b) (v - S^T k))^T,
// out = S^T q. It lies transposed, [v_dim][STATE], and LANES lanes take ROWS of its columns of one sequence through all the sequence's
// rows; they stay in their registers.
#include "recurrent.cuh"

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

// What each row of a chunk is, beside its query, key and value.
struct Row {
    // Factors that make the query and the key as long as they have to be.
    float of_q, of_k;
    // How much of the state stays, and how much of what is new comes in.
    float keeps, writes;
    // Products of the key with the query; of an odd row's key and query with the key before. All as long as they have to be.
    float own, keys, across;
};

// What a chunk brings.
struct Chunk {
    alignas(16) float q[CHUNK][STRIDE], k[CHUNK][STRIDE], v[CHUNK][SHARE];
    float a[CHUNK], b[CHUNK];
    Row row[CHUNK];
};

// What a row and the next are. All lanes of a warp.
INLINE void measure(Chunk &chunk, int row, bool two, float step, float decay, int lane) {
    const float *q = chunk.q[row], *k = chunk.k[row], *q2 = q + STRIDE, *k2 = k + STRIDE;
    float qq = 0.0f, kk = 0.0f, qk = 0.0f, qq2 = 0.0f, kk2 = 0.0f, qk2 = 0.0f, keys = 0.0f, across = 0.0f;
#pragma unroll
    for (int i = lane; i < STRIDE; i += 32) {
        float q_i = q[i], k_i = k[i];
        qq = fmaf(q_i, q_i, qq), kk = fmaf(k_i, k_i, kk), qk = fmaf(q_i, k_i, qk);
        if (two) {
            float q2_i = q2[i], k2_i = k2[i];
            qq2 = fmaf(q2_i, q2_i, qq2), kk2 = fmaf(k2_i, k2_i, kk2), qk2 = fmaf(q2_i, k2_i, qk2);
            keys = fmaf(k_i, k2_i, keys), across = fmaf(k_i, q2_i, across);
        }
    }
    float scale = rsqrtf((float)STATE), of_q = rsqrtf(warp_sum(qq) + 1e-6f) * scale, of_k = rsqrtf(warp_sum(kk) + 1e-6f);
    qk = warp_sum(qk) * of_q * of_k;
    float of_q2 = 0.0f, of_k2 = 0.0f;
    if (two) {
        of_q2 = rsqrtf(warp_sum(qq2) + 1e-6f) * scale, of_k2 = rsqrtf(warp_sum(kk2) + 1e-6f);
        qk2 = warp_sum(qk2) * of_q2 * of_k2, keys = warp_sum(keys) * of_k * of_k2, across = warp_sum(across) * of_k * of_q2;
    }
    // One lane a row.
    if (lane < 1 + two) {
        float keeps = expf(decay * softplus(chunk.a[row + lane] + step)), writes = exact_sigmoid(chunk.b[row + lane]);
        chunk.row[row + lane] = lane == 0 ? Row{of_q, of_k, keeps, writes, qk, 0.0f, 0.0f} : Row{of_q2, of_k2, keeps, writes, qk2, keys, across};
    }
}

extern "C" __global__ void __launch_bounds__(THREADS + HELPERS)
    delta(const __grid_constant__ Delta op, SlotPart part, const Sequence *seqs) {
    __shared__ Chunk chunks[BUFFERS];
    let_next_begin();
    Sequence seq = seqs[blockIdx.z];
    int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, head = blockIdx.y, begin = blockIdx.x * SHARE;
    float s[ROWS][PER];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int j = begin + r * GROUPS + group;
        load_row(s[r], threadIdx.x < THREADS && j < op.v_dim ? kept_by(part, seq, ((u64)head * op.v_dim + j) * STATE) : 0, lane);
    }
    // A lane gives the results of one of its columns.
    int own = lane % ROWS * GROUPS + group;
    bool there = begin + own < op.v_dim;
    u64 values = (u64)op.v_heads * op.v_dim;
    float *out = op.out + head * op.v_dim + begin + own;
    float step = op.step[head], decay = op.decay[head];
    wait_for_previous();
    int key = op.tiled ? head % op.k_heads : head / (op.v_heads / op.k_heads);
    auto bring = [&](Chunk &chunk, u64 first, int rows, int bringer) {
        u64 keys = (u64)op.k_heads * STATE;
        stage(chunk.q, op.q + first * keys + key * STATE, keys, rows, STATE, bringer);
        stage(chunk.k, op.k + first * keys + key * STATE, keys, rows, STATE, bringer);
        stage(chunk.v, op.v + first * values + head * op.v_dim + begin, values, rows, op.v_dim - begin, bringer);
        if (bringer < rows) {
            u64 gate = (first + bringer) * op.v_heads + head;
            copy_some<1>(&chunk.a[bringer], op.a + gate, true);
            copy_some<1>(&chunk.b[bringer], op.b + gate, true);
        }
    };
    auto prepare = [&](Chunk &chunk, int rows, int bringer) {
        for (int row = bringer / 32 * 2; row < rows; row += BRINGERS / 16) measure(chunk, row, row + 1 < rows, step, decay, bringer % 32);
    };
    auto work = [&](Chunk &chunk, u64 first, int rows) {
        int row = 0;
        // Two rows at once: all products are with the state before both, so that their sums over lanes are waited for once. What the rows
        // do to each other follows from the products of their keys and queries.
        for (; row + 1 < rows; row += 2) {
            float q1[PER], k1[PER], q2[PER], k2[PER], sums[4 * ROWS];
            Row one = chunk.row[row], two = chunk.row[row + 1];
            load_shared(q1, chunk.q[row], lane);
            load_shared(k1, chunk.k[row], lane);
            load_shared(q2, chunk.q[row + 1], lane);
            load_shared(k2, chunk.k[row + 1], lane);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float known1 = 0.0f, known2 = 0.0f, seen1 = 0.0f, seen2 = 0.0f;
#pragma unroll
                for (int i = 0; i < PER; i++) {
                    known1 = fmaf(s[r][i], k1[i], known1), known2 = fmaf(s[r][i], k2[i], known2);
                    seen1 = fmaf(s[r][i], q1[i], seen1), seen2 = fmaf(s[r][i], q2[i], seen2);
                }
                sums[r] = seen1, sums[ROWS + r] = seen2, sums[2 * ROWS + r] = known1, sums[3 * ROWS + r] = known2;
            }
            float sum = fold<4 * ROWS>(sums, lane);
            float keep = one.keeps * two.keeps, given1 = 0.0f, given2 = 0.0f;
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                int at = r * GROUPS + group;
                float known1 = one.of_k * of_lane(sum, 2 * ROWS + r), known2 = two.of_k * of_lane(sum, 3 * ROWS + r);
                float fresh1 = one.writes * (chunk.v[row][at] - one.keeps * known1);
                float fresh2 = two.writes * (chunk.v[row + 1][at] - two.keeps * fmaf(fresh1, two.keys, one.keeps * known2));
                if (lane % ROWS == r) given1 = fresh1, given2 = fresh2;
                fresh1 *= two.keeps * one.of_k;
                fresh2 *= two.of_k;
#pragma unroll
                for (int i = 0; i < PER; i++) s[r][i] = fmaf(k2[i], fresh2, fmaf(k1[i], fresh1, keep * s[r][i]));
            }
            u64 at = (first + row) * values;
            if (there && lane < ROWS) out[at] = fmaf(given1, one.own, one.keeps * one.of_q * sum);
            if (there && lane >= ROWS && lane < 2 * ROWS)
                out[at + values] = fmaf(given2, two.own, two.keeps * fmaf(given1, two.across, one.keeps * two.of_q * sum));
        }
        if (row < rows) {
            float q[PER], k[PER], sums[2 * ROWS], given = 0.0f;
            Row one = chunk.row[row];
            load_shared(q, chunk.q[row], lane);
            load_shared(k, chunk.k[row], lane);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float known = 0.0f, seen = 0.0f;
#pragma unroll
                for (int i = 0; i < PER; i++) known = fmaf(s[r][i], k[i], known), seen = fmaf(s[r][i], q[i], seen);
                sums[r] = seen, sums[ROWS + r] = known;
            }
            float sum = fold<2 * ROWS>(sums, lane);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float fresh = one.writes * (chunk.v[row][r * GROUPS + group] - one.keeps * one.of_k * of_lane(sum, ROWS + r));
                if (lane % ROWS == r) given = fresh;
                fresh *= one.of_k;
#pragma unroll
                for (int i = 0; i < PER; i++) s[r][i] = fmaf(k[i], fresh, one.keeps * s[r][i]);
            }
            if (there && lane < ROWS) out[(first + row) * values] = fmaf(given, one.own, one.keeps * one.of_q * sum);
        }
    };
    go_through(chunks, seq, bring, prepare, work);
    if (threadIdx.x >= THREADS) return;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int j = begin + r * GROUPS + group;
        if (j < op.v_dim) store_row(s[r], place_of(part, seq, ((u64)head * op.v_dim + j) * STATE), lane);
    }
}
