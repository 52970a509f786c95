//! Which storage of MLX stands for a storage of a file when no other was asked for.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};

/// The groups of GGUF's codes.
const GROUP: u32 = 32;

/// The storage that a block format becomes. Formats of 32 affine codes keep them; of the others those in groups of 16 get more bits, for
/// MLX's groups are twice as large.
pub(crate) fn storage_of(block: Block, scales: Float) -> Storage {
    let affine = |bits| Storage::Affine(Affine { bits, group: GROUP, scales });
    match (block, block.code_bits()) {
        (_, Some(bits)) => affine(bits),
        (Block::Mxfp4, _) => Storage::Microscaled(Microscaled::Mxfp4),
        (Block::Q2K, _) => affine(3),
        (Block::Q3K, _) => affine(4),
        _ => affine(8),
    }
}

/// Whether codes of a block format are the codes of this storage.
pub(crate) fn keeps_codes(block: Block, storage: Storage) -> bool {
    match storage {
        Storage::Affine(affine) => block.code_bits() == Some(affine.bits) && affine.group == GROUP,
        Storage::Microscaled(micro) => block == Block::Mxfp4 && micro == Microscaled::Mxfp4,
        Storage::Dense(_) | Storage::Block(_) => false,
    }
}
