// Integer codes of 2, 3, 4, 5, 6 or 8 bits, and floats of 4 or 8, in tiles for the tensor cores.
//
// A tile is 16 rows by 64 columns, 32 lanes of 32 codes: lane 4 g + t holds rows g and g + 8 at the columns 16 j + 4 t + s, where
// j < 4 is the product and s < 4 the place in it. BITS words a lane hold them, as planes: 3 bits are a plane of 2 and one of 1, 5
// bits 4 and 1, 6 bits 4 and 2. A plane of a tile is one vector load of the warp.
//
// `fragments` makes the operand of product j: integers as the f16 number 1024 + code (the exponent is an OR away), those of row
// g + 8 times ROW8, for that saves shifts; e2m1 and e4m3 as f16 numbers too small by the factor in FLOAT_FACTOR.
#pragma once
#include "common.cuh"

#if BITS == 4 || BITS == 5 || BITS == 6
#define PLANE4 1
#else
#define PLANE4 0
#endif
#define PLANE2 (BITS == 2 || BITS == 3 || BITS == 6)
#define PLANE1 (BITS == 3 || BITS == 5)

#define TILE_BYTES (BITS * 128)

#if FLOATS
#define OFFSET_F16 0.0f
#define ROW8 1.0f
#define FLOAT_FACTOR (BITS == 4 ? 16384.0f : 256.0f)
#else
#define OFFSET_F16 1024.0f
#define ROW8 (BITS == 8 ? 1.0f : PLANE4 ? 16.0f : 4.0f)
#define FLOAT_FACTOR 1.0f
#endif

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
#if PLANE4
    uint4 four = load_once((const uint4 *)tile + lane);
    c.words[0] = four.x, c.words[1] = four.y, c.words[2] = four.z, c.words[3] = four.w;
#endif
#if PLANE2
    uint2 two = load_once((const uint2 *)(tile + PLANE4 * 512) + lane);
    c.words[PLANE4 * 4] = two.x, c.words[PLANE4 * 4 + 1] = two.y;
#endif
#if PLANE1
    c.words[BITS - 1] = load_once((const u32 *)(tile + (BITS - 1) * 128) + lane);
#endif
#endif
    return c;
}

#define EXPONENT 0x64006400u

// Masks of the largest plane, in registers: an instruction takes one constant beside its operands, and that is the exponent.
struct Masks {
    u32 low, high;
};

INLINE Masks masks_of_codes() {
    Masks m;
    // The compiler must not see through it, or it makes two instructions of each use.
    asm volatile("mov.u32 %0, %1;" : "=r"(m.low) : "n"(PLANE4 ? 0x000f000f : 0x00030003));
    asm volatile("mov.u32 %0, %1;" : "=r"(m.high) : "n"(PLANE4 ? 0x00f000f0 : 0x000c000c));
    return m;
}

// (w & mask) | EXPONENT in one instruction.
INLINE u32 with_exponent(u32 w, u32 mask) {
    u32 pair;
    asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(pair) : "r"(w), "r"(mask), "n"(EXPONENT));
    return pair;
}

