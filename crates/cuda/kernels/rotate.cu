// Norms each head of q and k, turns both by the row's position, and writes k and v to the row's place. One warp a head of a row.
#include "rotate.cuh"

extern "C" __global__ void rotate_append(const __grid_constant__ Rotation r, float *q, Step step, Layer layer) {
    extern __shared__ float rows[];
    let_next_begin();
    wait_for_previous();
    Heads heads = r.heads;
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, row = blockIdx.y, dim = heads.dim;
    int head = blockIdx.x * (blockDim.x >> 5) + warp;
    if (head >= heads.q + 2 * heads.kv) return;
    int seq = step.seqs[row];
    u32 position = step.positions[row], place = step.places[row];
    float *x = rows + warp * dim;
    auto turns = [&](int pair) { return turn_of(r.rope, seq, position, pair); };
    if (head < heads.q) {
        float *own = q + ((u64)row * heads.q + head) * dim;
        rotate_head(x, own, r.q_norm, r, lane, turns);
        float factor = growth_at(r.growth, position);
        for (int i = lane; i < dim; i += 32) own[i] = x[i] * factor;
        return;
    }
    u32 page = step.tables[(u64)seq * step.capacity + place / layer.tokens];
    int token = place % layer.tokens;
    head -= heads.q;
    if (head < heads.kv) {
        rotate_head(x, r.k + ((u64)row * heads.kv + head) * dim, r.k_norm, r, lane, turns);
        Kv *to = key_at(layer, page, head, token);
        for (int i = lane; i < dim; i += 32) to[i] = to_kv(x[i]);
    } else {
        head -= heads.kv;
        const float *from = r.v + ((u64)row * heads.kv + head) * dim;
        Kv *to = value_at(layer, page, head, token);
        for (int i = lane; i < dim; i += 32) to[i] = to_kv(from[i]);
    }
}

// For keys of a latent vector and a few turned coordinates behind it: turns the last coordinates of each head of q, norms and turns the
// key, and writes it to the row's place. One warp a head of a row, the key last.
extern "C" __global__ void latent_append(float *q, const float *key, int q_heads, int dim, int turned, Norm norm, Rope rope,
                                         Step step, Layer layer) {
    extern __shared__ float rows[];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, row = blockIdx.y, latent = dim - turned;
    int head = blockIdx.x * (blockDim.x >> 5) + warp;
    if (head > q_heads) return;
    int seq = step.seqs[row];
    u32 position = step.positions[row], place = step.places[row];
    float *x = rows + warp * dim;
    auto turns = [&](int pair) { return turn_of(rope, seq, position, pair); };
    if (head < q_heads) {
        float *own = q + ((u64)row * q_heads + head) * dim + latent;
        for (int i = lane; i < turned; i += 32) x[i] = own[i];
        __syncwarp();
        turn(x, rope, lane, turns);
        for (int i = lane; i < turned; i += 32) own[i] = x[i];
        return;
    }
    for (int i = lane; i < dim; i += 32) x[i] = key[(u64)row * dim + i];
    __syncwarp();
    norm_head(x, norm, latent, lane);
    turn(x + latent, rope, lane, turns);
    u32 page = step.tables[(u64)seq * step.capacity + place / layer.tokens];
    Kv *to = key_at(layer, page, 0, place % layer.tokens);
    for (int i = lane; i < dim; i += 32) to[i] = to_kv(x[i]);
}
