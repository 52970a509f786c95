// Scales and biases: a weight is scale * code + bias, for groups of GROUP columns.
//
// They lie as [block of 16 rows][group][row], so that a warp reads those of a tile at once, with rows g and g + 8 side by side,
// which are one lane's. SCALES says what is stored:
//   PAIR_BF16, PAIR_F16, PAIR_F32  scale and bias as a pair (MLX affine; Q4_1 and Q5_1)
//   BYTE_E8M0, BYTE_E4M3           a byte, no bias (mxfp4, mxfp8, MXFP4; nvfp4), times a factor of the whole matrix
//   HALF                           an f16 scale, bias = -CENTER * scale (Q4_0, Q5_0, Q8_0)
//   K_MIN                          two bytes, and two f16 for 256 columns: scale = d sc, bias = -dmin m (Q2_K, Q4_K, Q5_K)
//   K_SIGNED                       sc + 128, and an f16 for 256 columns: scale = d sc, bias = -CENTER * scale (Q3_K, Q6_K)
#pragma once
#include "common.cuh"

#define PAIR_BF16 1
#define PAIR_F16 2
#define PAIR_F32 3
#define BYTE_E8M0 4
#define BYTE_E4M3 5
#define HALF 6
#define K_MIN 7
#define K_SIGNED 8

// Of one row, and of rows g and g + 8.
#if SCALES == PAIR_BF16 || SCALES == PAIR_F16
typedef u32 Stored;
typedef uint2 StoredPair;
#elif SCALES == PAIR_F32
typedef float2 Stored;
typedef float4 StoredPair;
#elif SCALES == HALF || SCALES == K_MIN
typedef u16 Stored;
typedef u32 StoredPair;
#else
typedef u8 Stored;
typedef u16 StoredPair;
#endif

// Whether biases are more than a multiple of the scale.
#define HAS_BIAS (SCALES <= PAIR_F32 || SCALES == K_MIN)
#define HAS_SUPERS (SCALES == K_MIN || SCALES == K_SIGNED)
// Groups of a tile. Of several each is the business of other lanes: lane 4 g + t decodes group t % GROUPS.
#define GROUPS (GROUP >= 64 ? 1 : 64 / GROUP)
// What scales of rows g and g + 8 are too small by, as `decode_pair` gives them.
#define SCALE_FACTOR (SCALES == BYTE_E4M3 ? 256.0f : 1.0f)

// Scales of a matrix of `groups` groups a row.
struct Scales {
    const Stored *groups_of;
    // For K types: an f16 or two for each 256 columns, as [block of 16 rows][256 columns][row] in the same order.
    const u32 *supers;
    int groups;
    float factor;
};

// Where a row of a block stands among those of a group, and which row stands there.
INLINE int place_of_row(int row) { return (row & 7) * 2 + (row >> 3); }
INLINE int row_at_place(int place) { return (place >> 1) + (place & 1) * 8; }

// The scales of a lane: of rows g and g + 8 of one block, for its group of the first tile, which has the number `tile`.
INLINE Scales scales_for(Scales s, int block, int lane, int tile) {
    int g = lane >> 2;
    s.groups_of += ((u64)block * s.groups - tile * 64 / GROUP) * 16 + 2 * g + lane % GROUPS * 16;
#if HAS_SUPERS
    s.supers += ((u64)block * (s.groups / (256 / GROUP)) - tile / 4) * 16 + 2 * g;
#endif
    return s;
}

struct Affine {
    float scale, bias;
};

// What was stored for a row and a group, read early and decoded late.
struct Raw {
    Stored own;
#if HAS_SUPERS
    u32 super;
#endif
};

INLINE Raw load_scale(const Scales &s, int block, int group, int row) {
    Raw raw;
    int place = place_of_row(row);
    raw.own = s.groups_of[((u64)block * s.groups + group) * 16 + place];
#if HAS_SUPERS
    int per = 256 / GROUP;
    raw.super = s.supers[((u64)block * (s.groups / per) + group / per) * 16 + place];
#endif
    return raw;
}

// The same for rows g and g + 8, as `scales_for` found them.
struct RawPair {
    StoredPair own;
#if HAS_SUPERS
    uint2 super;
#endif
};

// Of tile `first + i`, where `i` is a constant: the address is found once for all that follow `first`.
INLINE RawPair load_scales(const Scales &s, int first, int i) {
    RawPair pair;
#if GROUP > 64
    pair.own = *(const StoredPair *)(s.groups_of + (first + i) / (GROUP / 64) * 16);
#else
    pair.own = *(const StoredPair *)(s.groups_of + first * (GROUPS * 16) + i * (GROUPS * 16));
#endif
#if HAS_SUPERS
    pair.super = *(const uint2 *)(s.supers + ((first + i) >> 2) * 16);
#endif
    return pair;
}

