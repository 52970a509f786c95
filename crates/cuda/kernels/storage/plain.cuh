// f32 numbers, row after row, as the file has them.
#pragma once
#include "common.cuh"

INLINE float plain_value(const u8 *rows, int cols, int row, int col) { return ((const float *)rows)[(u64)row * cols + col]; }
