//! Where the codes of a bit stream lie, as constants for byte shuffles.

/// Patterns for codes of `BITS` bits, 32 of them. Half `h` of a unit takes its 16 codes from 16 loaded bytes that begin at
/// [`Unpack::base`]`(h)` of the unit; each 32-bit lane receives the two bytes that its code lies in.
pub(super) struct Unpack<const BITS: usize>;

/// A byte shuffle's index for "zero".
const ZERO: u8 = 0x80;

impl<const BITS: usize> Unpack<BITS> {
    /// For each half and lane, which bytes to take.
    pub(super) const BYTES: [[[u8; 4]; 16]; 2] = [Self::bytes(0), Self::bytes(1)];
    /// For each half and lane, how far to shift right afterwards.
    pub(super) const SHIFTS: [[u32; 16]; 2] = [Self::shifts(0), Self::shifts(1)];
    /// The bits of a code.
    pub(super) const MASK: i32 = (1 << BITS) - 1;
    /// Bytes of a unit.
    pub(super) const UNIT_BYTES: usize = 4 * BITS;

    /// Where the 16 loaded bytes of a half begin: so that no load reaches past the unit.
    pub(super) const fn base(half: usize) -> usize {
        if half == 0 || Self::UNIT_BYTES <= 16 { 0 } else { Self::UNIT_BYTES - 16 }
    }

    const fn bytes(half: usize) -> [[u8; 4]; 16] {
        let mut out = [[ZERO; 4]; 16];
        let mut lane = 0;
        while lane < 16 {
            let byte = (half * 16 + lane) * BITS / 8 - Self::base(half);
            out[lane][0] = byte as u8;
            if byte + 1 < 16 {
                out[lane][1] = byte as u8 + 1;
            }
            lane += 1;
        }
        out
    }

    const fn shifts(half: usize) -> [u32; 16] {
        let mut out = [0; 16];
        let mut lane = 0;
        while lane < 16 {
            out[lane] = ((half * 16 + lane) * BITS % 8) as u32;
            lane += 1;
        }
        out
    }
}
