//! AVX2 with FMA and F16C: 8 floats. Codes become integers, floats, numbers.

use std::arch::x86_64::*;

use super::unpack::Unpack;
use super::{E2M1, Kernel, Simd};

#[derive(Clone, Copy)]
pub(super) struct Avx2;

#[derive(Clone, Copy)]
pub(super) struct Lut {
    scale: __m256,
    bias: __m256,
}

/// Masks of the first `n` lanes begin at `8 - n`.
const FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Simd for Avx2 {
    type V = __m256;
    type Wide = [__m256; 4];
    type Lut = Lut;
    type Codes = __m256i;
    const LANES: usize = 8;
    const TILE: usize = 3;

    unsafe fn enter<K: Kernel>(args: &K::Args) {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn inner<K: Kernel>(args: &K::Args) {
            K::run::<Avx2>(args);
        }
        inner::<K>(args);
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        _mm256_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m256 {
        _mm256_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> __m256 {
        _mm256_maskload_ps(p, mask(n))
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m256) {
        _mm256_storeu_ps(p, v);
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, n: usize, v: __m256) {
        _mm256_maskstore_ps(p, mask(n), v);
    }
    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        _mm256_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        _mm256_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m256, b: __m256) -> __m256 {
        _mm256_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        _mm256_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        _mm256_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        _mm256_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn round(v: __m256) -> __m256 {
        _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v)
    }
    #[inline(always)]
    unsafe fn scale_by_power(v: __m256, n: __m256) -> __m256 {
        let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        _mm256_mul_ps(v, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
    }

    /// Lanes 4 apart, then 2 and 1.
    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        let four = four(v);
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    /// The additions of [`Simd::sum`], four vectors side by side.
    #[inline(always)]
    unsafe fn sum4(v: [__m256; 4]) -> [f32; 4] {
        let [a, b, c, d] = [four(v[0]), four(v[1]), four(v[2]), four(v[3])];
        let ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
        let cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
        let mut out = [0.0; 4];
        _mm_storeu_ps(out.as_mut_ptr(), _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab)));
        out
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[inline(always)]
    unsafe fn part(wide: &[__m256; 4], i: usize) -> __m256 {
        wide[i]
    }
    #[inline(always)]
    unsafe fn f32s(p: *const u8) -> [__m256; 4] {
        let p = p.cast::<f32>();
        [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)), _mm256_loadu_ps(p.add(16)), _mm256_loadu_ps(p.add(24))]
    }
    #[inline(always)]
    unsafe fn f16s(p: *const u8) -> [__m256; 4] {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(16).cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(32).cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(48).cast())),
        ]
    }
    #[inline(always)]
    unsafe fn bf16s(p: *const u8) -> [__m256; 4] {
        [upper_half(p), upper_half(p.add(16)), upper_half(p.add(32)), upper_half(p.add(48))]
    }
    #[inline(always)]
    unsafe fn f16_vector(p: *const u8) -> __m256 {
        _mm256_cvtph_ps(_mm_loadu_si128(p.cast()))
    }
    #[inline(always)]
    unsafe fn bf16_vector(p: *const u8) -> __m256 {
        upper_half(p)
    }
    #[inline(always)]
    unsafe fn half(p: *const u8) -> __m256 {
        _mm256_cvtph_ps(_mm_set1_epi16(p.cast::<i16>().read_unaligned()))
    }

    #[inline(always)]
    unsafe fn lut(scale: __m256, bias: __m256) -> Lut {
        Lut { scale, bias }
    }
    #[inline(always)]
    unsafe fn nibbles(p: *const u8, lut: &Lut) -> [__m256; 4] {
        let [a, b, c, d] = halves(p);
        [scaled(a, lut), scaled(b, lut), scaled(c, lut), scaled(d, lut)]
    }
    #[inline(always)]
    unsafe fn nibbles_fifth(p: *const u8, fifth: u32, lut: &Lut) -> [__m256; 4] {
        let [a, b, c, d] = halves(p);
        [
            scaled(with_fifth(a, fifth), lut),
            scaled(with_fifth(b, fifth >> 8), lut),
            scaled(with_fifth(c, fifth >> 16), lut),
            scaled(with_fifth(d, fifth >> 24), lut),
        ]
    }
    #[inline(always)]
    unsafe fn codes<const BITS: usize>(p: *const u8, lut: &Lut) -> [__m256; 4] {
        let first = if Unpack::<BITS>::UNIT_BYTES < 16 {
            let words = (Unpack::<BITS>::UNIT_BYTES / 4) as i32;
            _mm_maskload_epi32(p.cast(), _mm_cmpgt_epi32(_mm_set1_epi32(words), _mm_set_epi32(3, 2, 1, 0)))
        } else {
            _mm_loadu_si128(p.cast())
        };
        let base = Unpack::<BITS>::base(1);
        let second = if base == 0 { first } else { _mm_loadu_si128(p.add(base).cast()) };
        [
            scaled(unpack::<BITS, 0>(first), lut),
            scaled(unpack::<BITS, 1>(first), lut),
            scaled(unpack::<BITS, 2>(second), lut),
            scaled(unpack::<BITS, 3>(second), lut),
        ]
    }
    #[inline(always)]
    unsafe fn bytes(p: *const u8, lut: &Lut) -> [__m256; 4] {
        [
            scaled(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())), lut),
            scaled(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8).cast())), lut),
            scaled(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(16).cast())), lut),
            scaled(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(24).cast())), lut),
        ]
    }
    #[inline(always)]
    unsafe fn signed(p: *const u8, lut: &Lut) -> [__m256; 4] {
        [
            scaled(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())), lut),
            scaled(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(8).cast())), lut),
            scaled(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(16).cast())), lut),
            scaled(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.add(24).cast())), lut),
        ]
    }
    #[inline(always)]
    unsafe fn e2m1(p: *const u8, first: __m256, second: __m256) -> [__m256; 4] {
        let [a, b, c, d] = halves(p);
        [e2m1_times(a, first), e2m1_times(b, second), e2m1_times(c, first), e2m1_times(d, second)]
    }
    #[inline(always)]
    unsafe fn e4m3(p: *const u8, scale: __m256) -> [__m256; 4] {
        [
            e4m3_times(_mm_loadl_epi64(p.cast()), scale),
            e4m3_times(_mm_loadl_epi64(p.add(8).cast()), scale),
            e4m3_times(_mm_loadl_epi64(p.add(16).cast()), scale),
            e4m3_times(_mm_loadl_epi64(p.add(24).cast()), scale),
        ]
    }
    #[inline(always)]
    unsafe fn cut(p: *const u8, shift: u32, mask: u8) -> __m256i {
        let shifted = _mm256_srl_epi16(_mm256_loadu_si256(p.cast()), _mm_cvtsi32_si128(shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(mask as i8))
    }
    #[inline(always)]
    unsafe fn join<const BY: i32>(low: __m256i, high: __m256i) -> __m256i {
        _mm256_or_si256(low, _mm256_slli_epi16::<BY>(high))
    }
    #[inline(always)]
    unsafe fn numbers(codes: __m256i, scales: [__m256; 2], biases: [__m256; 2]) -> [__m256; 4] {
        let luts = [Lut { scale: scales[0], bias: biases[0] }, Lut { scale: scales[1], bias: biases[1] }];
        let (a, b) = (_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
        [
            scaled(_mm256_cvtepu8_epi32(a), &luts[0]),
            scaled(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(a)), &luts[0]),
            scaled(_mm256_cvtepu8_epi32(b), &luts[1]),
            scaled(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(b)), &luts[1]),
        ]
    }
}

