//! Blocks of GGUF whose codes stay what they are.

use ffai_checkpoint::{Block, CodeGroup, Storage};

use super::{Encoded, affine::pack, dense};

/// A row of whole blocks, in a storage that has the same codes; group `n` of the new row is group `from(n)` of the old.
pub(crate) fn recoded(block: Block, row: &[u8], storage: Storage, from: impl Fn(usize) -> usize, out: &mut Encoded) {
    if let Storage::Affine(affine) = storage {
        let groups: Vec<CodeGroup> = block.groups(row).collect();
        for group in (0..groups.len()).map(|n| &groups[from(n)]) {
            pack(&group.codes, affine.bits, &mut out.data);
            out.scales.extend(dense(&[group.scale], affine.scales));
            out.biases.extend(dense(&[group.bias], affine.scales));
        }
        return;
    }
    let size = block.block_bytes();
    for at in (0..row.len() / size).map(from) {
        let (elements, scale) = Block::mxfp4_elements(&row[at * size..(at + 1) * size]);
        out.data.extend_from_slice(&elements);
        out.scales.push(scale);
    }
}
