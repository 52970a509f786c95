// Numbers that blocks of threads of one kernel hand to each other through memory. A number says by itself that it is there: places hold +0
// before, and no number is +0 (it becomes -0). So nobody needs a barrier, a flag or a fence.
#pragma once
#include "common.cuh"

INLINE float4 peek_four(const float *at) {
    float4 v;
    asm volatile("ld.relaxed.gpu.global.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "l"(at)
                 : "memory");
    return v;
}

INLINE bool is_there(float v) { return __float_as_uint(v) != 0; }
INLINE bool is_there(const float4 &v) { return is_there(v.x) && is_there(v.y) && is_there(v.z) && is_there(v.w); }

INLINE void hand_out(float *at, float v) {
    asm volatile("st.relaxed.gpu.global.f32 [%0], %1;" ::"l"(at), "f"(is_there(v) ? v : -0.0f) : "memory");
}

// Counts a look in vain; after some seconds of them somebody will never come, and a fault is better than a card that hangs.
INLINE void look_again(int &looks) {
    if (++looks > 1 << 24) asm volatile("trap;");
}

// Waits until a number is there.
INLINE void await(const float *at) {
    int looks = 0;
    while (true) {
        float v;
        asm volatile("ld.relaxed.gpu.global.f32 %0, [%1];" : "=f"(v) : "l"(at) : "memory");
        if (is_there(v)) return;
        look_again(looks);
    }
}
