//! The tensor types of ggml: `enum ggml_type`, with the sizes of their blocks.

use crate::{Block, Dtype, Float, Int};

/// One type: numbers in a block and bytes of a block.
pub(crate) struct Type {
    id: u32,
    pub(crate) name: &'static str,
    pub(crate) block: usize,
    block_bytes: usize,
}

pub(crate) fn find(id: u32) -> Option<&'static Type> {
    TYPES.iter().find(|kind| kind.id == id)
}

impl Type {
    /// Bytes of a tensor; `None` where its rows are no whole blocks or its size overflows.
    pub(crate) fn bytes(&self, shape: &[usize]) -> Option<usize> {
        let cols = shape.last().copied().unwrap_or(1);
        if !cols.is_multiple_of(self.block) {
            return None;
        }
        shape
            .iter()
            .try_fold(1usize, |size, &dim| size.checked_mul(dim))
            .map(|size| size / self.block)?
            .checked_mul(self.block_bytes)
    }

    /// The type as the rest of the program knows it.
    pub(crate) fn dtype(&self) -> Dtype {
        match self.name {
            "F32" => Dtype::Float(Float::F32),
            "F16" => Dtype::Float(Float::F16),
            "BF16" => Dtype::Float(Float::BF16),
            "I8" => Dtype::Int(Int::I8),
            "I16" => Dtype::Int(Int::I16),
            "I32" => Dtype::Int(Int::I32),
            "I64" => Dtype::Int(Int::I64),
            name => match Block::ALL.into_iter().find(|block| block.name() == name) {
                Some(block) => Dtype::Block(block),
                None => Dtype::Other(name.into()),
            },
        }
    }
}

const fn row(id: u32, name: &'static str, block: usize, block_bytes: usize) -> Type {
    Type { id, name, block, block_bytes }
}

/// Ids that are missing were removed from ggml.
const TYPES: &[Type] = &[
    row(0, "F32", 1, 4),
    row(1, "F16", 1, 2),
    row(2, "Q4_0", 32, 18),
    row(3, "Q4_1", 32, 20),
    row(6, "Q5_0", 32, 22),
    row(7, "Q5_1", 32, 24),
    row(8, "Q8_0", 32, 34),
    row(9, "Q8_1", 32, 36),
    row(10, "Q2_K", 256, 84),
    row(11, "Q3_K", 256, 110),
    row(12, "Q4_K", 256, 144),
    row(13, "Q5_K", 256, 176),
    row(14, "Q6_K", 256, 210),
    row(15, "Q8_K", 256, 292),
    row(16, "IQ2_XXS", 256, 66),
    row(17, "IQ2_XS", 256, 74),
    row(18, "IQ3_XXS", 256, 98),
    row(19, "IQ1_S", 256, 50),
    row(20, "IQ4_NL", 32, 18),
    row(21, "IQ3_S", 256, 110),
    row(22, "IQ2_S", 256, 82),
    row(23, "IQ4_XS", 256, 136),
    row(24, "I8", 1, 1),
    row(25, "I16", 1, 2),
    row(26, "I32", 1, 4),
    row(27, "I64", 1, 8),
    row(28, "F64", 1, 8),
    row(29, "IQ1_M", 256, 56),
    row(30, "BF16", 1, 2),
    row(34, "TQ1_0", 256, 54),
    row(35, "TQ2_0", 256, 66),
    row(39, "MXFP4", 32, 17),
    row(40, "NVFP4", 64, 36),
    row(41, "Q1_0", 128, 18),
];