INLINE Affine decode_scale(const Raw &raw, float factor) {
    Affine a;
#if SCALES == PAIR_BF16
    a.scale = bf16_to_f32(raw.own & 0xffff), a.bias = bf16_to_f32(raw.own >> 16);
#elif SCALES == PAIR_F16
    a.scale = f16_to_f32(raw.own & 0xffff), a.bias = f16_to_f32(raw.own >> 16);
#elif SCALES == PAIR_F32
    a.scale = raw.own.x, a.bias = raw.own.y;
#elif SCALES == BYTE_E8M0
    a.scale = e8m0_to_f32(raw.own) * factor, a.bias = 0.0f;
#elif SCALES == BYTE_E4M3
    a.scale = e4m3_to_f32(raw.own) * factor, a.bias = 0.0f;
#elif SCALES == HALF
    a.scale = f16_to_f32(raw.own), a.bias = -(float)CENTER * a.scale;
#elif SCALES == K_MIN
    a.scale = f16_to_f32(raw.super & 0xffff) * (float)(raw.own & 0xff);
    a.bias = -f16_to_f32(raw.super >> 16) * (float)(raw.own >> 8);
#else
    a.scale = f16_to_f32(raw.super & 0xffff) * ((float)raw.own - 128.0f), a.bias = -(float)CENTER * a.scale;
#endif
    return a;
}

struct AffinePair {
    float scale[2], bias[2];
};

// A byte of `bytes` less `less`, by the number that is 2^23 and has it as its lowest bits.
INLINE float byte_to_f32(u32 bytes, int i, float less) {
    return __uint_as_float(__byte_perm(bytes, 0x4b000000u, 0x7440 + i)) - (8388608.0f + less);
}

// Both rows in as few instructions as there can be, before the factor of the matrix and SCALE_FACTOR; biases only where there are such
// that are more than a multiple of the scale. Bytes that stand for NaN `repack_scales` has refused.
INLINE AffinePair decode_pair(const RawPair &raw) {
    AffinePair a = {};
#if SCALES == PAIR_BF16
    a.scale[0] = __uint_as_float(raw.own.x << 16), a.bias[0] = __uint_as_float(raw.own.x & 0xffff0000u);
    a.scale[1] = __uint_as_float(raw.own.y << 16), a.bias[1] = __uint_as_float(raw.own.y & 0xffff0000u);
#elif SCALES == PAIR_F16
    a.scale[0] = f16_to_f32(raw.own.x), a.bias[0] = f16_to_f32(raw.own.x >> 16);
    a.scale[1] = f16_to_f32(raw.own.y), a.bias[1] = f16_to_f32(raw.own.y >> 16);
#elif SCALES == PAIR_F32
    a.scale[0] = raw.own.x, a.bias[0] = raw.own.y, a.scale[1] = raw.own.z, a.bias[1] = raw.own.w;
#elif SCALES == BYTE_E8M0
    // 0 stands for 2^-127, which has another form than the rest.
    a.scale[0] = fmaxf(__uint_as_float(((u32)raw.own << 23) & 0x7f800000u), __uint_as_float(0x00400000));
    a.scale[1] = fmaxf(__uint_as_float(((u32)raw.own << 15) & 0x7f800000u), __uint_as_float(0x00400000));
#elif SCALES == BYTE_E4M3
    u32 wide = __byte_perm(raw.own, 0, 0x1404), halves = (wide & 0x80008000u) | ((wide >> 1) & 0x3f803f80u);
    a.scale[0] = f16_to_f32(halves), a.scale[1] = f16_to_f32(halves >> 16);
#elif SCALES == HALF
    a.scale[0] = f16_to_f32(raw.own), a.scale[1] = f16_to_f32(raw.own >> 16);
#elif SCALES == K_MIN
    a.scale[0] = f16_to_f32(raw.super.x) * byte_to_f32(raw.own, 0, 0.0f);
    a.bias[0] = -f16_to_f32(raw.super.x >> 16) * byte_to_f32(raw.own, 1, 0.0f);
    a.scale[1] = f16_to_f32(raw.super.y) * byte_to_f32(raw.own, 2, 0.0f);
    a.bias[1] = -f16_to_f32(raw.super.y >> 16) * byte_to_f32(raw.own, 3, 0.0f);
#else
    a.scale[0] = f16_to_f32(raw.super.x) * byte_to_f32(raw.own, 0, 128.0f);
    a.scale[1] = f16_to_f32(raw.super.y) * byte_to_f32(raw.own, 1, 128.0f);
#endif
    return a;
}
