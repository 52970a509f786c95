//! How each storage lies on the card: the options that its kernels are compiled with. `kernels/storage/` has their meaning.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};

use crate::kernels::define;
use crate::matrix::TILE_COLS;

/// The layout of a matrix on the card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    /// f32 rows as in the file.
    Plain,
    /// Tiles of 16-bit numbers.
    Dense {
        /// bf16, not f16.
        brain: bool,
    },
    /// Tiles of codes, with scales.
    Codes(Codes),
}

/// Codes and scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Codes {
    pub(crate) bits: usize,
    /// Whether codes are small floats.
    pub(crate) floats: bool,
    pub(crate) group: usize,
    pub(crate) scales: Scales,
    /// The code that stands for 0, where biases are implied.
    pub(crate) center: usize,
    /// How the file has them.
    raw: &'static str,
}

/// How scales are stored, by the names that kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scales {
    PairBf16,
    PairF16,
    PairF32,
    E8m0,
    E4m3,
    Half,
    KMin,
    KSigned,
}

impl Scales {
    fn name(self) -> &'static str {
        match self {
            Scales::PairBf16 => "PAIR_BF16",
            Scales::PairF16 => "PAIR_F16",
            Scales::PairF32 => "PAIR_F32",
            Scales::E8m0 => "BYTE_E8M0",
            Scales::E4m3 => "BYTE_E4M3",
            Scales::Half => "HALF",
            Scales::KMin => "K_MIN",
            Scales::KSigned => "K_SIGNED",
        }
    }

    /// Bytes for each group.
    pub(crate) fn size(self) -> usize {
        match self {
            Scales::PairF32 => 8,
            Scales::PairBf16 | Scales::PairF16 => 4,
            Scales::Half | Scales::KMin => 2,
            Scales::E8m0 | Scales::E4m3 | Scales::KSigned => 1,
        }
    }

    /// Whether 256 columns share further scales.
    pub(crate) fn has_supers(self) -> bool {
        matches!(self, Scales::KMin | Scales::KSigned)
    }
}

impl Layout {
    pub(crate) fn new(storage: Storage) -> Layout {
        match storage {
            Storage::Dense(Float::F32) => Layout::Plain,
            Storage::Dense(Float::BF16) => Layout::Dense { brain: true },
            Storage::Dense(Float::F16) => Layout::Dense { brain: false },
            Storage::Affine(affine) => Layout::Codes(Codes::affine(affine)),
            Storage::Microscaled(micro) => Layout::Codes(Codes::microscaled(micro)),
            Storage::Block(block) => Layout::Codes(Codes::block(block)),
        }
    }

    /// Bytes of a tile of 16 rows by 64 columns, without scales.
    pub(crate) fn tile_bytes(self) -> usize {
        match self {
            Layout::Plain => 16 * 64 * 4,
            Layout::Dense { .. } => 2048,
            Layout::Codes(codes) => codes.bits * 128,
        }
    }

    /// The options for kernels that read it.
    pub(crate) fn options(self) -> Vec<String> {
        let kind = [define("PLAIN", u8::from(self == Layout::Plain))];
        let rest = match self {
            Layout::Plain => vec![define("DENSE", 0)],
            Layout::Dense { brain } => vec![define("DENSE", 1), define("BRAIN", u8::from(brain))],
            Layout::Codes(codes) => vec![
                define("DENSE", 0),
                define("BITS", codes.bits),
                define("FLOATS", u8::from(codes.floats)),
                define("GROUP", codes.group),
                define("SCALES", codes.scales.name()),
                define("CENTER", codes.center),
            ],
        };
        kind.into_iter().chain(rest).collect()
    }
}

impl Codes {
    /// The options for the kernels that make tiles of what the file has.
    pub(crate) fn repack_options(self) -> Vec<String> {
        let mut options = Layout::Codes(self).options();
        options.push(define("RAW", self.raw));
        options
    }

    /// Groups that a tile's columns belong to.
    pub(crate) fn groups_of_tile(self) -> usize {
        (TILE_COLS / self.group).max(1)
    }

    fn affine(a: Affine) -> Codes {
        let scales = match a.scales {
            Float::BF16 => Scales::PairBf16,
            Float::F16 => Scales::PairF16,
            Float::F32 => Scales::PairF32,
        };
        Codes { bits: a.bits.into(), floats: false, group: a.group as usize, scales, center: 0, raw: "STREAM" }
    }

    fn microscaled(m: Microscaled) -> Codes {
        let scales = if m == Microscaled::Nvfp4 { Scales::E4m3 } else { Scales::E8m0 };
        Codes { bits: m.bits().into(), floats: true, group: m.group() as usize, scales, center: 0, raw: "STREAM" }
    }

    fn block(block: Block) -> Codes {
        let codes = |raw, bits, group, scales, center| Codes { bits, floats: false, group, scales, center, raw };
        match block {
            Block::Q4_0 => codes("Q4_0", 4, 32, Scales::Half, 8),
            Block::Q4_1 => codes("Q4_1", 4, 32, Scales::PairF16, 0),
            Block::Q5_0 => codes("Q5_0", 5, 32, Scales::Half, 16),
            Block::Q5_1 => codes("Q5_1", 5, 32, Scales::PairF16, 0),
            Block::Q8_0 => codes("Q8_0", 8, 32, Scales::Half, 128),
            Block::Q2K => codes("Q2_K", 2, 16, Scales::KMin, 0),
            Block::Q3K => codes("Q3_K", 3, 16, Scales::KSigned, 4),
            Block::Q4K => codes("Q4_K", 4, 32, Scales::KMin, 0),
            Block::Q5K => codes("Q5_K", 5, 32, Scales::KMin, 0),
            Block::Q6K => codes("Q6_K", 6, 16, Scales::KSigned, 32),
            Block::Mxfp4 => Codes { floats: true, ..codes("MXFP4", 4, 32, Scales::E8m0, 0) },
        }
    }
}
