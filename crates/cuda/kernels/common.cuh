// What every kernel uses: fixed-width types, conversions, loads past the first cache, warp sums, the tensor cores' product and
// dependent launch. No header of the toolkit is included, so that NVRTC alone is enough.
#pragma once

typedef unsigned char u8;
typedef signed char i8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define INLINE __device__ __forceinline__
#define FULL 0xffffffffu
#define NEG_INF __int_as_float(0xff800000)

INLINE float bf16_to_f32(u32 bits) { return __uint_as_float(bits << 16); }

INLINE float f16_to_f32(u32 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"((u16)bits));
    return value;
}

INLINE u32 f32_to_f16(float value) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// Two values in one register, the first in the low half.
INLINE u32 pack_f16(float first, float second) {
    u32 pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

INLINE u32 pack_bf16(float first, float second) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
}

INLINE u16 f32_to_bf16(float value) { return (u16)pack_bf16(value, 0.0f); }

// The value of an e8m0 byte is 2^(byte - 127); 255 is NaN.
INLINE float e8m0_to_f32(u32 byte) {
    if (byte == 255) return __int_as_float(0x7fc00000);
    return byte == 0 ? __uint_as_float(0x00400000) : __uint_as_float(byte << 23);
}

// The value of an e4m3 byte: bias 7, no infinities, 0x7f is NaN.
INLINE float e4m3_to_f32(u32 byte) {
    if ((byte & 0x7f) == 0x7f) return __int_as_float(0x7fc00000);
    float magnitude = f16_to_f32((byte & 0x7f) << 7) * 256.0f;
    return byte & 0x80 ? -magnitude : magnitude;
}

// Weights are read once: past the first cache; or from shared memory, where a kernel has brought them there.
#if WEIGHTS_IN_SHARED
template <class T> INLINE T load_once(const T *at) { return *at; }
#else
INLINE uint4 load_once(const uint4 *at) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(at));
    return v;
}

INLINE uint2 load_once(const uint2 *at) {
    uint2 v;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(at));
    return v;
}

INLINE u32 load_once(const u32 *at) {
    u32 v;
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(at));
    return v;
}
#endif

// What another kernel may have written after this one's multiprocessor last read it.
INLINE float read_fresh(const float *at) { return *(const volatile float *)at; }

// Brings `count` floats into the first cache, for a block that reads them later.
INLINE void prefetch_lines(const float *at, int count) {
    for (int i = threadIdx.x * 32; i < count; i += blockDim.x * 32) asm volatile("prefetch.global.L1 [%0];" ::"l"(at + i));
}

INLINE float warp_sum(float value) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) value += __shfl_xor_sync(FULL, value, step);
    return value;
}

INLINE float warp_max(float value) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1) value = fmaxf(value, __shfl_xor_sync(FULL, value, step));
    return value;
}

// d += a b for a [16, 16] and b [16, 8]. Lane 4 g + t holds of a the rows g and g + 8 at columns 2 t, 2 t + 1 (a0, a1) and
// 2 t + 8, 2 t + 9 (a2, a3); of b column g at the same rows; of d rows g (d0, d1) and g + 8 (d2, d3) at columns 2 t, 2 t + 1.
INLINE void mma_f16(float d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

INLINE void mma_bf16(float d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

INLINE u32 shared_address(const void *at) { return (u32)__cvta_generic_to_shared(at); }

INLINE void load_matrices(u32 r[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

INLINE void load_matrices_transposed(u32 r[4], u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}

// Copies 16 bytes to shared memory in the background; nothing but zeros where there is no source.
INLINE void copy_async(u32 to, const void *from, bool there) {
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}

INLINE void commit_copies() { asm volatile("cp.async.commit_group;"); }

template <int LEFT> INLINE void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT)); }

// Dependent launch: the next kernel may be set up from now on ...
INLINE void let_next_begin() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// ... and this one reads what earlier kernels wrote only from here on.
INLINE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Clusters: blocks that run at the same time and read each other's shared memory.
INLINE int blocks_of_cluster() {
#if __CUDA_ARCH__ >= 900
    u32 count;
    asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(count));
    return (int)count;
#else
    return 1;
#endif
}

// Waits for all threads of the cluster that have not ended.
INLINE void meet_cluster() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
#endif
}

// What stands at the place of `own` in the shared memory of a block of the cluster.
INLINE float read_shared_of(const float *own, u32 rank) {
    float value = 0.0f;
#if __CUDA_ARCH__ >= 900
    u32 at;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(shared_address(own)), "r"(rank));
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at));
#endif
    return value;
}

INLINE float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

INLINE float gelu_tanh(float x) {
    float inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    return 0.5f * x * (1.0f + tanhf(inner));
}

#define ACT_SILU 0
#define ACT_GELU_TANH 1
#define ACT_CLAMPED_SWIGLU 2
#define ACT_SCALED_SILU 3
#define ACT_RELU2 4

// An activation; only some have numbers.
struct Act {
    int kind;
    float alpha, limit;
};

// act(gate) * up.
INLINE float gated(const Act &act, float gate, float up) {
    if (act.kind == ACT_SILU) return gate * sigmoid(gate) * up;
    if (act.kind == ACT_GELU_TANH) return gelu_tanh(gate) * up;
    if (act.kind == ACT_SCALED_SILU) {
        gate *= act.alpha;
        return gate * sigmoid(gate) * up;
    }
    if (act.kind == ACT_RELU2) {
        // What is not a number stays none.
        gate = gate < 0.0f ? 0.0f : gate;
        return gate * gate * up;
    }
    gate = fminf(gate, act.limit);
    // What is not a number stays none.
    up = up > act.limit ? act.limit : up < -act.limit ? -act.limit : up;
    return gate * sigmoid(act.alpha * gate) * (up + 1.0f);
}

// act(gate) where nothing is multiplied with it.
INLINE float activate(const Act &act, float gate) { return gated(act, gate, act.kind == ACT_CLAMPED_SWIGLU ? 0.0f : 1.0f); }

#define GATE_SIGMOID 0
#define GATE_SILU 1
#define GATE_GELU_TANH 2

// What a gate's logit multiplies with.
INLINE float gate_factor(int by, float logit) {
    if (by == GATE_GELU_TANH) return gelu_tanh(logit);
    return by == GATE_SILU ? logit * sigmoid(logit) : sigmoid(logit);
}
