// The product of many rows of activations with rows of weights on the tensor cores: prompts. Both are f16, the activations divided
// by ROOM: three more bits than bf16 has, and what does not fit is infinite, which the logits show.
//
// A block computes ROWS by 128 of the product from pieces of 64 columns, which are copied STAGES ahead into shared memory. Pieces of
// 16 bytes are exchanged within their rows of 128 (place p of row r holds piece p ^ (r & 7)), so that neither the copies nor the loads
// of matrices meet in a bank. Columns are padded with zeros to whole pieces by those who make the operands.
#include "epilogue.cuh"
#include "norm.cuh"

#define WARPS_DOWN (ROWS >= 64 ? 2 : 1)
#define WARPS_ACROSS (8 / WARPS_DOWN)
#define TILES_DOWN (ROWS / WARPS_DOWN / 16)
#define TILES_ACROSS (128 / WARPS_ACROSS / 8)
#define STAGE_BYTES ((ROWS + 128) * 128)

INLINE u32 piece(int row, int at) { return row * 128 + ((at ^ (row & 7)) << 4); }

// Copies columns `k..k + 64` of `count` rows from `first` on.
INLINE void copy_rows(u32 to, const u16 *from, int first, int count, int rows, int stride, int k) {
    for (int i = threadIdx.x; i < count * 8; i += 256) {
        int row = i >> 3, at = i & 7;
        bool there = first + row < rows;
        copy_async(to + piece(row, at), from + (u64)(there ? first + row : 0) * stride + k + at * 8, there);
    }
}

extern "C" __global__ void __launch_bounds__(256, 2)
    gemm(const u16 *x, const u16 *w, Output to, int rows, int cols, int first_out, int outs) {
    extern __shared__ uint4 shared[];
    u32 base = shared_address(shared);
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    int down = warp / WARPS_ACROSS, across = warp % WARPS_ACROSS;
    int first_row = blockIdx.x * ROWS, first_col = blockIdx.y * 128, steps = cols / 64;
    float d[TILES_DOWN][TILES_ACROSS][4] = {};
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            copy_rows(base + s * STAGE_BYTES, x, first_row, ROWS, rows, cols, s * 64);
            copy_rows(base + s * STAGE_BYTES + ROWS * 128, w, first_col, 128, outs, cols, s * 64);
        }
        commit_copies();
    }
    for (int step = 0; step < steps; step++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        int ahead = step + STAGES - 1;
        if (ahead < steps) {
            u32 at = base + ahead % STAGES * STAGE_BYTES;
            copy_rows(at, x, first_row, ROWS, rows, cols, ahead * 64);
            copy_rows(at + ROWS * 128, w, first_col, 128, outs, cols, ahead * 64);
        }
        commit_copies();
        u32 xs = base + step % STAGES * STAGE_BYTES, ws = xs + ROWS * 128;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            u32 a[TILES_DOWN][4], b[TILES_ACROSS][2];
#pragma unroll
            for (int i = 0; i < TILES_DOWN; i++) {
                int row = (down * TILES_DOWN + i) * 16 + (lane & 15);
                load_matrices(a[i], xs + piece(row, 2 * k + (lane >> 4)));
            }
#pragma unroll
            for (int j = 0; j < TILES_ACROSS; j += 2) {
                u32 r[4];
                int row = (across * TILES_ACROSS + j) * 8 + (lane & 7) + ((lane >> 4) << 3);
                load_matrices(r, ws + piece(row, 2 * k + ((lane >> 3) & 1)));
                b[j][0] = r[0], b[j][1] = r[1], b[j + 1][0] = r[2], b[j + 1][1] = r[3];
            }
#pragma unroll
            for (int i = 0; i < TILES_DOWN; i++)
#pragma unroll
                for (int j = 0; j < TILES_ACROSS; j++)
                    mma_f16(d[i][j], a[i][0], a[i][1], a[i][2], a[i][3], b[j][0], b[j][1]);
        }
    }
#pragma unroll
    for (int i = 0; i < TILES_DOWN; i++)
#pragma unroll
        for (int j = 0; j < TILES_ACROSS; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int row = first_row + (down * TILES_DOWN + i) * 16 + (lane >> 2) + (e >> 1) * 8;
                int out = first_col + (across * TILES_ACROSS + j) * 8 + (lane & 3) * 2 + (e & 1);
                if (row < rows && out < outs) finish(to, row, first_out + out, d[i][j][e] * ROOM);
            }
}
