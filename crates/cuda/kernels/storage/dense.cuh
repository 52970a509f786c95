// bf16 and f16 numbers in tiles for the tensor cores: as in codes.cuh, 16 words a lane, one vector load for each of four products.
#pragma once
#include "common.cuh"

#define TILE_BYTES 2048

struct Codes {
    uint4 words[4];
};

INLINE Codes load_codes(const u8 *tile, int lane) {
    Codes c;
#pragma unroll
    for (int j = 0; j < 4; j++) c.words[j] = load_once((const uint4 *)tile + j * 32 + lane);
    return c;
}

// Integer codes need masks.
struct Masks {};

INLINE Masks masks_of_codes() { return {}; }

// Which half-word of its tile a number is: `row` below 16, `col` below 64.
INLINE int place_of(int row, int col) {
    int lane = (row & 7) * 4 + ((col >> 2) & 3), word = ((col >> 1) & 1) * 2 + (row >> 3);
    return ((((col >> 4) * 32 + lane) * 4 + word) << 1) + (col & 1);
}

INLINE float dense_value(u16 bits) {
#if BRAIN
    return bf16_to_f32(bits);
#else
    return f16_to_f32(bits);
#endif
}
