// Integer codes of 2, 3, 4, 5, 6 or 8 bits, and floats of 4 or 8, in tiles for the tensor cores.
//
// A tile is 16 rows by 64 columns, 32 lanes of 32 codes: lane 4 g + t holds rows g and g + 8 at the columns 16 j + 4 t + s, where
// j < 4 is the product and s < 4 the place in it. BITS words a lane hold them; pairs of neighbours (s even and odd) lie in the lower
// and the upper half of a word, at the same place. Words are fetched by as few vector loads as there can be.
//
// `fragments` makes the operand of product j: integers as the f16 number 1024 + code (the exponent is an OR away), those of row
// g + 8 times ROW8, for that saves shifts; e2m1 and e4m3 as f16 numbers too small by the factor in FLOAT_FACTOR. Where codes lie
// within words is chosen so that few shifts bring them there: see `storage/pieces.cuh`.
#pragma once
#include "storage/pieces.cuh"

#define TILE_BYTES (BITS * 128)

#if FLOATS
#define OFFSET_F16 0.0f
#define ROW8 1.0f
#define FLOAT_FACTOR (BITS == 4 ? 16384.0f : 256.0f)
#else
#define OFFSET_F16 1024.0f
#define ROW8 ((float)(1 << ROW8_BITS))
#define FLOAT_FACTOR 1.0f
#endif

// How a lane's words are fetched: eight as two loads, or four, two and one.
#define FOUR (BITS >= 4 && BITS < 8)
#define TWO (BITS == 2 || BITS == 3 || BITS == 6)
#define ONE (BITS == 3 || BITS == 5)

struct Codes {
    u32 words[BITS];
};

INLINE Codes load_codes(const u8 *tile, int lane) {
    Codes c;
#if BITS == 8
    uint4 low = load_once((const uint4 *)tile + lane), high = load_once((const uint4 *)tile + 32 + lane);
    c.words[0] = low.x, c.words[1] = low.y, c.words[2] = low.z, c.words[3] = low.w;
    c.words[4] = high.x, c.words[5] = high.y, c.words[6] = high.z, c.words[7] = high.w;
#else
#if FOUR
    uint4 four = load_once((const uint4 *)tile + lane);
    c.words[0] = four.x, c.words[1] = four.y, c.words[2] = four.z, c.words[3] = four.w;
#endif
#if TWO
    uint2 two = load_once((const uint2 *)(tile + FOUR * 512) + lane);
    c.words[FOUR * 4] = two.x, c.words[FOUR * 4 + 1] = two.y;
#endif
#if ONE
    c.words[BITS - 1] = load_once((const u32 *)(tile + (BITS - 1) * 128) + lane);
#endif
#endif
    return c;
}

INLINE void store_codes(u8 *tile, int lane, const u32 words[BITS]) {
#if BITS == 8
    ((uint4 *)tile)[lane] = make_uint4(words[0], words[1], words[2], words[3]);
    ((uint4 *)tile)[32 + lane] = make_uint4(words[4], words[5], words[6], words[7]);
#else
#if FOUR
    ((uint4 *)tile)[lane] = make_uint4(words[0], words[1], words[2], words[3]);
#endif
#if TWO
    ((uint2 *)(tile + FOUR * 512))[lane] = make_uint2(words[FOUR * 4], words[FOUR * 4 + 1]);
#endif
#if ONE
    ((u32 *)(tile + (BITS - 1) * 128))[lane] = words[BITS - 1];
#endif
#endif
}

// The exponent of 1024 in a register: an instruction takes one constant beside its operands, and that is a mask.
struct Masks {
    u32 exponent;
};

INLINE Masks masks_of_codes() {
    Masks m;
    // The compiler must not see through it, or it makes two instructions of each use.
    asm volatile("mov.u32 %0, %1;" : "=r"(m.exponent) : "n"(0x64006400));
    return m;
}

