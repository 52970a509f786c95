//! Which kernel runs when: by level and storage here, by the number of rows in `ops/linear.rs`.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use half::{bf16, f16};

use crate::Level;
use crate::kernels::attend::{Attend, Attention};
use crate::kernels::blend::{Blend, BlendRows};
use crate::kernels::chunk::{delta::DeltaChunk, ssd::SsdChunk};
use crate::kernels::conv::{Conv, ConvRows};
use crate::kernels::decode::{Decode, Patch};
use crate::kernels::delta::{Delta, DeltaRows};
use crate::kernels::dot::{Dot, Dots};
use crate::kernels::finish::{Finish, FinishRows};
use crate::kernels::gate::{Activate, Cap, Gate, Sigmoid, SigmoidGate, SoftCap};
use crate::kernels::lru::{Lru, LruRows};
use crate::kernels::prepare::{NormKernel, NormRow, Prepare, PrepareRow};
use crate::kernels::rotate::{Turn, TurnRow};
use crate::kernels::scan::{Scan, ScanRows};
use crate::kernels::ssd::{Ssd, SsdRows};
use crate::kernels::tile::{self, Tile};
use crate::simd::load::{
    Bf16, BlockMxfp4, Codes, F16, F32, Loader, Mxfp4, Mxfp8, Nvfp4, Order, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K,
    Q6K, Q8_0,
};
use crate::simd::{Entry, entry};

/// The kernels of a level that no storage matters to.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) prepare: Entry<Prepare>,
    pub(crate) tile: Entry<tile::Block>,
    pub(crate) finish: Entry<Finish>,
    pub(crate) gate: Entry<Gate>,
    pub(crate) cap: Entry<Cap>,
    pub(crate) sigmoid: Entry<Sigmoid>,
    pub(crate) norm: Entry<NormRow>,
    pub(crate) turn: Entry<Turn>,
    pub(crate) attend: Entry<Attention>,
    pub(crate) blend: Entry<Blend>,
    pub(crate) conv: Entry<Conv>,
    pub(crate) scan: Entry<Scan>,
    pub(crate) lru: Entry<Lru>,
    pub(crate) ssd: Entry<Ssd>,
    pub(crate) delta: Entry<Delta>,
    pub(crate) ssd_chunk: Entry<Ssd>,
    pub(crate) delta_chunk: Entry<Delta>,
}

impl Kernels {
    /// For keys and values that are kept as `kv`.
    pub(crate) fn new(level: Level, kv: Float) -> Kernels {
        Kernels {
            prepare: entry::<PrepareRow>(level),
            tile: entry::<Tile>(level),
            finish: entry::<FinishRows>(level),
            gate: entry::<Activate>(level),
            cap: entry::<SoftCap>(level),
            sigmoid: entry::<SigmoidGate>(level),
            norm: entry::<NormKernel>(level),
            turn: entry::<TurnRow>(level),
            attend: match kv {
                Float::F32 => entry::<Attend<f32>>(level),
                Float::F16 => entry::<Attend<f16>>(level),
                Float::BF16 => entry::<Attend<bf16>>(level),
            },
            blend: entry::<BlendRows>(level),
            conv: entry::<ConvRows>(level),
            scan: entry::<ScanRows>(level),
            lru: entry::<LruRows>(level),
            ssd: entry::<SsdRows>(level),
            delta: entry::<DeltaRows>(level),
            ssd_chunk: entry::<SsdChunk>(level),
            delta_chunk: entry::<DeltaChunk>(level),
        }
    }
}

/// The kernels of a storage.
#[derive(Clone, Copy)]
pub(crate) struct StorageKernels {
    pub(crate) dot: Entry<Dots>,
    pub(crate) decode: Entry<Patch>,
    pub(crate) order: Order,
}

impl StorageKernels {
    /// None for a storage that has no loader.
    pub(crate) fn new(level: Level, storage: Storage) -> Option<StorageKernels> {
        Some(match storage {
            Storage::Dense(Float::F32) => of::<F32>(level),
            Storage::Dense(Float::F16) => of::<F16>(level),
            Storage::Dense(Float::BF16) => of::<Bf16>(level),
            Storage::Block(Block::Q4_0) => of::<Q4_0>(level),
            Storage::Block(Block::Q4_1) => of::<Q4_1>(level),
            Storage::Block(Block::Q5_0) => of::<Q5_0>(level),
            Storage::Block(Block::Q5_1) => of::<Q5_1>(level),
            Storage::Block(Block::Q8_0) => of::<Q8_0>(level),
            Storage::Block(Block::Q2K) => of::<Q2K>(level),
            Storage::Block(Block::Q3K) => of::<Q3K>(level),
            Storage::Block(Block::Q4K) => of::<Q4K>(level),
            Storage::Block(Block::Q5K) => of::<Q5K>(level),
            Storage::Block(Block::Q6K) => of::<Q6K>(level),
            Storage::Block(Block::Mxfp4) => of::<BlockMxfp4>(level),
            Storage::Affine(affine) => affine_of(level, affine)?,
            Storage::Microscaled(Microscaled::Mxfp4) => of::<Mxfp4>(level),
            Storage::Microscaled(Microscaled::Mxfp8) => of::<Mxfp8>(level),
            Storage::Microscaled(Microscaled::Nvfp4) => of::<Nvfp4>(level),
        })
    }
}

fn affine_of(level: Level, affine: Affine) -> Option<StorageKernels> {
    match affine.bits {
        2 => Some(of::<Codes<2>>(level)),
        3 => Some(of::<Codes<3>>(level)),
        4 => Some(of::<Codes<4>>(level)),
        5 => Some(of::<Codes<5>>(level)),
        6 => Some(of::<Codes<6>>(level)),
        8 => Some(of::<Codes<8>>(level)),
        _ => None,
    }
}

fn of<L: Loader>(level: Level) -> StorageKernels {
    StorageKernels { dot: entry::<Dot<L>>(level), decode: entry::<Decode<L>>(level), order: L::ORDER }
}
