// The end of a step that draws tokens. The host gets them in its own memory, each beside the step's number, so that it knows them by
// reading alone. And the description of the step becomes that of the next one, should every sequence go on with the token that was drawn
// for it: then that step can begin before the host has looked.
#include "sample.cuh"

struct HandOver {
    const u32 *tokens; // [wanted]
    u64 *host;         // [2][most]: the step's number above, its token below
    u32 *number;
    // The description, of `rows` rows; none where the next step's rows are not those that tokens are drawn for.
    u32 *next, *positions, *places;
    Row *samplings; // or null
    int wanted, most, rows;
    u32 vocab;
};

extern "C" __global__ void hand_over(HandOver h) {
    let_next_begin();
    wait_for_previous();
    u32 number = *h.number;
    u64 *to = h.host + (u64)(number & 1) * h.most;
    for (int i = threadIdx.x; i < h.wanted; i += blockDim.x) {
        u32 token = h.tokens[i];
        asm volatile("st.relaxed.sys.global.u64 [%0], %1;" ::"l"(to + i), "l"((u64)number << 32 | token) : "memory");
        if (h.samplings) h.samplings[i].position += 1;
        if (i >= h.rows) continue;
        // What is no token ends its sequence, whose next step nobody will ask for: any row of the table will do.
        h.next[i] = token < h.vocab ? token : 0;
        h.positions[i] += 1, h.places[i] += 1;
    }
    __syncthreads();
    if (threadIdx.x == 0) *h.number = number + 1;
}
