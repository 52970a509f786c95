//! Blocks of GGUF whose codes stay what they are.

use ffai_checkpoint::{Affine, Block, Storage};

use super::{Encoded, affine::pack, dense};

/// Rows of whole blocks, in a storage that has the same codes.
pub(crate) fn recoded(block: Block, bytes: &[u8], storage: Storage, out: &mut Encoded) {
    match storage {
        Storage::Affine(affine) => groups(block, bytes, affine, out),
        Storage::Microscaled(_) | Storage::Dense(_) | Storage::Block(_) => {
            for block in bytes.chunks_exact(block.block_bytes()) {
                let (elements, scale) = Block::mxfp4_elements(block);
                out.data.extend_from_slice(&elements);
                out.scales.push(scale);
            }
        }
    }
}

fn groups(block: Block, bytes: &[u8], affine: Affine, out: &mut Encoded) {
    for group in block.groups(bytes) {
        pack(&group.codes, affine.bits, &mut out.data);
        out.scales.extend(dense(&[group.scale], affine.scales));
        out.biases.extend(dense(&[group.bias], affine.scales));
    }
}