#[inline(always)]
unsafe fn four(v: __m256) -> __m128 {
    _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v))
}

#[inline(always)]
unsafe fn mask(n: usize) -> __m256i {
    _mm256_loadu_si256(FIRST.as_ptr().add(8 - n).cast())
}

#[inline(always)]
unsafe fn upper_half(p: *const u8) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()))))
}

/// The low halves of 16 bytes, then the high halves.
#[inline(always)]
unsafe fn halves(p: *const u8) -> [__m256i; 4] {
    let a = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()));
    let b = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8).cast()));
    let low = _mm256_set1_epi32(15);
    [_mm256_and_si256(a, low), _mm256_and_si256(b, low), _mm256_srli_epi32::<4>(a), _mm256_srli_epi32::<4>(b)]
}

/// The low 8 bits of `fifth`, one a lane, as bit 4 of the codes.
#[inline(always)]
unsafe fn with_fifth(codes: __m256i, fifth: u32) -> __m256i {
    let bits = _mm256_srlv_epi32(_mm256_set1_epi32(fifth as i32), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    let bit = _mm256_slli_epi32::<4>(_mm256_and_si256(bits, _mm256_set1_epi32(1)));
    _mm256_or_si256(codes, bit)
}

/// Codes `8 * QUARTER..` of a unit.
#[inline(always)]
unsafe fn unpack<const BITS: usize, const QUARTER: usize>(stream: __m128i) -> __m256i {
    let pattern = _mm256_loadu_si256(Unpack::<BITS>::BYTES[QUARTER / 2].as_ptr().add(QUARTER % 2 * 8).cast());
    let shifts = _mm256_loadu_si256(Unpack::<BITS>::SHIFTS[QUARTER / 2].as_ptr().add(QUARTER % 2 * 8).cast());
    // Says that no shift passes 31, which spares a choice per shift.
    let shifts = _mm256_and_si256(shifts, _mm256_set1_epi32(7));
    let bytes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(stream), pattern);
    _mm256_and_si256(_mm256_srlv_epi32(bytes, shifts), _mm256_set1_epi32(Unpack::<BITS>::MASK))
}

#[inline(always)]
unsafe fn scaled(codes: __m256i, lut: &Lut) -> __m256 {
    _mm256_fmadd_ps(lut.scale, _mm256_cvtepi32_ps(codes), lut.bias)
}

/// A look-up reads the low three bits of its index; the fourth is the sign.
#[inline(always)]
unsafe fn e2m1_times(codes: __m256i, scale: __m256) -> __m256 {
    let size = _mm256_permutevar8x32_ps(_mm256_loadu_ps(E2M1.as_ptr()), codes);
    let sign = _mm256_slli_epi32::<31>(_mm256_srli_epi32::<3>(codes));
    _mm256_mul_ps(scale, _mm256_xor_ps(size, _mm256_castsi256_ps(sign)))
}

/// Eight bytes as halves: the same fields, but for exponents that are biased by 8 more.
#[inline(always)]
unsafe fn e4m3_times(bytes: __m128i, scale: __m256) -> __m256 {
    let wide = _mm_slli_epi16::<8>(_mm_cvtepu8_epi16(bytes));
    let half = _mm_and_si128(_mm_srai_epi16::<1>(wide), _mm_set1_epi16(0xBFFFu16 as i16));
    let size = _mm_and_si128(wide, _mm_set1_epi16(0x7F00));
    let nan = _mm_and_si128(_mm_cmpeq_epi16(size, _mm_set1_epi16(0x7F00)), _mm_set1_epi16(0x7E00));
    let number = _mm256_mul_ps(_mm256_cvtph_ps(_mm_or_si128(half, nan)), _mm256_set1_ps(256.0));
    _mm256_mul_ps(scale, number)
}
