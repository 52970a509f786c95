//! AVX-512 F, BW, DQ, VL: 16 floats. Codes of up to five bits are looked up in registers that hold all their numbers.

use std::arch::x86_64::*;

use super::unpack::Unpack;
use super::{E2M1, Kernel, Simd};

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

/// The numbers of codes 0 to 15 and 16 to 31, and what makes them. Kernels use some of the fields; the compiler drops the rest.
#[derive(Clone, Copy)]
pub(crate) struct Lut {
    low: __m512,
    high: __m512,
    scale: __m512,
    bias: __m512,
}

impl Simd for Avx512 {
    type V = __m512;
    type Wide = [__m512; 2];
    type Lut = Lut;
    type Codes = __m256i;
    const LANES: usize = 16;
    const TILE: usize = 6;

    unsafe fn enter<K: Kernel>(args: &K::Args) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        unsafe fn inner<K: Kernel>(args: &K::Args) {
            K::run::<Avx512>(args);
        }
        inner::<K>(args);
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> __m512 {
        _mm512_maskz_loadu_ps(((1u32 << n) - 1) as u16, p)
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: __m512) {
        _mm512_storeu_ps(p, v);
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, n: usize, v: __m512) {
        _mm512_mask_storeu_ps(p, ((1u32 << n) - 1) as u16, v);
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        _mm512_div_ps(a, b)
    }
    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        _mm512_min_ps(a, b)
    }
    #[inline(always)]
    unsafe fn round(v: __m512) -> __m512 {
        _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v)
    }
    #[inline(always)]
    unsafe fn scale_by_power(v: __m512, n: __m512) -> __m512 {
        _mm512_scalef_ps(v, n)
    }

    /// Lanes 8 apart, then 4, 2 and 1.
    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        let eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }

    /// The additions of [`Simd::sum`], four vectors side by side.
    #[inline(always)]
    unsafe fn sum4(v: [__m512; 4]) -> [f32; 4] {
        let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(v[0], v[1]), _mm512_shuffle_f32x4::<0xEE>(v[0], v[1]));
        let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(v[2], v[3]), _mm512_shuffle_f32x4::<0xEE>(v[2], v[3]));
        let four = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xDD>(ab, cd));
        let two = _mm512_add_ps(four, _mm512_permute_ps::<0x4E>(four));
        let one = _mm512_add_ps(two, _mm512_permute_ps::<0xB1>(two));
        let first = _mm512_permutexvar_ps(_mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0), one);
        let mut out = [0.0; 4];
        _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(first));
        out
    }

    #[inline(always)]
    unsafe fn prefetch(p: *const u8) {
        _mm_prefetch::<_MM_HINT_T1>(p.cast());
    }
    #[inline(always)]
    unsafe fn part(wide: &[__m512; 2], i: usize) -> __m512 {
        wide[i]
    }
    #[inline(always)]
    unsafe fn f32s(p: *const u8) -> [__m512; 2] {
        [_mm512_loadu_ps(p.cast()), _mm512_loadu_ps(p.add(64).cast())]
    }
    #[inline(always)]
    unsafe fn f16s(p: *const u8) -> [__m512; 2] {
        [_mm512_cvtph_ps(_mm256_loadu_si256(p.cast())), _mm512_cvtph_ps(_mm256_loadu_si256(p.add(32).cast()))]
    }
    #[inline(always)]
    unsafe fn bf16s(p: *const u8) -> [__m512; 2] {
        [upper_half(_mm256_loadu_si256(p.cast())), upper_half(_mm256_loadu_si256(p.add(32).cast()))]
    }
    #[inline(always)]
    unsafe fn f16_vector(p: *const u8) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn bf16_vector(p: *const u8) -> __m512 {
        upper_half(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn half(p: *const u8) -> __m512 {
        _mm512_cvtph_ps(_mm256_set1_epi16(p.cast::<i16>().read_unaligned()))
    }

    #[inline(always)]
    unsafe fn lut(scale: __m512, bias: __m512) -> Lut {
        let low = _mm512_set_ps(15., 14., 13., 12., 11., 10., 9., 8., 7., 6., 5., 4., 3., 2., 1., 0.);
        let high = _mm512_set_ps(31., 30., 29., 28., 27., 26., 25., 24., 23., 22., 21., 20., 19., 18., 17., 16.);
        Lut { low: _mm512_fmadd_ps(scale, low, bias), high: _mm512_fmadd_ps(scale, high, bias), scale, bias }
    }

    /// A look-up reads the low four bits of its index, so the low halves need no mask.
    #[inline(always)]
    unsafe fn nibbles(p: *const u8, lut: &Lut) -> [__m512; 2] {
        let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
        [_mm512_permutexvar_ps(codes, lut.low), _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(codes), lut.low)]
    }
    #[inline(always)]
    unsafe fn nibbles_fifth(p: *const u8, fifth: u32, lut: &Lut) -> [__m512; 2] {
        let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
        let above = _mm512_srli_epi32::<4>(codes);
        let low = [_mm512_permutexvar_ps(codes, lut.low), _mm512_permutexvar_ps(above, lut.low)];
        [
            _mm512_mask_permutexvar_ps(low[0], fifth as u16, codes, lut.high),
            _mm512_mask_permutexvar_ps(low[1], (fifth >> 16) as u16, above, lut.high),
        ]
    }
    #[inline(always)]
    unsafe fn codes<const BITS: usize>(p: *const u8, lut: &Lut) -> [__m512; 2] {
        let first = if Unpack::<BITS>::UNIT_BYTES == 8 {
            _mm_set1_epi64x(p.cast::<i64>().read_unaligned())
        } else if Unpack::<BITS>::UNIT_BYTES < 16 {
            _mm_maskz_loadu_epi8(((1u32 << Unpack::<BITS>::UNIT_BYTES) - 1) as u16, p.cast())
        } else {
            _mm_loadu_si128(p.cast())
        };
        let base = Unpack::<BITS>::base(1);
        let second = if base == 0 { first } else { _mm_loadu_si128(p.add(base).cast()) };
        [look_up::<BITS>(unpack::<BITS, 0>(first), lut), look_up::<BITS>(unpack::<BITS, 1>(second), lut)]
    }
    #[inline(always)]
    unsafe fn bytes(p: *const u8, lut: &Lut) -> [__m512; 2] {
        [
            scaled(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())), lut),
            scaled(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.add(16).cast())), lut),
        ]
    }
    #[inline(always)]
    unsafe fn signed(p: *const u8, lut: &Lut) -> [__m512; 2] {
        [
            scaled(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())), lut),
            scaled(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.add(16).cast())), lut),
        ]
    }
    #[inline(always)]
    unsafe fn e2m1(p: *const u8, first: __m512, second: __m512) -> [__m512; 2] {
        let codes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
        let scales = _mm512_mask_mov_ps(first, 0xFF00, second);
        let table = _mm512_loadu_ps(E2M1.as_ptr());
        [
            _mm512_mul_ps(scales, _mm512_permutexvar_ps(codes, table)),
            _mm512_mul_ps(scales, _mm512_permutexvar_ps(_mm512_srli_epi32::<4>(codes), table)),
        ]
    }
    #[inline(always)]
    unsafe fn e4m3(p: *const u8, scale: __m512) -> [__m512; 2] {
        [e4m3_times(_mm_loadu_si128(p.cast()), scale), e4m3_times(_mm_loadu_si128(p.add(16).cast()), scale)]
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
    unsafe fn numbers(codes: __m256i, scales: [__m512; 2], biases: [__m512; 2]) -> [__m512; 2] {
        let low = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_castsi256_si128(codes)));
        let high = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm256_extracti128_si256::<1>(codes)));
        [_mm512_fmadd_ps(scales[0], low, biases[0]), _mm512_fmadd_ps(scales[1], high, biases[1])]
    }
}

