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
