// Keys and values in pages, [page][layer][k | v][head][token][dim], and where a step's rows stand in their sequences.
#pragma once
#include "common.cuh"

#if KV_F32
typedef float Kv;
INLINE float from_kv(Kv v) { return v; }
INLINE Kv to_kv(float v) { return v; }
#else
typedef u16 Kv;
INLINE float from_kv(Kv v) { return f16_to_f32(v); }
INLINE Kv to_kv(float v) { return (Kv)f32_to_f16(v); }
#endif

// Of a step: each row's sequence, place and position, and each sequence's page table.
struct Step {
    const u32 *seqs, *places, *positions;
    // [sequence][capacity]
    const u32 *tables;
    int capacity;
};

// One layer's share of the pages.
struct Layer {
    Kv *base;
    u64 page;
    int half, tokens, dim;
};

INLINE Kv *key_at(const Layer &l, u32 page, int head, int token) {
    return l.base + page * l.page + ((u64)head * l.tokens + token) * l.dim;
}

INLINE Kv *value_at(const Layer &l, u32 page, int head, int token) { return key_at(l, page, head, token) + l.half; }
