// Causal convolutions of each channel by itself, by KERNEL taps. A thread takes one channel of a tile of rows of one sequence. The part of the
// slot holds the last KERNEL - 1 inputs, [KERNEL - 1][channels], the oldest first; only the thread that has a sequence's first rows
// reads and writes it.
#include "recurrent.cuh"

// What a convolution without an activation has.
#define ACT_NONE -1

// Rows of one sequence that stand next to each other in the step: at least KERNEL - 1 unless the sequence has fewer.
struct RowTile {
    u32 seq, first, rows, place;
};

struct Conv {
    const float *x;
    // [KERNEL][channels]
    const float *taps;
    // Or null.
    const float *bias;
    float *out;
    int channels;
    Act act;
};

extern "C" __global__ void __launch_bounds__(128)
    conv(const __grid_constant__ Conv op, SlotPart part, const Sequence *seqs, const RowTile *tiles) {
    let_next_begin();
    RowTile tile = tiles[blockIdx.y];
    Sequence seq = seqs[tile.seq];
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    bool there = channel < op.channels, begins = (int)tile.first == seq.first;
    float taps[KERNEL], window[KERNEL] = {}, bias = 0.0f;
    const float *before = kept_by(part, seq, channel);
    if (there) {
#pragma unroll
        for (int j = 0; j < KERNEL; j++) taps[j] = op.taps[(u64)j * op.channels + channel];
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++)
            if (begins && before) window[j] = before[(u64)j * op.channels];
        if (op.bias) bias = op.bias[channel];
    }
    wait_for_previous();
    if (!there) return;
    const float *__restrict__ x = op.x + channel;
    float *__restrict__ out = op.out + channel;
    if (!begins) {
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++) window[j] = x[(u64)(tile.first - (KERNEL - 1) + j) * op.channels];
    }
#pragma unroll 4
    for (int r = 0; r < (int)tile.rows; r++) {
        u64 row = (u64)(tile.first + r) * op.channels;
        window[KERNEL - 1] = x[row];
        float sum = bias;
#pragma unroll
        for (int j = 0; j < KERNEL; j++) sum = fmaf(taps[j], window[j], sum);
        out[row] = op.act.kind == ACT_NONE ? sum : activate(op.act, sum);
#pragma unroll
        for (int j = 0; j < KERNEL - 1; j++) window[j] = window[j + 1];
    }
    if (!begins) return;
    float *after = place_of(part, seq, channel);
#pragma unroll
    for (int j = 0; j < KERNEL - 1; j++) {
        // A sequence of more rows than the tile's has all of its last inputs among them.
        bool elsewhere = (int)tile.rows < seq.rows;
        after[(u64)j * op.channels] = elsewhere ? x[(u64)(seq.first + seq.rows - (KERNEL - 1) + j) * op.channels] : window[j];
    }
}
