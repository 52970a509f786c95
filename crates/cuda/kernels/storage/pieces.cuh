// Where the codes of a lane lie within its words. A lane has 16 registers of the tensor cores' operand, of two codes each: register
// q = 4 j + i belongs to product j; i is odd for row g + 8, and above 1 for the places s = 2 and 3.
//
// Integers want to stand at bit 0 of their half (row g) or ROW8_BITS (row g + 8), with the exponent above them: f16 has ten bits for
// them. Codes lie where a whole word, once shifted, brings several to such places. What is left of the words at their ends is pieced
// together: 3 bits are 16 codes in three halves of words, five codes in each and one of the three bits that are left.
#pragma once
#include "common.cuh"

// `count` bits of a code from bit `from` on, in a half of a word from bit `at` on; in that of its neighbour where `crossed`.
struct Piece {
    int word, at, from, count, crossed;
};

#if FLOATS || BITS == 8
#define ROW8_BITS 0
#elif BITS == 6
#define ROW8_BITS 4
#else
#define ROW8_BITS BITS
#endif

#if BITS == 3
#define MOST_PIECES 3
#elif BITS == 5 || BITS == 6 || FLOATS
#define MOST_PIECES 2
#else
#define MOST_PIECES 1
#endif

INLINE constexpr Piece piece_of(int q, int p) {
    // The n-th register of its row.
    const int n = q >> 1, odd = q & 1;
    const Piece none = {0, 0, 0, 0, 0};
#if FLOATS && BITS == 4
    // The sign, and the rest: where they belong in an f16, the same in the lower byte, and two in what is left.
    const int i = q & 3;
    if (p == 1) return {q >> 2, i == 0 ? 15 : i == 1 ? 7 : i == 2 ? 8 : 0, 3, 1, i == 3};
    return {q >> 2, i == 0 ? 9 : i == 1 ? 1 : i == 2 ? 4 : 12, 0, 3, 0};
#elif FLOATS
    // Where they belong in an f16, and what is left by that.
    const int word = 2 * (q >> 2) + odd, second = (q >> 1) & 1;
    if (p == 1) return {word, second ? 14 : 15, 7, 1, 0};
    return {word, second ? 0 : 7, 0, 7, 0};
#elif BITS == 8
    return p ? none : Piece{2 * (q >> 2) + odd, ((q >> 1) & 1) * 8, 0, 8, 0};
#elif BITS == 3
    if (n < 6) return p ? none : Piece{n >> 1, (n & 1) * 6 + odd * 3, 0, 3, 0};
    if (n == 6) return p ? none : Piece{odd, 12, 0, 3, 0};
    if (!odd) return p ? none : Piece{2, 12, 0, 3, 0};
    return {p, 15, p, 1, 0};
#elif BITS == 5
    if (n < 4) return p ? none : Piece{n, odd * 5, 0, 5, 0};
    // The third code of a word: of row g + 8 in the first two words, of row g in the others.
    if (n < 6) return p ? none : Piece{n - 4 + 2 * !odd, odd ? 11 : 10, 0, 5, 0};
    // Four bits from the last word and one that a word had left.
    if (p == 0) return {4, (n - 6 + 2 * odd) * 4, odd, 4, 0};
    return odd ? Piece{n - 4, 15, 0, 1, 0} : Piece{n - 6, 10, 4, 1, 0};
#elif BITS == 6
    if (!odd) return p ? none : n < 6 ? Piece{n, 0, 0, 6, 0} : Piece{n - 6, 10, 0, 6, 0};
    if (n < 4) return p ? none : Piece{n + 2, 10, 0, 6, 0};
    // Four bits in the midst of a word and two of another.
    if (p == 0) return {n - 4, 6, 2, 4, 0};
    return {n < 6 ? 4 : 5, n & 1 ? 8 : 6, 0, 2, 0};
#elif BITS == 4
    return p ? none : Piece{q >> 2, (q & 3) * 4, 0, 4, 0};
#else
    return p ? none : Piece{q >> 3, (q & 7) * 2, 0, 2, 0};
#endif
}
