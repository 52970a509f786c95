//! Codes, scales and biases are those that `mx.quantize` gives (`tests/golden/quantize/make.py`), and decode to what they stand for.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::{Affine, Float, Microscaled, Storage, Tensor};
use ffai_convert::{Encoded, encode};
use proptest::prelude::*;
use safetensors::SafeTensors;

const COLS: usize = 128;
const FLOATS: [(&str, Float); 3] = [("f32", Float::F32), ("f16", Float::F16), ("bf16", Float::BF16)];

fn values(file: &SafeTensors<'_>, name: &str, float: Float) -> Vec<f32> {
    let tensor = file.tensor(&format!("{name}.values")).unwrap();
    let mut out = vec![0.0; tensor.shape().iter().product()];
    float.decode(tensor.data(), &mut out);
    out
}

fn read() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/quantize/groups/cases.safetensors");
    std::fs::read(path).unwrap()
}

/// Names the first row in which `got` is not what mlx wrote.
fn expect(file: &SafeTensors<'_>, at: &str, got: &Encoded) {
    for (part, bytes) in [("codes", &got.data), ("scales", &got.scales), ("biases", &got.biases)] {
        let Ok(wanted) = file.tensor(&format!("{at}.{part}")) else {
            assert!(part == "biases" && bytes.is_empty(), "{at}.{part}");
            continue;
        };
        let row = wanted.data().len() / wanted.shape()[0];
        let other = bytes.chunks(row).zip(wanted.data().chunks(row)).position(|(a, b)| a != b);
        assert!(other.is_none() && bytes.len() == wanted.data().len(), "{at}.{part}: row {other:?} differs");
    }
}

#[test]
fn affine_codes_scales_and_biases_are_those_of_mlx() {
    let bytes = read();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut compared = 0;
    for (name, float) in FLOATS {
        let values = values(&file, name, float);
        for bits in Affine::BITS {
            for group in Affine::GROUPS {
                let at = format!("{name}.affine.{bits}.{group}");
                if file.tensor(&format!("{at}.codes")).is_err() {
                    continue;
                }
                let storage = Storage::Affine(Affine { bits, group, scales: float });
                expect(&file, &at, &encode(&values, COLS, storage, float).unwrap());
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 16);
}

#[test]
fn elements_and_scales_of_the_modes_are_those_of_mlx() {
    let bytes = read();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, float) in FLOATS {
        let values = values(&file, name, float);
        for micro in Microscaled::ALL {
            let rows = file.tensor(&format!("{name}.{micro}.codes")).unwrap().shape()[0];
            let got = encode(&values[..rows * COLS], COLS, Storage::Microscaled(micro), float).unwrap();
            expect(&file, &format!("{name}.{micro}"), &got);
        }
    }
}

/// What affine codes with f32 scales stand for.
fn decoded(encoded: &Encoded, affine: Affine) -> Vec<f32> {
    let float = |bytes: &[u8], at: usize| Float::F32.at(bytes, at);
    let bits = usize::from(affine.bits);
    let code = |at: usize| {
        (0..bits).map(|b| u32::from(encoded.data[(at * bits + b) / 8] >> ((at * bits + b) % 8) & 1) << b).sum::<u32>()
    };
    let group = affine.group as usize;
    let number = |at: usize| float(&encoded.scales, at / group) * code(at) as f32 + float(&encoded.biases, at / group);
    (0..encoded.data.len() * 8 / bits).map(number).collect()
}

proptest! {
    #[test]
    fn an_affine_code_is_at_most_a_step_away(
        values in prop::collection::vec(-8.0f32..8.0, 64), bits in prop::sample::select(Affine::BITS.to_vec())
    ) {
        let affine = Affine { bits, group: 64, scales: Float::F32 };
        let encoded = encode(&values, 64, Storage::Affine(affine), Float::F32).unwrap();
        let (least, most) = values.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        // The edge is made exact at the cost of the other end, which may move by up to half a step for each code.
        let step = (most - least) / ((1u32 << bits) - 1) as f32;
        for (value, decoded) in values.iter().zip(decoded(&encoded, affine)) {
            prop_assert!((value - decoded).abs() <= 1.5 * step + 1e-4, "{value} became {decoded}, a step is {step}");
        }
    }

    #[test]
    fn the_number_farthest_from_zero_is_kept(values in prop::collection::vec(-8.0f32..8.0, 32)) {
        let affine = Affine { bits: 4, group: 32, scales: Float::F32 };
        let encoded = encode(&values, 32, Storage::Affine(affine), Float::F32).unwrap();
        let (at, far) = values.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
        prop_assert_eq!(decoded(&encoded, affine)[at], *far);
    }

    #[test]
    fn plain_numbers_come_back(values in prop::collection::vec(any::<i16>().prop_map(f32::from), 32)) {
        let encoded = encode(&values, 32, Storage::Dense(Float::F32), Float::F32).unwrap();
        let tensor = Tensor::from_f32("x", 1, 32, values);
        prop_assert_eq!(tensor.data(), encoded.data.as_slice());
    }
}
