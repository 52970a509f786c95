//! What the bytes of each storage mean, by vectors written by hand.

use ffai_checkpoint::{Affine, Block, Float, Storage};
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
