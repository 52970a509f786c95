// Causal convolutions of each channel by itself, by KERNEL taps. A thread takes one channel of ROWS rows of one sequence. The part of the
// slot holds the last KERNEL - 1 inputs, [KERNEL - 1][channels], the oldest first; only the thread that has a sequence's first rows
// reads and writes it, so ROWS is at least KERNEL - 1.
#include "recurrent.cuh"

// What a convolution without an activation has.
#define ACT_NONE -1


// Rows of one sequence that stand next to each other in the step; all but a sequence's last tile are full, of some multiple of ROWS.
struct RowTile {
    int seq, first, rows, place;
};

struct Conv {
    SlotPart part;
    const float *x;
    // [KERNEL][channels]
    const float *taps;
    // Or null.
    const float *bias;
    float *out;
    int channels;
    Act act;
};

// Several of as many taps that read nothing of each other, and where their blocks begin.
struct Convs {
    Conv op[MOST];
    int begin[MOST];
};

extern "C" __global__ void __launch_bounds__(128) conv(const __grid_constant__ Convs all, const Sequence *seqs, const RowTile *tiles) {
    let_next_begin();
    int which = 0;
#pragma unroll
    for (int i = 1; i < MOST; i++)
        if ((int)blockIdx.x >= all.begin[i]) which = i;
    const Conv &op = all.op[which];
    RowTile tile = tiles[blockIdx.y];
    Sequence seq = seqs[tile.seq];
    int channel = ((int)blockIdx.x - all.begin[which]) * blockDim.x + threadIdx.x, first = tile.first + blockIdx.z * ROWS;
    int rows = min(ROWS, tile.rows - (int)blockIdx.z * ROWS);
    bool there = channel < op.channels && rows > 0, begins = first == seq.first;
    float taps[KERNEL], window[KERNEL - 1 + ROWS], bias = 0.0f;
    const float *before = kept_by(op.part, seq, channel);
    if (there) {
#pragma unroll
        for (int j = 0; j < KERNEL; j++) taps[j] = op.taps[(u64)j * op.channels + channel];
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++) window[j] = begins && before ? before[(u64)j * op.channels] : 0.0f;
        if (op.bias) bias = op.bias[channel];
    }
    wait_for_previous();
    if (!there) return;
    const float *x = op.x + channel;
    if (!begins) {
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++) window[j] = x[(u64)(first - (KERNEL - 1) + j) * op.channels];
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        window[KERNEL - 1 + r] = r < rows ? x[(u64)(first + r) * op.channels] : 0.0f;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        // One row skips the code of all others.
        if (r >= rows) break;
        float sum = bias;
#pragma unroll
        for (int j = 0; j < KERNEL; j++) sum = fmaf(taps[j], window[r + j], sum);
        op.out[(u64)(first + r) * op.channels + channel] = op.act.kind == ACT_NONE ? sum : activate(op.act, sum);
    }
    if (!begins) return;
    // The last inputs of all: each of the sequence's last rows drives out the oldest.
#pragma unroll
    for (int i = 0; i < KERNEL - 1; i++) {
        int row = seq.rows - (KERNEL - 1) + i;
        if (row < 0) continue;
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++) window[j] = j < KERNEL - 2 ? window[j + 1] : x[(u64)(seq.first + row) * op.channels];
    }
    float *after = place_of(op.part, seq, channel);
#pragma unroll
    for (int j = 0; j < KERNEL - 1; j++) after[(u64)j * op.channels] = window[j];
}
