//! What a file says about one tensor.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::{Block, Bytes, Float};

/// The element type that an entry of a file declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// Plain floating point.
    Float(Float),
    /// A block format of GGUF that is read.
    Block(Block),
    /// Plain integers: packed codes of quantized weights, token tables.
    Int(Int),
    /// A type that is not read, by the name its format gives it (`F8_E4M3`, `IQ4_XS`).
    Other(String),
}

/// A plain integer type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Int {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

/// One entry of a file: a name, what it declares, and its bytes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name in the file.
    pub name: String,
    /// The declared element type.
    pub dtype: Dtype,
    /// Row-major, outermost first; the dimensions of GGUF are reversed, so that a matrix is `[rows (out), cols (in)]`.
    pub shape: Vec<usize>,
    /// The bytes of this tensor alone.
    pub bytes: Bytes,
    /// The file that holds it.
    pub file: Arc<Path>,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dtype::Float(float) => float.fmt(f),
            Dtype::Block(block) => block.fmt(f),
            Dtype::Int(int) => write!(f, "{}", format!("{int:?}").to_lowercase()),
            Dtype::Other(name) => f.write_str(name),
        }
    }
}
