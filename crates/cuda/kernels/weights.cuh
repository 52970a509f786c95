// A matrix of any tiled storage, behind one interface: whole weights for those that need few of them, and `Tiles` for products.
#pragma once

#if PLAIN
#include "storage/plain.cuh"
#elif DENSE
#include "storage/dense.cuh"
#else
#include "storage/codes.cuh"
#include "storage/scales.cuh"
#endif

struct Tiles {
    const u8 *codes;
#if PLAIN || DENSE
    const void *unused[2];
    int zero;
    float one;
#else
    Scales scales;
#endif
    int rows, cols;
};

INLINE int tiles_per_row(const Tiles &m) { return (m.cols + 63) >> 6; }

// One weight as f32.
INLINE float weight_at(const Tiles &m, int row, int col) {
#if PLAIN
    return plain_value(m.codes, m.cols, row, col);
#else
    u64 tile = (u64)(row >> 4) * tiles_per_row(m) + (col >> 6);
#if DENSE
    return dense_value(((const u16 *)m.codes)[tile * 1024 + place_of(row & 15, col & 63)]);
#else
    Place p = place_in_tile(row & 15, col & 63);
    Codes c = load_codes(m.codes + tile * TILE_BYTES, p.lane);
    Affine a = decode_scale(load_scale(m.scales, row >> 4, col / GROUP, row & 15), m.scales.factor);
    return a.scale * code_value(get_code(c.words, p.j, p.s, p.high)) + a.bias;
#endif
#endif
}

// The weights of a tile that are a lane's: rows g and g + 8 of the block where the lane is 4 g + t, columns 16 j + 4 t + s of the
// tile as j * 4 + s. What is past the end of the matrix may be any finite number.
struct LaneValues {
    float of[2][16];
};

INLINE LaneValues lane_values(const Tiles &m, int block, int tile, int lane) {
    LaneValues v;
    int g = lane >> 2;
#if !PLAIN
    Codes c = load_codes(m.codes + ((u64)block * tiles_per_row(m) + tile) * TILE_BYTES, lane);
#endif
#pragma unroll
    for (int high = 0; high < 2; high++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float *to = v.of[high] + j * 4;
#if PLAIN
            int row = block * 16 + high * 8 + g, col = tile * 64 + 16 * j + 4 * (lane & 3);
#pragma unroll
            for (int s = 0; s < 4; s++)
                to[s] = row < m.rows && col + s < m.cols ? plain_value(m.codes, m.cols, row, col + s) : 0.0f;
#elif DENSE
            u32 first = high ? c.words[j].y : c.words[j].x, second = high ? c.words[j].w : c.words[j].z;
            to[0] = dense_value(first), to[1] = dense_value(first >> 16);
            to[2] = dense_value(second), to[3] = dense_value(second >> 16);
#else
            int group = (tile * 64 + 16 * j) / GROUP;
            Affine a = decode_scale(load_scale(m.scales, block, group, high * 8 + g), m.scales.factor);
#pragma unroll
            for (int s = 0; s < 4; s++) to[s] = a.scale * code_value(get_code(c.words, j, s, high)) + a.bias;
#endif
        }
    return v;
}
