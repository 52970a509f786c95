// From a matrix as its file has it to tiles (storage/codes.cuh) and their scales (storage/scales.cuh). Padding is zeros.
#include "storage/codes.cuh"
#include "storage/raw.cuh"

struct From {
    const u8 *data, *scales, *biases;
    u64 row_bytes, scale_bytes, bias_bytes;
    int rows, cols;
};

// One warp a tile. Codes that no fragment can express (NaN in e4m3) raise `odd`.
extern "C" __global__ void repack_codes(From from, u8 *tiles, int tiles_per_row, u32 *odd) {
    int lane = threadIdx.x & 31;
    u64 tile = ((u64)blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    int block = (int)(tile / tiles_per_row), first = (int)(tile % tiles_per_row) * 64;
    if (block * 16 >= from.rows) return;
    u32 words[BITS] = {};
#pragma unroll
    for (int high = 0; high < 2; high++) {
        int row = block * 16 + high * 8 + (lane >> 2);
        if (row >= from.rows) continue;
        const u8 *data = from.data + row * from.row_bytes;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            int j = i >> 2, s = i & 3, col = first + 16 * j + 4 * (lane & 3) + s;
            if (col >= from.cols) continue;
            u32 code = raw_code(data, col);
#if FLOATS && BITS == 8
            if ((code & 0x7f) == 0x7f) *odd = 1;
#endif
            put_code(words, j, s, high, code);
        }
    }
    store_codes(tiles + tile * TILE_BYTES, lane, words);
}

// One thread a scale of the padded matrix. Bytes that stand for NaN raise `odd`.
extern "C" __global__ void repack_scales(From from, Stored *to, u32 *supers, int blocks, int groups, u32 *odd) {
    u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (u64)blocks * groups * 16) return;
    int row = row_at_place((int)(i % 16)), group = (int)(i / 16 % groups), block = (int)(i / 16 / groups);
    int at = block * 16 + row;
    bool there = at < from.rows && group * GROUP < from.cols;
    const u8 *data = from.data + at * from.row_bytes;
    Stored zero = {};
    Stored stored = there ? raw_scale(data, from.scales + at * from.scale_bytes, from.biases + at * from.bias_bytes, group) : zero;
#if SCALES == BYTE_E8M0
    if (stored == 0xff) *odd = 1;
#elif SCALES == BYTE_E4M3
    if ((stored & 0x7f) == 0x7f) *odd = 1;
#endif
    to[i] = stored;
#if HAS_SUPERS
    const int per = 256 / GROUP;
    if (group % per == 0) {
        u64 place = ((u64)block * (groups / per) + group / per) * 16 + i % 16;
        supers[place] = there ? raw_super(data, group / per) : 0;
    }
#endif
}
