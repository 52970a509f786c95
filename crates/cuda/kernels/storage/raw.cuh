// Codes and scales as files have them, one at a time: what `repack.cu` reads. RAW names the format; see the table of codes and
// formulas in `checkpoint/src/storage/`.
#pragma once
#include "storage/scales.cuh"

#define STREAM 0 // MLX: a row is one little-endian stream of BITS-wide codes; scales and biases are tensors of their own
#define Q4_0 1
#define Q4_1 2
#define Q5_0 3
#define Q5_1 4
#define Q8_0 5
#define Q2_K 6
#define Q3_K 7
#define Q4_K 8
#define Q5_K 9
#define Q6_K 10
#define MXFP4 11

#if RAW == Q4_0
#define BLOCK_BYTES 18
#elif RAW == Q4_1
#define BLOCK_BYTES 20
#elif RAW == Q5_0
#define BLOCK_BYTES 22
#elif RAW == Q5_1
#define BLOCK_BYTES 24
#elif RAW == Q8_0
#define BLOCK_BYTES 34
#elif RAW == Q2_K
#define BLOCK_BYTES 84
#elif RAW == Q3_K
#define BLOCK_BYTES 110
#elif RAW == Q4_K
#define BLOCK_BYTES 144
#elif RAW == Q5_K
#define BLOCK_BYTES 176
#elif RAW == Q6_K
#define BLOCK_BYTES 210
#elif RAW == MXFP4
#define BLOCK_BYTES 17
#endif

#if RAW >= Q2_K && RAW <= Q6_K
#define BLOCK 256
#else
#define BLOCK 32
#endif

INLINE u32 half_at(const u8 *at) { return at[0] | (u32)at[1] << 8; }

INLINE u32 nibble(const u8 *bytes, int i) { return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4; }

// The code of a column of a row.
INLINE u32 raw_code(const u8 *row, int col) {
#if RAW == STREAM
    u32 bit = (u32)col * BITS, at = bit >> 3, shift = bit & 7;
    u32 pair = row[at];
    if (shift + BITS > 8) pair |= (u32)row[at + 1] << 8;
    return (pair >> shift) & ((1u << BITS) - 1);
#else
    const u8 *b = row + (u64)(col / BLOCK) * BLOCK_BYTES;
    int i = col % BLOCK;
#if RAW == Q4_0
    return nibble(b + 2, i);
#elif RAW == Q4_1
    return nibble(b + 4, i);
#elif RAW == Q5_0
    return nibble(b + 6, i) | ((b[2 + i / 8] >> (i % 8)) & 1) << 4;
#elif RAW == Q5_1
    return nibble(b + 8, i) | ((b[4 + i / 8] >> (i % 8)) & 1) << 4;
#elif RAW == Q8_0
    return (u32)(b[2 + i] ^ 0x80);
#elif RAW == Q2_K
    return (b[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
#elif RAW == Q3_K
    u32 low = (b[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    return low | ((b[i % 32] >> (i / 32)) & 1) << 2;
#elif RAW == Q4_K || RAW == Q5_K
    u32 byte = b[BLOCK_BYTES - 128 + i / 64 * 32 + i % 32];
    u32 low = i % 64 < 32 ? byte & 15 : byte >> 4;
#if RAW == Q5_K
    low |= ((b[16 + i % 32] >> (i / 32)) & 1) << 4;
#endif
    return low;
#elif RAW == Q6_K
    int quarter = i % 128 / 32, l = i % 32;
    u32 byte = b[i / 128 * 64 + (quarter & 1) * 32 + l];
    u32 low = quarter < 2 ? byte & 15 : byte >> 4;
    return low | ((b[128 + i / 128 * 32 + l] >> (2 * quarter)) & 3) << 4;
#elif RAW == MXFP4
    return nibble(b + 1, i);
#endif
#endif
}

// The scale of a group of a row as it will be stored; `scales` and `biases` are the row's, where they are tensors of their own.
INLINE Stored raw_scale(const u8 *row, const u8 *scales, const u8 *biases, int group) {
#if RAW == STREAM
#if SCALES == PAIR_BF16 || SCALES == PAIR_F16
    return half_at(scales + 2 * group) | half_at(biases + 2 * group) << 16;
#elif SCALES == PAIR_F32
    return make_float2(((const float *)scales)[group], ((const float *)biases)[group]);
#else
    return scales[group];
#endif
#else
    const u8 *b = row + (u64)(group * GROUP / BLOCK) * BLOCK_BYTES;
#if RAW == Q4_0 || RAW == Q5_0 || RAW == Q8_0
    return (u16)half_at(b);
#elif RAW == Q4_1 || RAW == Q5_1
    return half_at(b) | half_at(b + 2) << 16;
#elif RAW == MXFP4
    return b[0];
#else
    int g = group % (256 / GROUP);
#if RAW == Q2_K
    return (u16)((b[g] & 15) | (b[g] >> 4) << 8);
#elif RAW == Q3_K
    const u8 *s = b + 96;
    u32 low = g < 8 ? s[g] & 15 : s[g - 8] >> 4, high = (s[8 + g % 4] >> (2 * (g / 4))) & 3;
    return (u8)((low | high << 4) - 32 + 128);
#elif RAW == Q4_K || RAW == Q5_K
    const u8 *s = b + 4;
    u32 scale = g < 4 ? s[g] & 63 : (s[g + 4] & 15) | (s[g - 4] >> 6) << 4;
    u32 minimum = g < 4 ? s[g + 4] & 63 : s[g + 4] >> 4 | (s[g] >> 6) << 4;
    return (u16)(scale | minimum << 8);
#else
    return (u8)(b[192 + g] ^ 0x80);
#endif
#endif
#endif
}

// The f16 scales of 256 columns: d below, dmin above.
INLINE u32 raw_super(const u8 *row, int super) {
#if RAW >= Q2_K && RAW <= Q6_K
    const u8 *b = row + (u64)super * BLOCK_BYTES;
#if RAW == Q2_K
    return half_at(b + 80) | half_at(b + 82) << 16;
#elif RAW == Q3_K
    return half_at(b + 108);
#elif RAW == Q6_K
    return half_at(b + 208);
#else
    return half_at(b) | half_at(b + 2) << 16;
#endif
#else
    return 0;
#endif
}
