// Scales and biases: a weight is scale * code + bias, for groups of GROUP columns.
//
// They lie as [block of 16 rows][group][row], so that a warp reads those of a tile at once, with rows g and g + 8 side by side,
// which are one lane's. SCALES says what is stored:
//   PAIR_BF16, PAIR_F16, PAIR_F32  scale and bias as a pair (MLX affine; Q4_1 and Q5_1)
//   BYTE_E8M0, BYTE_E4M3           a byte, no bias (mxfp4, mxfp8, MXFP4; nvfp4), times a factor of the whole matrix
//   HALF                           an f16 scale, bias = -CENTER * scale (Q4_0, Q5_0, Q8_0)
//   K_MIN                          two bytes, and two f16 for 256 columns: scale = d sc, bias = -dmin m (Q2_K, Q4_K, Q5_K)
//   K_SIGNED                       a signed byte, and an f16 for 256 columns: scale = d sc, bias = -CENTER * scale (Q3_K, Q6_K)
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
#elif SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3
typedef u8 Stored;
typedef u16 StoredPair;
#elif SCALES == HALF || SCALES == K_MIN
typedef u16 Stored;
typedef u32 StoredPair;
#else
typedef i8 Stored;
typedef u16 StoredPair;
#endif

// Whether biases are more than a multiple of the scale.
#define HAS_BIAS (SCALES <= PAIR_F32 || SCALES == K_MIN)
#define HAS_SUPERS (SCALES == K_MIN || SCALES == K_SIGNED)

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

// The scales of rows g and g + 8 of one block: the first groups.
INLINE Scales scales_of_lane(Scales s, int block, int g) {
    s.groups_of += (u64)block * s.groups * 16 + 2 * g;
#if HAS_SUPERS
    s.supers += (u64)block * (s.groups / (256 / GROUP)) * 16 + 2 * g;
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

// The same for rows g and g + 8, as `scales_of_lane` gave them.
struct RawPair {
    StoredPair own;
#if HAS_SUPERS
    uint2 super;
#endif
};

INLINE RawPair load_scales(const Scales &s, int group) {
    RawPair pair;
    pair.own = *(const StoredPair *)(s.groups_of + group * 16);
#if HAS_SUPERS
    pair.super = *(const uint2 *)(s.supers + group / (256 / GROUP) * 16);
#endif
    return pair;
}

INLINE Raw raw_of(const RawPair &pair, int high) {
    Raw raw;
#if SCALES == PAIR_BF16 || SCALES == PAIR_F16
    raw.own = high ? pair.own.y : pair.own.x;
#elif SCALES == PAIR_F32
    raw.own = high ? make_float2(pair.own.z, pair.own.w) : make_float2(pair.own.x, pair.own.y);
#else
    raw.own = (Stored)(pair.own >> (high * 8 * sizeof(Stored)));
#endif
#if HAS_SUPERS
    raw.super = high ? pair.super.y : pair.super.x;
#endif
    return raw;
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
    a.scale = f16_to_f32(raw.super & 0xffff) * (float)raw.own, a.bias = -(float)CENTER * a.scale;
#endif
    return a;
}