// (w & mask) | rest in one instruction.
INLINE u32 with_bits(u32 rest, u32 w, u32 mask) {
    u32 all;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(all) : "r"(w), "r"(mask), "r"(rest));
    return all;
}

INLINE void fragments(const Codes &c, const Masks &m, int j, u32 a[4]) {
#if FLOATS && BITS == 4
    u32 w = c.words[j];
    // The signs of the last two, to where a shift brings them together with the rest.
    u32 other;
    asm("lop3.b32 %0, %1, %2, 0x04040404, 0xd8;" : "=r"(other) : "r"(w), "r"(w << 2));
    a[0] = w & 0x8e008e00u;
    a[1] = (w << 8) & 0x8e008e00u;
    a[2] = (other << 5) & 0x8e008e00u;
    a[3] = __funnelshift_r(other, other, 3) & 0x8e008e00u;
#elif FLOATS
#pragma unroll
    for (int i = 0; i < 2; i++) {
        u32 w = c.words[2 * j + i];
        a[i] = w & 0xbf80bf80u;
        a[2 + i] = ((w << 7) & 0x3f803f80u) | ((w << 1) & 0x80008000u);
    }
#elif BITS == 8
    a[0] = __byte_perm(c.words[2 * j], 0x64646464u, 0x4240);
    a[1] = __byte_perm(c.words[2 * j + 1], 0x64646464u, 0x4240);
    a[2] = __byte_perm(c.words[2 * j], 0x64646464u, 0x4341);
    a[3] = __byte_perm(c.words[2 * j + 1], 0x64646464u, 0x4341);
#else
#pragma unroll
    for (int i = 0; i < 4; i++) {
        a[i] = m.exponent;
#pragma unroll
        for (int p = 0; p < MOST_PIECES; p++) {
            const Piece piece = piece_of(4 * j + i, p);
            if (piece.count == 0) continue;
            const int to = piece.from + (i & 1) * ROW8_BITS, shift = piece.at - to;
            u32 w = c.words[piece.word];
            a[i] = with_bits(a[i], shift < 0 ? w << -shift : w >> shift, (((1u << piece.count) - 1) << to) * 0x10001u);
        }
    }
#endif
}

// Where a code of a tile lies, for those who want single ones: `row` below 16, `col` below 64.
struct Place {
    int lane, j, s, high;
};

INLINE Place place_in_tile(int row, int col) {
    Place p;
    p.j = col >> 4, p.s = col & 3, p.high = row >> 3;
    p.lane = (row & 7) * 4 + ((col >> 2) & 3);
    return p;
}

// Puts a code into the words of its lane, which begin as zeros.
INLINE void put_code(u32 words[BITS], int j, int s, int high, u32 code) {
#pragma unroll
    for (int p = 0; p < MOST_PIECES; p++) {
        const Piece piece = piece_of(4 * j + 2 * (s >> 1) + high, p);
        u32 part = (code >> piece.from) & ((1u << piece.count) - 1);
        words[piece.word] |= part << (piece.at + ((s & 1) ^ piece.crossed) * 16);
    }
}

INLINE u32 get_code(const u32 words[BITS], int j, int s, int high) {
    u32 code = 0;
#pragma unroll
    for (int p = 0; p < MOST_PIECES; p++) {
        const Piece piece = piece_of(4 * j + 2 * (s >> 1) + high, p);
        u32 part = words[piece.word] >> (piece.at + ((s & 1) ^ piece.crossed) * 16);
        code |= (part & ((1u << piece.count) - 1)) << piece.from;
    }
    return code;
}

// The number that a code stands for, before scale and bias.
INLINE float code_value(u32 code) {
#if FLOATS && BITS == 4
    return f16_to_f32(((code & 8) << 12) | ((code & 7) << 9)) * FLOAT_FACTOR;
#elif FLOATS
    return e4m3_to_f32(code);
#else
    return (float)code;
#endif
}
