//! Tensors: views of entries, and every way in which entries can disagree.

use std::path::Path;

use ffai_checkpoint::{Affine, Dtype, Entry, Error, Float, Int, Microscaled, Storage, Tensor};
use half::bf16;
use proptest::prelude::*;

fn entry(name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Entry {
    Entry {
        name: name.into(),
        dtype,
        shape: shape.to_vec(),
        bytes: bytes.into(),
        file: Path::new("model.safetensors").into(),
    }
}

fn f32s(name: &str, shape: &[usize], values: &[f32]) -> Entry {
    entry(name, Dtype::Float(Float::F32), shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn bf16s(name: &str, shape: &[usize], values: &[f32]) -> Entry {
    let bytes = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
    entry(name, Dtype::Float(Float::BF16), shape, bytes)
}

/// Rows of codes as one bit stream each, least significant bit first, built bit by bit.
fn pack(bits: u8, cols: usize, codes: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in codes.chunks(cols) {
        let stream: Vec<bool> = row.iter().flat_map(|code| (0..bits).map(move |bit| code >> bit & 1 == 1)).collect();
        bytes.extend(stream.chunks(8).map(|byte| byte.iter().rev().fold(0, |sum, &bit| sum << 1 | u8::from(bit))));
    }
    bytes
}

fn codes_entry(bits: u8, rows: usize, cols: usize, codes: &[u8]) -> Entry {
    let words = cols * usize::from(bits) / 32;
    entry("w.weight", Dtype::Int(Int::U32), &[rows, words], pack(bits, cols, codes))
}

fn zeros(bits: u8, rows: usize, cols: usize) -> Entry {
    codes_entry(bits, rows, cols, &vec![0; rows * cols])
}

fn parts(name: &str, rows: usize, groups: usize) -> Entry {
    f32s(name, &[rows, groups], &vec![1.0; rows * groups])
}

#[test]
fn a_vector_is_one_row() {
    let tensor = Tensor::dense(&f32s("norm.weight", &[3], &[1.0, 2.0, 3.0])).unwrap();
    assert_eq!((tensor.rows(), tensor.cols(), tensor.shape()), (1, 3, [3].as_slice()));
    assert_eq!(tensor.to_f32(), [1.0, 2.0, 3.0]);
}

#[test]
fn a_scalar_is_one_number() {
    assert_eq!(Tensor::dense(&f32s("scale", &[], &[7.0])).unwrap().to_f32(), [7.0]);
}

#[test]
fn a_stack_of_experts_is_rows_under_each_other() {
    let tensor = Tensor::dense(&f32s("experts", &[2, 2, 1], &[1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!((tensor.rows(), tensor.cols(), tensor.shape()), (4, 1, [2, 2, 1].as_slice()));
}

#[test]
fn a_range_of_rows_shares_the_bytes() {
    let tensor = Tensor::dense(&f32s("qkv", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])).unwrap();
    let part = tensor.rows_range(1..3);
    assert_eq!((part.rows(), part.shape(), part.to_f32()), (2, [2, 2].as_slice(), vec![3.0, 4.0, 5.0, 6.0]));
    assert_eq!(part.data().as_ptr(), tensor.data()[8..].as_ptr());
    assert_eq!(part.rows_range(1..2).to_f32(), [5.0, 6.0]);
}

#[test]
fn a_range_of_affine_rows_takes_its_scales_along() {
    let codes: Vec<u8> = (0..96).map(|code| code % 4).collect();
    let scales = f32s("w.scales", &[3, 1], &[1.0, 2.0, 3.0]);
    let biases = f32s("w.biases", &[3, 1], &[10.0, 20.0, 30.0]);
    let tensor = Tensor::affine(&codes_entry(2, 3, 32, &codes), &scales, &biases, 32).unwrap();
    assert_eq!(tensor.rows_range(1..3).to_f32(), tensor.to_f32()[32..]);
    assert_eq!(tensor.rows_range(2..3).scales(), 3f32.to_le_bytes());
}

#[test]
fn tensors_can_be_made_of_numbers() {
    let tensor = Tensor::from_f32("made", 2, 2, vec![1.0, 2.0, 3.0, 4.0]);
    assert_eq!((tensor.name(), tensor.to_f32()), ("made", vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!((tensor.row_bytes(), tensor.bytes_len()), (8, 16));
}

#[test]
fn codes_of_three_bits_straddle_bytes() {
    // Codes 0..7 as one stream: 0b111_110_101_100_011_010_001_000 = 0xfac688.
    let row: Vec<u8> = [0x88, 0xc6, 0xfa].repeat(4);
    let weight = entry("w.weight", Dtype::Int(Int::U32), &[1, 3], row);
    let (scales, biases) = (bf16s("w.scales", &[1, 1], &[0.5]), bf16s("w.biases", &[1, 1], &[-1.0]));
    let tensor = Tensor::affine(&weight, &scales, &biases, 32).unwrap();
    assert_eq!(tensor.storage(), Storage::Affine(Affine { bits: 3, group: 32, scales: Float::BF16 }));
    assert_eq!(tensor.to_f32()[..9], [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, -1.0]);
    assert_eq!((tensor.shape(), tensor.bytes_len()), ([1, 32].as_slice(), 12 + 4));
}

#[test]
fn every_width_and_group_is_derived_from_the_shapes() {
    for bits in Affine::BITS {
        for group in Affine::GROUPS {
            let groups = 256 / group as usize;
            let (scales, biases) = (parts("w.scales", 2, groups), parts("w.biases", 2, groups));
            let tensor = Tensor::affine(&zeros(bits, 2, 256), &scales, &biases, 256).unwrap();
            assert_eq!(tensor.storage(), Storage::Affine(Affine { bits, group, scales: Float::F32 }));
        }
    }
}

proptest! {
    #[test]
    fn packed_codes_come_back(width in 0usize..6, rows in 1usize..4, groups in 1usize..4, seed in any::<u64>()) {
        let bits = Affine::BITS[width];
        let cols = groups * 32;
        let code = |i: usize| (seed.rotate_left(i as u32 % 64).wrapping_mul(i as u64 + 1) >> 32) as u8 & ((1u16 << bits) - 1) as u8;
        let codes: Vec<u8> = (0..rows * cols).map(code).collect();
        let scales: Vec<f32> = (0..rows * groups).map(|i| i as f32 + 1.0).collect();
        let biases: Vec<f32> = scales.iter().map(|scale| -scale * 100.0).collect();
        let tensor = Tensor::affine(
            &codes_entry(bits, rows, cols, &codes),
            &f32s("w.scales", &[rows, groups], &scales),
            &f32s("w.biases", &[rows, groups], &biases),
            cols,
        ).unwrap();
        for (i, value) in tensor.to_f32().into_iter().enumerate() {
            prop_assert_eq!(value, scales[i / 32] * f32::from(codes[i]) + biases[i / 32]);
        }
    }
}

#[test]
fn integers_are_no_dense_tensor() {
    let error = Tensor::dense(&zeros(4, 1, 32)).unwrap_err();
    assert!(
        matches!(&error, Error::UnsupportedDtype { tensor, dtype, .. } if tensor == "w.weight" && dtype == "u32"),
        "{error}"
    );
    let error = Tensor::dense(&entry("w", Dtype::Other("IQ4_XS".into()), &[256], vec![0; 136])).unwrap_err();
    assert!(error.to_string().contains("`w` is stored as IQ4_XS"), "{error}");
}

#[test]
fn bytes_that_do_not_fit_the_shape_are_an_error() {
    let error = Tensor::dense(&entry("w", Dtype::Float(Float::F32), &[2, 2], vec![0; 15])).unwrap_err();
    assert!(matches!(&error, Error::Tensor { problem, .. } if problem == "15 bytes, expected 2 rows of 8"), "{error}");
}

#[test]
fn empty_and_overflowing_shapes_are_an_error() {
    for shape in [vec![0], vec![2, 0], vec![0, 2], vec![usize::MAX, 2, 2]] {
        let error = Tensor::dense(&entry("w", Dtype::Float(Float::F32), &shape, Vec::new())).unwrap_err();
        assert!(matches!(error, Error::Shape { .. } | Error::Tensor { .. }), "{error}");
    }
}

#[test]
fn affine_parts_that_disagree_are_named() {
    let (w, s, b) = (zeros(4, 2, 64), parts("w.scales", 2, 1), parts("w.biases", 2, 1));
    let error = |w: &Entry, s: &Entry, b: &Entry, cols| Tensor::affine(w, s, b, cols).unwrap_err().to_string();
    Tensor::affine(&w, &s, &b, 64).unwrap();
    let cases = [
        (error(&f32s("w.weight", &[2, 8], &[0.0; 16]), &s, &b, 64), "`w.weight` is stored as f32, expected u32 codes"),
        (error(&w, &zeros(4, 2, 64), &b, 64), "`w.weight` is stored as u32, expected f32, f16 or bf16 scales"),
        (
            error(&w, &s, &bf16s("w.biases", &[2, 1], &[0.0; 2]), 64),
            "`w.biases`: stored as bf16, but the scales as f32",
        ),
        (error(&w, &parts("w.scales", 3, 1), &b, 64), "`w.scales` has shape [3, 1], expected [2, 1]"),
        (error(&w, &s, &parts("w.biases", 2, 2), 64), "`w.biases` has shape [2, 2], expected [2, 1]"),
        (error(&w, &s, &b, 96), "`w.weight` has shape [2, 8], expected a last dimension of 96 * bits / 32"),
        (
            error(&w, &parts("w.scales", 2, 4), &parts("w.biases", 2, 4), 64),
            "`w.scales` has shape [2, 4], expected a last",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

fn bytes(name: &str, shape: &[usize], bytes: Vec<u8>) -> Entry {
    entry(name, Dtype::Int(Int::U8), shape, bytes)
}

fn words(shape: &[usize], bytes: Vec<u8>) -> Entry {
    entry("w.weight", Dtype::Int(Int::U32), shape, bytes)
}

#[test]
fn mxfp4_is_a_nibble_times_a_power_of_two() {
    let weight = words(&[2, 4], [[0x10; 16], [0xf7; 16]].concat());
    let tensor = Tensor::microscaled(&weight, &bytes("w.scales", &[2, 1], vec![128, 0]), None, 32).unwrap();
    assert_eq!(tensor.storage(), Storage::Microscaled(Microscaled::Mxfp4));
    let tiny = 6.0 * 2f32.powi(-127);
    assert_eq!(tensor.to_f32()[..4], [0.0, 1.0, 0.0, 1.0]);
    assert_eq!(tensor.to_f32()[32..36], [tiny, -tiny, tiny, -tiny]);
    assert_eq!((tensor.shape(), tensor.bytes_len()), ([2, 32].as_slice(), 32 + 2));
    assert_eq!(tensor.rows_range(1..2).to_f32(), tensor.to_f32()[32..]);
}

#[test]
fn mxfp8_has_subnormals_and_one_code_that_is_no_number() {
    let mut codes = vec![0; 32];
    codes[..6].copy_from_slice(&[0x01, 0x07, 0x08, 0x7e, 0xb8, 0x7f]);
    let tensor = Tensor::microscaled(&words(&[8], codes), &bytes("w.scales", &[1], vec![127]), None, 32).unwrap();
    assert_eq!(tensor.storage(), Storage::Microscaled(Microscaled::Mxfp8));
    assert_eq!(tensor.to_f32()[..5], [2f32.powi(-9), 7.0 * 2f32.powi(-9), 2f32.powi(-6), 448.0, -1.0]);
    assert!(tensor.to_f32()[5].is_nan());
}

#[test]
fn nvfp4_has_two_scales_in_32_and_may_have_a_global_one() {
    let (weight, scales) = (words(&[1, 4], vec![0x2a; 16]), bytes("w.scales", &[1, 2], vec![0x38, 0x41]));
    let tensor = |global: Option<&Entry>| Tensor::microscaled(&weight, &scales, global, 32).unwrap();
    assert_eq!(tensor(None).storage(), Storage::Microscaled(Microscaled::Nvfp4));
    let numbers = tensor(None).to_f32();
    assert_eq!((&numbers[..2], &numbers[16..18]), ([-1.0, 1.0].as_slice(), [-2.25, 2.25].as_slice()));
    let scaled = tensor(Some(&f32s("w.global_scale", &[1], &[1344.0])));
    assert_eq!(scaled.to_f32()[16..18], [-1.125, 1.125]);
    let table = scaled.scale_table().unwrap();
    assert_eq!((table[0x38], table[0x41]), (0.5, 1.125));
}

#[test]
fn microscaled_parts_that_disagree_are_named() {
    let (w, s) = (words(&[2, 8], vec![0; 64]), bytes("w.scales", &[2, 2], vec![0; 4]));
    let error =
        |w: &Entry, s: &Entry, g: Option<&Entry>, cols| Tensor::microscaled(w, s, g, cols).unwrap_err().to_string();
    Tensor::microscaled(&w, &s, None, 64).unwrap();
    let scale = |shape: &[usize], values: &[f32]| f32s("w.global_scale", shape, values);
    let nv = bytes("w.scales", &[2, 4], vec![0; 8]);
    let cases = [
        (
            error(&f32s("w.weight", &[2, 8], &[0.0; 16]), &s, None, 64),
            "`w.weight` is stored as f32, expected u32 codes",
        ),
        (error(&w, &parts("w.scales", 2, 2), None, 64), "`w.scales` is stored as f32, expected u8 scales"),
        (error(&w, &bytes("w.scales", &[3, 2], vec![0; 6]), None, 64), "`w.scales` has shape [3, 2], expected [2, 2]"),
        (
            error(&w, &s, None, 96),
            "`w.weight` has shape [2, 8], expected a last dimension for rows of 96 with 2 scales",
        ),
        (error(&w, &bytes("w.scales", &[2, 2], vec![0; 3]), None, 64), "`w.scales`: 3 bytes, expected 2 rows of 2"),
        (error(&w, &s, Some(&scale(&[], &[1.0])), 64), "`w.global_scale`: mxfp4 has no global scale"),
        (error(&w, &nv, Some(&scale(&[2], &[1.0; 2])), 64), "`w.global_scale` has shape [2], expected a single number"),
        (error(&w, &nv, Some(&scale(&[], &[f32::NAN])), 64), "`w.global_scale`: is NaN, expected a finite number"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}\n{expected}");
    }
}

#[test]
fn affine_codes_of_one_bit_are_refused_by_name() {
    let weight = words(&[1, 2], vec![0; 8]);
    let error = Tensor::affine(&weight, &parts("w.scales", 1, 1), &parts("w.biases", 1, 1), 64).unwrap_err();
    assert!(error.to_string().contains("`w.weight`: MLX affine with 1 bit is not supported"), "{error}");
}

/// Six rows of two numbers.
fn six_rows() -> Tensor {
    Tensor::from_f32("w", 6, 2, (0..12u8).map(f32::from).collect())
}

#[test]
fn a_comb_takes_rows_of_every_period_and_shares_the_bytes() {
    let odd = six_rows().comb(1, 1, 2);
    assert_eq!((odd.rows(), odd.bytes_len(), odd.row_bytes()), (3, 24, 8));
    assert_eq!(odd.to_f32(), [2.0, 3.0, 6.0, 7.0, 10.0, 11.0]);
    let pairs = six_rows().comb(0, 2, 3);
    assert_eq!(pairs.to_f32(), [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(pairs.rows_range(1..4).rows_range(1..3).to_f32(), [6.0, 7.0, 8.0, 9.0]);
    assert_eq!(pairs.data().len(), 48);
}

#[test]
fn gathered_rows_are_the_same_numbers_one_after_the_other() {
    let part = six_rows().comb(0, 2, 3).rows_range(1..4);
    let gathered = part.gathered();
    assert_eq!(gathered.to_f32(), part.to_f32());
    assert_eq!((gathered.selection(), gathered.data().len()), (None, 24));
}

#[test]
fn blocks_and_scales_of_bytes_are_mxfp4() {
    let codes: Vec<u8> = (0..64).map(|i: u8| i.wrapping_mul(37)).collect();
    let blocks = entry("w_blocks", Dtype::Int(Int::U8), &[2, 2, 1, 16], codes.clone());
    let scales = entry("w_scales", Dtype::Int(Int::U8), &[2, 2, 1], vec![127, 126, 128, 127]);
    let tensor = Tensor::mxfp4_blocks(&blocks, &scales).unwrap();
    assert_eq!((tensor.shape(), tensor.rows(), tensor.cols()), ([2, 2, 32].as_slice(), 4, 32));
    let weight = entry("w", Dtype::Int(Int::U32), &[4, 4], codes);
    let same = Tensor::microscaled(&weight, &entry("s", Dtype::Int(Int::U8), &[4, 1], scales.bytes.to_vec()), None, 32);
    assert_eq!(tensor.to_f32(), same.unwrap().to_f32());
    let short = entry("w_scales", Dtype::Int(Int::U8), &[2, 1, 1], vec![127; 2]);
    assert!(Tensor::mxfp4_blocks(&blocks, &short).unwrap_err().to_string().contains("w_scales"));
}
