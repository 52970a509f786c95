// Scales and biases: a weight is scale * code + bias, for groups of GROUP columns.
//
// They lie as [block of 16 rows][group][row], so that a warp reads those of a tile at once. SCALES says what is stored:
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

#if SCALES == PAIR_BF16 || SCALES == PAIR_F16
typedef u32 Stored;
#elif SCALES == PAIR_F32
typedef float2 Stored;
#elif SCALES == BYTE_E8M0 || SCALES == BYTE_E4M3
typedef u8 Stored;
#elif SCALES == HALF || SCALES == K_MIN
typedef u16 Stored;
#else
typedef i8 Stored;
#endif

// Scales of a matrix of `groups` groups a row.
struct Scales {
    const Stored *groups_of;
    // For K types: an f16 or two for each 256 columns, as [block of 16 rows][256 columns][row].
    const u32 *supers;
    int groups;
    float factor;
};

// The scales of one block of rows, from one of its rows on: for that, block and row are 0 from here on.
INLINE Scales scales_of_block(Scales s, int block, int row) {
    s.groups_of += (u64)block * s.groups * 16 + row;
#if SCALES == K_MIN || SCALES == K_SIGNED
    s.supers += (u64)block * (s.groups / (256 / GROUP)) * 16 + row;
#endif
    return s;
}

struct Affine {
    float scale, bias;
};

// What was stored for a row and a group, read early and decoded late.
struct Raw {
    Stored own;
#if SCALES == K_MIN || SCALES == K_SIGNED
    u32 super;
#endif
};

INLINE Raw load_scale(const Scales &s, int block, int group, int row) {
    Raw raw;
    raw.own = s.groups_of[((u64)block * s.groups + group) * 16 + row];
#if SCALES == K_MIN || SCALES == K_SIGNED
    int per = 256 / GROUP;
    raw.super = s.supers[((u64)block * (s.groups / per) + group / per) * 16 + row];
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
