// A matrix of any tiled storage as rows of f16, for products of prompts. Columns are padded to whole tiles with zeros, rows are
// not padded. One warp a tile; each lane writes the columns of its codes, four at a time.
#include "weights.cuh"

extern "C" __global__ void expand(Tiles m, u16 *out, int first_block, int blocks) {
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, per_row = tiles_per_row(m);
    u64 index = ((u64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int block = first_block + (int)(index / per_row), tile = (int)(index % per_row);
    if (index >= (u64)blocks * per_row) return;
    Codes c = load_codes(m.codes + ((u64)block * per_row + tile) * TILE_BYTES, lane);
    int g = lane >> 2, t = lane & 3;
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int high = 0; high < 2; high++) {
            int row = block * 16 + high * 8 + g, col = tile * 64 + 16 * j + 4 * t;
            if (row >= m.rows) continue;
            float v[4];
#if DENSE
            u32 first = high ? c.words[j].y : c.words[j].x, second = high ? c.words[j].w : c.words[j].z;
            v[0] = dense_value(first), v[1] = dense_value(first >> 16);
            v[2] = dense_value(second), v[3] = dense_value(second >> 16);
#else
            Affine a = decode_scale(load_scale(m.scales, block, col / GROUP, high * 8 + g), m.scales.factor);
#pragma unroll
            for (int s = 0; s < 4; s++) v[s] = col + s < m.cols ? a.scale * code_value(get_code(c.words, j, s, high)) + a.bias : 0.0f;
#endif
            uint2 four = make_uint2(pack_f16(v[0], v[1]), pack_f16(v[2], v[3]));
            *(uint2 *)(out + (u64)(row - first_block * 16) * per_row * 64 + col) = four;
        }
    }
}
