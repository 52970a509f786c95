//! Random numbers and random weights in every storage, the same on every machine.

use std::path::Path;

use ffai_checkpoint::{Affine, Block, Dtype, Entry, Float, Int, Microscaled, Storage, Tensor};

/// SplitMix64 (Steele et al., 2014).
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in (-1, 1).
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.bits().to_le_bytes()[..chunk.len()]));
        bytes
    }
}

/// Every storage there is, each affine width and group once with each type of scales.
pub fn storages() -> Vec<Storage> {
    let floats = [Float::F32, Float::F16, Float::BF16];
    let widths = Affine::BITS.iter().flat_map(|bits| Affine::GROUPS.iter().map(move |group| (*bits, *group)));
    let affine = widths.flat_map(|(bits, group)| floats.map(|scales| Affine { bits, group, scales }));
    floats
        .map(Storage::Dense)
        .into_iter()
        .chain(Block::ALL.map(Storage::Block))
        .chain(affine.map(Storage::Affine))
        .chain(Microscaled::ALL.map(Storage::Microscaled))
        .collect()
}

/// A matrix of random codes with scales such that its elements are of size `1 / sqrt(cols)`.
///
/// # Panics
/// When `cols` is no multiple of the storage's group or block.
pub fn random_tensor(name: &str, storage: Storage, rows: usize, cols: usize, rng: &mut Rng) -> Tensor {
    let size = 1.7 / (cols as f32).sqrt();
    match storage {
        Storage::Dense(float) => dense(&floats(name, float, &[rows, cols], || rng.unit() * size)),
        Storage::Affine(a) => {
            let (words, groups) = (cols * usize::from(a.bits) / 32, cols / a.group as usize);
            let weight = entry(name, Dtype::Int(Int::U32), &[rows, words], rng.bytes(rows * words * 4));
            let step = 2.0 * size / f32::from((1u16 << a.bits) - 1);
            let scales = floats(name, a.scales, &[rows, groups], || step * (1.0 + 0.3 * rng.unit()));
            let biases = floats(name, a.scales, &[rows, groups], || -size * (1.0 + 0.3 * rng.unit()));
            Tensor::affine(&weight, &scales, &biases, cols).expect("a well-formed affine tensor")
        }
        Storage::Microscaled(micro) => microscaled(name, micro, [rows, cols], size, rng),
        Storage::Block(block) => dense(&blocks(name, block, rows, cols, size, rng)),
    }
}

/// A vector of length `len` around `mean`.
pub(super) fn random_vector(name: &str, len: usize, mean: f32, rng: &mut Rng) -> Tensor {
    Tensor::from_f32(name, 1, len, (0..len).map(|_| mean + 0.3 * rng.unit()).collect())
}

fn dense(entry: &Entry) -> Tensor {
    Tensor::dense(entry).expect("a well-formed tensor")
}

fn entry(name: &str, dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Entry {
    Entry { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: bytes.into(), file: Path::new("random").into() }
}

fn floats(name: &str, float: Float, shape: &[usize], mut value: impl FnMut() -> f32) -> Entry {
    let count = shape.iter().product();
    let mut bytes = Vec::with_capacity(count * float.size());
    for _ in 0..count {
        push(&mut bytes, float, value());
    }
    entry(name, Dtype::Float(float), shape, bytes)
}

/// Rounds to the nearest, which for bf16 means the upper half of the f32 after adding half a step.
fn push(bytes: &mut Vec<u8>, float: Float, value: f32) {
    match float {
        Float::F32 => bytes.extend(value.to_le_bytes()),
        Float::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
        Float::BF16 => bytes.extend(half::bf16::from_f32(value).to_le_bytes()),
    }
}

/// Scales are near the power of two that makes the largest elements so large; a global scale brings those of nvfp4 near 1.
fn microscaled(name: &str, micro: Microscaled, [rows, cols]: [usize; 2], size: f32, rng: &mut Rng) -> Tensor {
    let words = cols * usize::from(micro.bits()) / 32;
    let mut codes = rng.bytes(rows * words * 4);
    let (one, largest) = match micro {
        Microscaled::Nvfp4 => (0x38, 6.0),
        Microscaled::Mxfp4 => (power(2.0 * size / 6.0), 6.0),
        Microscaled::Mxfp8 => (power(2.0 * size / 448.0), 448.0),
    };
    if micro == Microscaled::Mxfp8 {
        // Seven ones are not a number.
        codes.iter_mut().filter(|code| **code & 0x7f == 0x7f).for_each(|code| *code -= 1);
    }
    let groups = micro.groups(cols);
    let scales = (0..rows * groups).map(|_| (one + rng.below(3) as i32 - 1) as u8).collect();
    let global = floats("global", Float::F32, &[], || 2.0 * size / largest * Microscaled::GLOBAL);
    let weight = entry(name, Dtype::Int(Int::U32), &[rows, words], codes);
    let scales = entry(name, Dtype::Int(Int::U8), &[rows, groups], scales);
    let global = (micro == Microscaled::Nvfp4).then_some(&global);
    Tensor::microscaled(&weight, &scales, global, cols).expect("a well-formed microscaled tensor")
}

/// Where the floats of a block lie, and the number that each is near: scales first, then minima.
fn floats_of(block: Block, size: f32) -> Vec<(usize, f32)> {
    match block {
        Block::Q4_0 => vec![(0, 2.0 * size / 16.0)],
        Block::Q4_1 => vec![(0, 2.0 * size / 16.0), (2, -size)],
        Block::Q5_0 => vec![(0, 2.0 * size / 32.0)],
        Block::Q5_1 => vec![(0, 2.0 * size / 32.0), (2, -size)],
        Block::Q8_0 => vec![(0, 2.0 * size / 256.0)],
        Block::Q2K => vec![(80, 2.0 * size / (15.0 * 3.0)), (82, size / 15.0)],
        Block::Q3K => vec![(108, size / (32.0 * 4.0))],
        Block::Q4K => vec![(0, 2.0 * size / (63.0 * 15.0)), (2, size / 63.0)],
        Block::Q5K => vec![(0, 2.0 * size / (63.0 * 31.0)), (2, size / 63.0)],
        Block::Q6K => vec![(208, size / (128.0 * 32.0))],
        Block::Mxfp4 => Vec::new(),
    }
}

/// Random bits but for the floats, which are of the right size.
fn blocks(name: &str, block: Block, rows: usize, cols: usize, size: f32, rng: &mut Rng) -> Entry {
    let floats = floats_of(block, size);
    let mut bytes = Vec::new();
    for _ in 0..rows * cols / block.block_len() {
        let start = bytes.len();
        bytes.extend(rng.bytes(block.block_bytes()));
        for &(at, mean) in &floats {
            let float = half::f16::from_f32(mean * (1.0 + 0.3 * rng.unit()));
            bytes[start + at..start + at + 2].copy_from_slice(&float.to_le_bytes());
        }
        if block == Block::Mxfp4 {
            bytes[start] = (power(2.0 * size / 6.0) + rng.below(3) as i32 - 1) as u8;
        }
    }
    entry(name, Dtype::Block(block), &[rows, cols], bytes)
}

/// The E8M0 byte of the power of two below.
fn power(scale: f32) -> i32 {
    127 + scale.log2().floor() as i32
}
