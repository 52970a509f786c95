//! Which storages have these kernels.

use ffai_checkpoint::{Affine, Block, Microscaled, Storage};

use super::affine::Codes;
use super::block::{BlockMxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::dot::Dot;
use super::k::{Q2K, Q3K, Q4K, Q5K, Q6K};
use super::microscaled::E2m1;
use super::spread::SpreadRow;
use super::tile::{Tile, Unpack};
use super::{Loader, enter};
use crate::grouped::Grouped;

fn of<L: Loader>() -> Option<Grouped> {
    let tile = match L::GROUP {
        16 => enter::<Tile<16>>,
        32 => enter::<Tile<32>>,
        _ => enter::<Tile<64>>,
    };
    Some(Grouped {
        group: L::GROUP,
        spread: enter::<SpreadRow>,
        dot: enter::<Dot<L>>,
        unpack: enter::<Unpack<L>>,
        tile,
    })
}

/// The kernels of a storage; none for plain floats and bytes of E4M3.
pub(crate) fn grouped(storage: Storage) -> Option<Grouped> {
    match storage {
        Storage::Affine(affine) => codes(affine),
        Storage::Microscaled(Microscaled::Mxfp4) => of::<E2m1<32, 4>>(),
        Storage::Microscaled(Microscaled::Nvfp4) => of::<E2m1<16, 2>>(),
        Storage::Microscaled(Microscaled::Mxfp8) | Storage::Dense(_) => None,
        Storage::Block(Block::Q4_0) => of::<Q4_0>(),
        Storage::Block(Block::Q4_1) => of::<Q4_1>(),
        Storage::Block(Block::Q5_0) => of::<Q5_0>(),
        Storage::Block(Block::Q5_1) => of::<Q5_1>(),
        Storage::Block(Block::Q8_0) => of::<Q8_0>(),
        Storage::Block(Block::Q2K) => of::<Q2K>(),
        Storage::Block(Block::Q3K) => of::<Q3K>(),
        Storage::Block(Block::Q4K) => of::<Q4K>(),
        Storage::Block(Block::Q5K) => of::<Q5K>(),
        Storage::Block(Block::Q6K) => of::<Q6K>(),
        Storage::Block(Block::Mxfp4) => of::<BlockMxfp4>(),
    }
}

fn codes(affine: Affine) -> Option<Grouped> {
    match (affine.bits, affine.group) {
        (2, 32) => of::<Codes<2, 32, 2, 1, 1>>(),
        (2, 64) => of::<Codes<2, 64, 4, 1, 1>>(),
        (2, 128) => of::<Codes<2, 64, 4, 1, 2>>(),
        (3, 32) => of::<Codes<3, 32, 3, 3, 1>>(),
        (3, 64) => of::<Codes<3, 64, 6, 3, 1>>(),
        (3, 128) => of::<Codes<3, 64, 6, 3, 2>>(),
        (4, 32) => of::<Codes<4, 32, 4, 1, 1>>(),
        (4, 64) => of::<Codes<4, 64, 8, 1, 1>>(),
        (4, 128) => of::<Codes<4, 64, 8, 1, 2>>(),
        (5, 32) => of::<Codes<5, 32, 5, 5, 1>>(),
        (5, 64) => of::<Codes<5, 64, 10, 5, 1>>(),
        (5, 128) => of::<Codes<5, 64, 10, 5, 2>>(),
        (6, 32) => of::<Codes<6, 32, 6, 3, 1>>(),
        (6, 64) => of::<Codes<6, 64, 12, 3, 1>>(),
        (6, 128) => of::<Codes<6, 64, 12, 3, 2>>(),
        (8, 32) => of::<Codes<8, 32, 8, 1, 1>>(),
        (8, 64) => of::<Codes<8, 64, 16, 1, 1>>(),
        (8, 128) => of::<Codes<8, 64, 16, 1, 2>>(),
        _ => None,
    }
}
