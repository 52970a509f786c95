//! What the bytes of each storage mean, by vectors written by hand.

use ffai_checkpoint::{Affine, Block, CodeGroup, Float, Storage};
use half::{bf16, f16};

/// Code bytes whose low halves count up from 0 and whose high halves count down from 15.
fn nibbles() -> Vec<u8> {
    (0..16u8).map(|j| j | (15 - j) << 4).collect()
}

/// The 32 codes of [`nibbles`], in the order of the elements.
fn codes() -> impl Iterator<Item = f32> {
    (0..16).chain((0..16).rev()).map(|code| code as f32)
}

fn block(block: Block, parts: &[&[u8]]) -> Vec<f32> {
    let bytes = parts.concat();
    assert_eq!(bytes.len(), block.block_bytes());
    let mut out = vec![f32::NAN; block.block_len()];
    block.decode(&bytes, &mut out);
    out
}

fn half(value: f32) -> [u8; 2] {
    f16::from_f32(value).to_le_bytes()
}

/// The fifth bits of elements 0, 9 and 31.
const FIFTH: u32 = 1 | 1 << 9 | 1 << 31;

fn with_fifth() -> impl Iterator<Item = f32> {
    codes().enumerate().map(|(j, code)| if FIFTH >> j & 1 == 1 { code + 16.0 } else { code })
}

#[test]
fn plain_floats_are_little_endian() {
    let mut out = [0.0; 2];
    Float::F32.decode(&[[0, 0, 0x80, 0x3f], [0, 0, 0x20, 0xc1]].concat(), &mut out);
    assert_eq!(out, [1.0, -10.0]);
    Float::F16.decode(&[0x00, 0x3c, 0x01, 0x00], &mut out);
    assert_eq!(out, [1.0, 2f32.powi(-24)]);
    Float::BF16.decode(&[0x80, 0x3f, 0x49, 0xc0], &mut out);
    assert_eq!(out, [1.0, bf16::from_bits(0xc049).to_f32()]);
    assert_eq!(out[1], -3.140625);
}

#[test]
fn one_float_can_be_read_by_its_index() {
    assert_eq!(Float::F16.at(&[half(1.0), half(2.0), half(3.0)].concat(), 2), 3.0);
}

#[test]
fn q4_0_subtracts_eight() {
    let out = block(Block::Q4_0, &[&half(0.5), &nibbles()]);
    assert!(out.iter().copied().eq(codes().map(|q| 0.5 * (q - 8.0))), "{out:?}");
}

#[test]
fn q4_1_adds_the_minimum() {
    let out = block(Block::Q4_1, &[&half(0.25), &half(-3.0), &nibbles()]);
    assert!(out.iter().copied().eq(codes().map(|q| 0.25 * q - 3.0)), "{out:?}");
}

#[test]
fn q5_0_takes_its_fifth_bits_from_one_word() {
    let out = block(Block::Q5_0, &[&half(-2.0), &FIFTH.to_le_bytes(), &nibbles()]);
    assert!(out.iter().copied().eq(with_fifth().map(|q| -2.0 * (q - 16.0))), "{out:?}");
}

#[test]
fn q5_1_has_fifth_bits_and_a_minimum() {
    let out = block(Block::Q5_1, &[&half(0.5), &half(10.0), &FIFTH.to_le_bytes(), &nibbles()]);
    assert!(out.iter().copied().eq(with_fifth().map(|q| 0.5 * q + 10.0)), "{out:?}");
}

#[test]
fn q8_0_codes_are_signed() {
    let codes: Vec<u8> = (0..32u8).map(|j| j * 8 + 3).collect();
    let out = block(Block::Q8_0, &[&half(0.125), &codes]);
    assert!(out.iter().zip(&codes).all(|(out, &code)| *out == 0.125 * f32::from(code as i8)), "{out:?}");
    assert_eq!(block(Block::Q8_0, &[&half(1.0), &[0x80; 32]]), [-128.0; 32]);
}

#[test]
fn rows_of_blocks_are_whole_blocks() {
    assert_eq!(Storage::Block(Block::Q4_1).row_bytes(64), Some(40));
    assert_eq!(Storage::Block(Block::Q4_1).row_bytes(48), None);
}

#[test]
fn rows_of_affine_codes_are_whole_groups() {
    let storage = Storage::Affine(Affine { bits: 3, group: 64, scales: Float::F16 });
    assert_eq!(storage.row_bytes(128), Some(48));
    assert_eq!(storage.row_bytes(96), None);
}

#[test]
fn sizes_that_overflow_are_none() {
    assert_eq!(Storage::Dense(Float::F32).row_bytes(usize::MAX), None);
}

#[test]
fn storages_have_names_that_people_know() {
    let affine = Affine { bits: 4, group: 64, scales: Float::BF16 };
    assert_eq!(Storage::Affine(affine).to_string(), "affine 4-bit g64 (bf16 scales)");
    assert_eq!(Storage::Block(Block::Q4_1).to_string(), "Q4_1");
    assert_eq!(Storage::Dense(Float::BF16).to_string(), "bf16");
}

#[test]
fn blocks_are_groups_of_affine_codes() {
    let parts: [(Block, &[&[u8]]); 5] = [
        (Block::Q4_0, &[&half(-0.3), &nibbles()]),
        (Block::Q4_1, &[&half(0.7), &half(-3.1), &nibbles()]),
        (Block::Q5_0, &[&half(0.01), &FIFTH.to_le_bytes(), &nibbles()]),
        (Block::Q5_1, &[&half(-0.3), &half(0.9), &FIFTH.to_le_bytes(), &nibbles()]),
        (Block::Q8_0, &[&half(0.2), &[nibbles(), (240..=255).collect()].concat()]),
    ];
    let random = |len: usize| (0..len).map(|i| (i * 7919 % 251) as u8).collect::<Vec<_>>();
    let k = [Block::Q4K, Block::Q5K]
        .map(|block| (block, [half(0.11).to_vec(), half(0.07).to_vec(), random(block.block_bytes() - 4)].concat()));
    for (kind, bytes) in parts.map(|(kind, parts)| (kind, parts.concat())).into_iter().chain(k) {
        let two = [bytes.clone(), bytes].concat();
        let mut expected = vec![0.0; 2 * kind.block_len()];
        kind.decode(&two, &mut expected);
        let group = |g: CodeGroup| g.codes.map(|code| g.scale * f32::from(code) + g.bias);
        let got: Vec<f32> = kind.groups(&two).flat_map(group).collect();
        assert_eq!(got, expected, "{kind}");
        let most = kind.groups(&two).flat_map(|g| g.codes).max();
        assert!(most.is_some_and(|most| u32::from(most) < 1 << kind.code_bits().unwrap()), "{kind}");
    }
    assert_eq!(Block::Q6K.groups(&[0; 210]).count(), 0);
}

#[test]
fn elements_of_mxfp4_come_in_the_order_of_the_numbers() {
    let bytes = [vec![127], nibbles()].concat();
    let (elements, scale) = Block::mxfp4_elements(&bytes);
    let nth = |j: usize| elements[j / 2] >> (j % 2 * 4) & 15;
    assert!(codes().enumerate().all(|(j, code)| f32::from(nth(j)) == code));
    assert_eq!(scale, 127);
}
