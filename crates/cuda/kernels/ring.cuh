// A ring of slots in shared memory that one thread fills, in the background, and many warps empty (Hopper and newer).
#pragma once
#include "common.cuh"

// Where somebody is in a ring of N slots: every slot has its turn once a round.
template <int N> struct Turn {
    int slot = 0;
    u32 parity = 0;
    INLINE void pass() {
        if (++slot == N) slot = 0, parity ^= 1;
    }
    INLINE void skip(int count) {
        int all = slot + count;
        slot = all % N, parity ^= (u32)(all / N) & 1;
    }
};

INLINE void init_barrier(u64 *barrier, int arrivals) {
    asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}

INLINE void arrive(u64 *barrier) {
    asm volatile("{\n\t.reg .b64 state;\n\tmbarrier.arrive.shared.b64 state, [%0];\n\t}" ::"r"(shared_address(barrier)) : "memory");
}

// Whether the phase of that parity is over; a while later, if it is not.
INLINE bool is_past(u64 *barrier, u32 parity) {
    u32 done = 1;
#if __CUDA_ARCH__ >= 900
    asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                 : "=r"(done)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
#endif
    return done;
}

INLINE void wait_barrier(u64 *barrier, u32 parity) {
    while (!is_past(barrier, parity)) {}
}

// Arrives, and says that so many bytes will.
INLINE void expect_bytes(u64 *barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile("{\n\t.reg .b64 state;\n\tmbarrier.arrive.expect_tx.shared.b64 state, [%0], %1;\n\t}" ::"r"(shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
#endif
}

// Copies whole 16 bytes from memory to shared memory; their arrival is the barrier's.
INLINE void copy_bulk(void *to, const void *from, int bytes, u64 *barrier) {
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(from), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
#endif
}

// Barriers are ready for copies in the background.
INLINE void show_barriers() {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