#[inline(always)]
unsafe fn upper_half(v: __m256i) -> __m512 {
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v)))
}

#[inline(always)]
unsafe fn unpack<const BITS: usize, const HALF: usize>(stream: __m128i) -> __m512i {
    let pattern = _mm512_loadu_si512(Unpack::<BITS>::BYTES[HALF].as_ptr().cast());
    let shifts = _mm512_loadu_si512(Unpack::<BITS>::SHIFTS[HALF].as_ptr().cast());
    // Says that no shift passes 31, which spares a choice per shift.
    let shifts = _mm512_and_si512(shifts, _mm512_set1_epi32(7));
    let bytes = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(stream), pattern);
    _mm512_and_si512(_mm512_srlv_epi32(bytes, shifts), _mm512_set1_epi32(Unpack::<BITS>::MASK))
}

#[inline(always)]
unsafe fn look_up<const BITS: usize>(codes: __m512i, lut: &Lut) -> __m512 {
    if BITS <= 4 {
        _mm512_permutexvar_ps(codes, lut.low)
    } else if BITS == 5 {
        _mm512_permutex2var_ps(lut.low, codes, lut.high)
    } else {
        scaled(codes, lut)
    }
}

#[inline(always)]
unsafe fn scaled(codes: __m512i, lut: &Lut) -> __m512 {
    _mm512_fmadd_ps(lut.scale, _mm512_cvtepi32_ps(codes), lut.bias)
}

/// 16 bytes as halves: the same fields, but for exponents that are biased by 8 more.
#[inline(always)]
unsafe fn e4m3_times(bytes: __m128i, scale: __m512) -> __m512 {
    let wide = _mm256_slli_epi16::<8>(_mm256_cvtepu8_epi16(bytes));
    let half = _mm256_and_si256(_mm256_srai_epi16::<1>(wide), _mm256_set1_epi16(0xBFFFu16 as i16));
    let size = _mm256_and_si256(wide, _mm256_set1_epi16(0x7F00));
    let nan = _mm256_and_si256(_mm256_cmpeq_epi16(size, _mm256_set1_epi16(0x7F00)), _mm256_set1_epi16(0x7E00));
    _mm512_mul_ps(scale, _mm512_mul_ps(_mm512_cvtph_ps(_mm256_or_si256(half, nan)), _mm512_set1_ps(256.0)))
}