INLINE void fragments(const Codes &c, const Masks &m, int j, u32 a[4]) {
#if FLOATS && BITS == 4
    u32 w = c.words[j];
    a[0] = ((w << 12) & 0x80008000u) | ((w << 9) & 0x0e000e00u);
    a[1] = ((w << 8) & 0x80008000u) | ((w << 5) & 0x0e000e00u);
    a[2] = ((w << 4) & 0x80008000u) | ((w << 1) & 0x0e000e00u);
    a[3] = (w & 0x80008000u) | ((w >> 3) & 0x0e000e00u);
#elif FLOATS
#pragma unroll
    for (int i = 0; i < 4; i++) {
        u32 pair = __byte_perm(c.words[2 * j + (i & 1)], 0, i < 2 ? 0x1404 : 0x3424);
        a[i] = (pair & 0x80008000u) | ((pair & 0x7f007f00u) >> 1);
    }
#elif BITS == 8
    a[0] = __byte_perm(c.words[2 * j], 0x64646464u, 0x4140);
    a[1] = __byte_perm(c.words[2 * j + 1], 0x64646464u, 0x4140);
    a[2] = __byte_perm(c.words[2 * j], 0x64646464u, 0x4342);
    a[3] = __byte_perm(c.words[2 * j + 1], 0x64646464u, 0x4342);
#else
#if PLANE4
    u32 four = c.words[j], next = four >> 8;
    a[0] = with_exponent(four, m.low);
    a[1] = with_exponent(four, m.high);
    a[2] = with_exponent(next, m.low);
    a[3] = with_exponent(next, m.high);
#endif
#if PLANE2
    u32 two = c.words[PLANE4 * 4 + (j >> 1)] >> (8 * (j & 1));
#if PLANE4
    a[0] |= (two << 4) & 0x00300030u;
    a[1] |= (two << 6) & 0x03000300u;
    a[2] |= two & 0x00300030u;
    a[3] |= (two << 2) & 0x03000300u;
#else
    u32 next = two >> 4;
    a[0] = with_exponent(two, m.low);
    a[1] = with_exponent(two, m.high);
    a[2] = with_exponent(next, m.low);
    a[3] = with_exponent(next, m.high);
#endif
#endif
#if PLANE1
    u32 one = c.words[BITS - 1] >> (4 * j);
#if PLANE4
    a[0] |= (one << 4) & 0x00100010u;
    a[1] |= (one << 7) & 0x01000100u;
    a[2] |= (one << 2) & 0x00100010u;
    a[3] |= (one << 5) & 0x01000100u;
#else
    a[0] |= (one << 2) & 0x00040004u;
    a[1] |= (one << 3) & 0x00100010u;
    a[2] |= one & 0x00040004u;
    a[3] |= (one << 1) & 0x00100010u;
#endif
#endif
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
#if BITS == 8
    words[2 * j + high] |= code << (8 * s);
#else
    int half = (s & 1) * 16;
    u32 rest = code;
#if PLANE4
    words[j] |= (rest & 15) << ((s >> 1) * 8 + high * 4 + half);
    rest >>= 4;
#endif
#if PLANE2
    words[PLANE4 * 4 + (j >> 1)] |= (rest & 3) << (8 * (j & 1) + (s >> 1) * 4 + high * 2 + half);
    rest >>= 2;
#endif
#if PLANE1
    words[BITS - 1] |= (rest & 1) << (4 * j + (s >> 1) * 2 + high + half);
#endif
#endif
}

INLINE u32 get_code(const u32 words[BITS], int j, int s, int high) {
#if BITS == 8
    return (words[2 * j + high] >> (8 * s)) & 255;
#else
    int half = (s & 1) * 16;
    u32 code = 0;
    int at = 0;
#if PLANE4
    code |= (words[j] >> ((s >> 1) * 8 + high * 4 + half)) & 15;
    at += 4;
#endif
#if PLANE2
    code |= ((words[PLANE4 * 4 + (j >> 1)] >> (8 * (j & 1) + (s >> 1) * 4 + high * 2 + half)) & 3) << at;
    at += 2;
#endif
#if PLANE1
    code |= ((words[BITS - 1] >> (4 * j + (s >> 1) * 2 + high + half)) & 1) << at;
#endif
    return code;
#endif
}

INLINE void store_codes(u8 *tile, int lane, const u32 words[BITS]) {
#if BITS == 8
    ((uint4 *)tile)[lane] = make_uint4(words[0], words[1], words[2], words[3]);
    ((uint4 *)tile)[32 + lane] = make_uint4(words[4], words[5], words[6], words[7]);
#else
#if PLANE4
    ((uint4 *)tile)[lane] = make_uint4(words[0], words[1], words[2], words[3]);
#endif
#if PLANE2
    ((uint2 *)(tile + PLANE4 * 512))[lane] = make_uint2(words[PLANE4 * 4], words[PLANE4 * 4 + 1]);
#endif
#if PLANE1
    ((u32 *)(tile + (BITS - 1) * 128))[lane] = words[BITS - 1];
#endif
#endif
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
