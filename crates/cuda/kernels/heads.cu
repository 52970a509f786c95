// out[r, h] = [m_h x[r, h, ..from], x[r, h, from..]]: a matrix for each head among the rows of one weight, applied as it is or
// transposed. A block of threads takes one head of up to ROWS rows of activations and goes over the tiles of the head's matrix: a warp
// takes blocks of 16 rows, or, for the transposed product, tiles of 64 columns, so that each sum is one warp's.
//
// Shared memory: the coordinates that are multiplied, [ROWS][from, padded to whole tiles].
#include "weights.cuh"

#define ROWS 4
#define WARPS 8

struct HeadMatrices {
    int heads;
    // Rows of the weight for each head, where among them the matrix begins, and how many it has.
    int share, first, rows;
    // Coordinates that are copied behind the product.
    int rest;
};

extern "C" __global__ void __launch_bounds__(WARPS * 32)
    head_project(Tiles m, HeadMatrices of, const float *x, float *out, int rows) {
    extern __shared__ float shared[];
    let_next_begin();
    wait_for_previous();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3;
    int head = blockIdx.x, first_row = blockIdx.y * ROWS, have = min(ROWS, rows - first_row);
    int from = TRANSPOSED ? of.rows : m.cols, to = TRANSPOSED ? m.cols : of.rows;
    int stride = (from + 63) & ~63, from_dim = from + of.rest, to_dim = to + of.rest;
    for (int r = 0; r < have; r++) {
        const float *row = x + ((u64)(first_row + r) * of.heads + head) * from_dim;
        float *result = out + ((u64)(first_row + r) * of.heads + head) * to_dim;
        for (int i = threadIdx.x; i < stride; i += WARPS * 32) shared[r * stride + i] = i < from ? row[i] : 0.0f;
        for (int i = threadIdx.x; i < of.rest; i += WARPS * 32) result[to + i] = row[from + i];
    }
    __syncthreads();
    // The head's rows, and the blocks of 16 that hold them.
    int begin = head * of.share + of.first, end = begin + of.rows, tiles = tiles_per_row(m);
    int begin_block = begin >> 4, end_block = (end + 15) >> 4;
#if TRANSPOSED
    for (int tile = warp; tile < tiles; tile += WARPS) {
        float sums[ROWS][16] = {};
        for (int block = begin_block; block < end_block; block++) {
            LaneValues w = lane_values(m, block, tile, lane);
#pragma unroll
            for (int high = 0; high < 2; high++) {
                int i = block * 16 + high * 8 + g - begin;
                if (i < 0 || i >= of.rows) continue;
#pragma unroll
                for (int r = 0; r < ROWS; r++) {
                    if (r >= have) break;
                    float factor = shared[r * stride + i];
#pragma unroll
                    for (int c = 0; c < 16; c++) sums[r][c] = fmaf(w.of[high][c], factor, sums[r][c]);
                }
            }
        }
        __syncwarp();
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r >= have) break;
            float *result = out + ((u64)(first_row + r) * of.heads + head) * to_dim;
#pragma unroll
            for (int c = 0; c < 16; c++) {
                float sum = sums[r][c];
#pragma unroll
                for (int step = 4; step < 32; step <<= 1) sum += __shfl_xor_sync(FULL, sum, step);
                int col = tile * 64 + c / 4 * 16 + t * 4 + c % 4;
                if (g == 0 && col < to) result[col] = sum;
            }
        }
    }
#else
    for (int block = begin_block + warp; block < end_block; block += WARPS) {
        float sums[ROWS][2] = {};
        for (int tile = 0; tile < tiles; tile++) {
            LaneValues w = lane_values(m, block, tile, lane);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                if (r >= have) break;
#pragma unroll
                for (int c = 0; c < 16; c++) {
                    float factor = shared[r * stride + tile * 64 + c / 4 * 16 + t * 4 + c % 4];
                    sums[r][0] = fmaf(w.of[0][c], factor, sums[r][0]);
                    sums[r][1] = fmaf(w.of[1][c], factor, sums[r][1]);
                }
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            if (r >= have) break;
            float *result = out + ((u64)(first_row + r) * of.heads + head) * to_dim;
#pragma unroll
            for (int high = 0; high < 2; high++) {
                float sum = sums[r][high];
                sum += __shfl_xor_sync(FULL, sum, 1);
                sum += __shfl_xor_sync(FULL, sum, 2);
                int i = block * 16 + high * 8 + g - begin;
                if (t == 0 && i >= 0 && i < of.rows) result[i] = sum;
            }
        }
    }
#endif
}
