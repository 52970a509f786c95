// The arithmetic of a tile for few rows of activations, which are two 16-bit floats each, high and low part: two columns of the tensor
// cores' operand.
#pragma once
#include "weights.cuh"

// f16 ends at 65504, activations need not: they are multiplied by INPUT_FACTOR. Low parts are as large as high ones. bf16 has the
// range of f32.
#if DENSE && BRAIN
#define LOW_FACTOR 1.0f
#define INPUT_FACTOR 1.0f
#else
#define LOW_FACTOR 2048.0f
#define INPUT_FACTOR 0.00390625f
#endif
#if DENSE
#define GROUPS 1
#define NEEDS_SUMS 0
#else
#define NEEDS_SUMS (HAS_BIAS || !FLOATS)
#endif
// Products of a group.
#define STEPS (4 / GROUPS)
// Each group of a tile has columns of its own: those of lane t are group t % GROUPS of sequence t / GROUPS.
#define MOST_ROWS (4 / GROUPS)

// A tile on its way.
struct Flight {
    Codes codes;
#if !DENSE
    RawPair scales;
#endif
};

// Sums of rows g and g + 8 of a block: of a dense matrix for the high and low parts of sequence t, in two chains of products; else of
// codes times scales, and of biases, before factors that all tiles share.
struct Sums {
#if DENSE
    float d[2][4];
#else
    float codes[2], biases[2];
#endif
};

// The parts of a tile's activations for this lane's column, with zeros for other groups than the column's.
struct Operand {
    u32 of[8];
};

// `x` are those of the products of each group, or zeros.
INLINE Operand operand_at(const u16 *const x[GROUPS], int offset) {
    Operand o;
#if GROUPS == 4
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint2 of = *(const uint2 *)(x[i] + offset);
        o.of[2 * i] = of.x, o.of[2 * i + 1] = of.y;
    }
#else
    uint4 first = *(const uint4 *)(x[0] + offset), second = *(const uint4 *)(x[GROUPS - 1] + offset + (GROUPS == 1) * 8);
    o.of[0] = first.x, o.of[1] = first.y, o.of[2] = first.z, o.of[3] = first.w;
    o.of[4] = second.x, o.of[5] = second.y, o.of[6] = second.z, o.of[7] = second.w;
#endif
    return o;
}

// `x` are the parts of the tile's activations, `sum` theirs for the lane's group and sequence.
INLINE void multiply(Sums &to, const Flight &f, const Operand &x, float sum, const Masks &masks) {
#if DENSE
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint4 a = f.codes.words[j];
#if BRAIN
        mma_bf16(to.d[j & 1], a.x, a.y, a.z, a.w, x.of[2 * j], x.of[2 * j + 1]);
#else
        mma_f16(to.d[j & 1], a.x, a.y, a.z, a.w, x.of[2 * j], x.of[2 * j + 1]);
#endif
    }
#else
    float d[4] = {};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        u32 a[4];
        fragments(f.codes, masks, j, a);
        mma_f16(d, a[0], a[1], a[2], a[3], x.of[2 * j], x.of[2 * j + 1]);
    }
    AffinePair a = decode_pair(f.scales);
#pragma unroll
    for (int high = 0; high < 2; high++) {
        // What every code is too large by; where biases are a multiple of the scale, they are in it.
        const float offset = FLOATS ? 0.0f : OFFSET_F16 + (HAS_BIAS ? 0.0f : (float)CENTER) * (high ? ROW8 : 1.0f);
        float product = d[2 * high] + d[2 * high + 1] * (1.0f / LOW_FACTOR) - offset * sum;
        to.codes[high] += a.scale[high] * product;
        if (HAS_BIAS) to.biases[high] += a.bias[high] * sum;
    }
#endif
}

// The sum of row g or g + 8, or of the lane's groups of it; `factor` is the whole matrix's.
INLINE float sum_of(const Sums &s, int high, float factor) {
#if DENSE
    float low = s.d[0][2 * high + 1] + s.d[1][2 * high + 1];
    return s.d[0][2 * high] + s.d[1][2 * high] + low * (1.0f / LOW_FACTOR);
#else
    return s.codes[high] * (factor * FLOAT_FACTOR * SCALE_FACTOR / (high ? ROW8 : 1.0f)) + s.biases[high];
#endif
}

// The same of all groups. All lanes of the warp take part.
INLINE float total_of(const Sums &s, int high, float factor) {
    float sum = sum_of(s, high, factor);
#pragma unroll
    for (int step = 1; step < GROUPS; step <<= 1) sum += __shfl_xor_sync(FULL, sum, step);
    return sum;
}

// The two parts of a value, as halves of the storage's kind; gives what they stand for together.
INLINE float split(float value, u32 &high, u32 &low) {
#if DENSE && BRAIN
    high = f32_to_bf16(value);
    float rest = value - bf16_to_f32(high);
    low = f32_to_bf16(rest);
    return bf16_to_f32(high) + bf16_to_f32(low);
#else
    high = f32_to_f16(value);
    float rest = value - f16_to_f32(high);
    low = f32_to_f16(rest * LOW_FACTOR);
    return f16_to_f32(high) + f16_to_f32(low) * (1.0f / LOW_FACTOR);
#endif
}

// Where column `at` of a tile is among its halves: piece 4 j + t of four columns is the operand of product j for the lanes t.
INLINE int place_of_column(int at) { return (at >> 2 & 3) * 16 + (at >> 4) * 4 + (at & 3); }
