//! Plain Rust. Vectors are arrays of 8, which the compiler maps to the baseline's own vectors.

use half::{bf16, f16};

use super::{E2M1, Kernel, Simd};

#[derive(Clone, Copy)]
pub(super) struct Scalar;

#[derive(Clone, Copy)]
pub(super) struct Lut {
    scale: f32,
    bias: f32,
}

type V = [f32; 8];
type Wide = [V; 4];

/// `body` for each index below `N`, as an array.
macro_rules! each {
    ($n:expr, |$i:ident| $body:expr) => {{
        let mut out = [0.0f32; $n];
        let mut $i = 0;
        while $i < $n {
            out[$i] = $body;
            $i += 1;
        }
        out
    }};
}

/// 32 numbers, `body` giving each.
macro_rules! wide {
    (|$i:ident| $body:expr) => {{
        let mut out = [[0.0f32; 8]; 4];
        let mut $i = 0;
        while $i < 32 {
            out[$i / 8][$i % 8] = $body;
            $i += 1;
        }
        out
    }};
}

impl Simd for Scalar {
    type V = V;
    type Wide = Wide;
    type Lut = Lut;
    type Codes = [u8; 32];
    const LANES: usize = 8;
    const TILE: usize = 1;

    unsafe fn enter<K: Kernel>(args: &K::Args) {
        K::run::<Scalar>(args);
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> V {
        [x; 8]
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> V {
        p.cast::<V>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn load_first(p: *const f32, n: usize) -> V {
        each!(8, |i| if i < n { p.add(i).read_unaligned() } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store(p: *mut f32, v: V) {
        p.cast::<V>().write_unaligned(v);
    }
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, n: usize, v: V) {
        std::ptr::copy_nonoverlapping(v.as_ptr(), p, n);
    }
    #[inline(always)]
    unsafe fn add(a: V, b: V) -> V {
        each!(8, |i| a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: V, b: V) -> V {
        each!(8, |i| a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn div(a: V, b: V) -> V {
        each!(8, |i| a[i] / b[i])
    }
    /// Rounded twice: without the instruction, one rounding would be a call of the mathematics library.
    #[inline(always)]
    unsafe fn fma(a: V, b: V, c: V) -> V {
        each!(8, |i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    unsafe fn max(a: V, b: V) -> V {
        each!(8, |i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    unsafe fn min(a: V, b: V) -> V {
        each!(8, |i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    /// Adding and taking away 1.5 * 2^23 leaves no fraction; for `|v| < 2^22`, which is all that kernels round.
    #[inline(always)]
    unsafe fn round(v: V) -> V {
        const MAGIC: f32 = 12_582_912.0;
        each!(8, |i| (v[i] + MAGIC) - MAGIC)
    }
    #[inline(always)]
    unsafe fn scale_by_power(v: V, n: V) -> V {
        each!(8, |i| v[i] * f32::from_bits(((n[i] as i32).wrapping_add(127) as u32) << 23))
    }
    #[inline(always)]
    unsafe fn sum(v: V) -> f32 {
        ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
    #[inline(always)]
    unsafe fn part(wide: &Wide, i: usize) -> V {
        wide[i]
    }
    #[inline(always)]
    unsafe fn f32s(p: *const u8) -> Wide {
        p.cast::<Wide>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn f16s(p: *const u8) -> Wide {
        wide!(|i| half_at(p.add(2 * i)))
    }
    #[inline(always)]
    unsafe fn bf16s(p: *const u8) -> Wide {
        wide!(|i| bf16::from_bits(p.cast::<u16>().add(i).read_unaligned()).to_f32())
    }
    #[inline(always)]
    unsafe fn f16_vector(p: *const u8) -> V {
        each!(8, |i| half_at(p.add(2 * i)))
    }
    #[inline(always)]
    unsafe fn bf16_vector(p: *const u8) -> V {
        each!(8, |i| bf16::from_bits(p.cast::<u16>().add(i).read_unaligned()).to_f32())
    }
    #[inline(always)]
    unsafe fn half(p: *const u8) -> V {
        [half_at(p); 8]
    }
    #[inline(always)]
    unsafe fn lut(scale: V, bias: V) -> Lut {
        Lut { scale: scale[0], bias: bias[0] }
    }
    #[inline(always)]
    unsafe fn nibbles(p: *const u8, lut: &Lut) -> Wide {
        wide!(|i| number(u32::from(*p.add(i % 16) >> (i / 16 * 4) & 15), lut))
    }
    #[inline(always)]
    unsafe fn nibbles_fifth(p: *const u8, fifth: u32, lut: &Lut) -> Wide {
        wide!(|i| number(u32::from(*p.add(i % 16) >> (i / 16 * 4) & 15) | (fifth >> i & 1) << 4, lut))
    }
    #[inline(always)]
    unsafe fn codes<const BITS: usize>(p: *const u8, lut: &Lut) -> Wide {
        wide!(|i| {
            let (byte, shift) = (i * BITS / 8, i * BITS % 8);
            // A code that ends with its byte needs no other; the last byte has none.
            let high = if shift + BITS > 8 { *p.add(byte + 1) } else { 0 };
            number(u32::from(u16::from_le_bytes([*p.add(byte), high])) >> shift & ((1 << BITS) - 1), lut)
        })
    }
    #[inline(always)]
    unsafe fn bytes(p: *const u8, lut: &Lut) -> Wide {
        wide!(|i| number(u32::from(*p.add(i)), lut))
    }
    #[inline(always)]
    unsafe fn signed(p: *const u8, lut: &Lut) -> Wide {
        wide!(|i| lut.scale * f32::from(*p.add(i) as i8) + lut.bias)
    }
    #[inline(always)]
    unsafe fn e2m1(p: *const u8, first: V, second: V) -> Wide {
        wide!(|i| {
            let code = *p.add(i % 16) >> (i / 16 * 4) & 15;
            E2M1[code as usize] * if i % 16 < 8 { first[0] } else { second[0] }
        })
    }
    #[inline(always)]
    unsafe fn e4m3(p: *const u8, scale: V) -> Wide {
        wide!(|i| {
            let byte = u16::from(*p.add(i));
            let nan = if byte & 0x7f == 0x7f { 0x7e00 } else { 0 };
            // The same fields as those of a half, whose exponents are biased by 8 more.
            let half = f16::from_bits((byte & 0x80) << 8 | (byte & 0x7f) << 7 | nan);
            half.to_f32_const() * 256.0 * scale[0]
        })
    }
    #[inline(always)]
    unsafe fn cut(p: *const u8, shift: u32, mask: u8) -> [u8; 32] {
        let mut out = p.cast::<[u8; 32]>().read_unaligned();
        for byte in &mut out {
            *byte = *byte >> shift & mask;
        }
        out
    }
    #[inline(always)]
    unsafe fn join<const BY: i32>(low: [u8; 32], high: [u8; 32]) -> [u8; 32] {
        let mut out = low;
        for i in 0..32 {
            out[i] |= high[i] << BY;
        }
        out
    }
    #[inline(always)]
    unsafe fn numbers(codes: [u8; 32], scales: [V; 2], biases: [V; 2]) -> Wide {
        wide!(|i| scales[i / 16][0] * f32::from(codes[i]) + biases[i / 16][0])
    }
}

#[inline(always)]
fn number(code: u32, lut: &Lut) -> f32 {
    lut.scale * code as f32 + lut.bias
}

#[inline(always)]
unsafe fn half_at(p: *const u8) -> f32 {
    f16::from_bits(p.cast::<u16>().read_unaligned()).to_f32_const()
}
