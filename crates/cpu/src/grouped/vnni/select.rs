//! Which storages have these kernels.

use ffai_checkpoint::{Affine, Block, Microscaled, Storage};

use super::affine::Codes;
use super::block::{BlockMxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
use super::dot::Dot;
use super::k::{Q2K, Q3K, Q4K, Q5K, Q6K};
use super::line::{Line, LineDot, Places, SpreadLine};
use super::microscaled::E2m1;
use super::spread::SpreadRow;
use super::tile::{Tile, Unpack};
use super::{Loader, enter};
use crate::grouped::{Grouped, One};
use crate::simd::Entry;
use crate::simd::load::Order;

/// Whose codes are brought into columns for one row as well.
fn of<L: Loader>() -> Option<Grouped> {
    let order = Order::slabs(L::GROUP);
    kernels::<L>(One { order, spread: enter::<SpreadRow>, dot: enter::<Dot<L>>, stored_scales: false })
}

/// Whose codes are taken as they lie.
fn line<L: Line>() -> Option<Grouped> {
    let spread = match L::PLACES {
        Places::InOrder => enter::<SpreadLine<0>>,
        Places::EvenOdd => enter::<SpreadLine<1>>,
        Places::Halves => enter::<SpreadLine<2>>,
        Places::Chunks => enter::<SpreadLine<3>>,
        Places::Split => enter::<SpreadLine<4>>,
        Places::Quarters => enter::<SpreadLine<5>>,
    };
    let order = match (L::PLACES, L::GROUP) {
        (Places::InOrder, 32) => Order::InOrder32,
        (Places::InOrder, _) => Order::InOrder64,
        (Places::EvenOdd, 16) => Order::EvenOdd16,
        (Places::EvenOdd, 32) => Order::EvenOdd32,
        (Places::EvenOdd, _) => Order::EvenOdd64,
        (Places::Halves, _) => Order::Halves32,
        (Places::Chunks, _) => Order::Chunks32,
        (Places::Split, _) => Order::Split64,
        (Places::Quarters, 32) => Order::Quarters32,
        (Places::Quarters, _) => Order::Quarters64,
    };
    kernels::<L>(One { order, spread, dot: enter::<LineDot<L>>, stored_scales: L::STORED_SCALES })
}

fn kernels<L: Loader>(one: One) -> Option<Grouped> {
    let (tile, fast_tile) = match L::GROUP {
        16 => (enter::<Tile<16, 2>> as Entry<_>, enter::<Tile<16, 1>> as Entry<_>),
        32 => (enter::<Tile<32, 2>> as Entry<_>, enter::<Tile<32, 1>> as Entry<_>),
        _ => (enter::<Tile<64, 2>> as Entry<_>, enter::<Tile<64, 1>> as Entry<_>),
    };
    let (spread, unpack) = (enter::<SpreadRow>, enter::<Unpack<L>>);
    Some(Grouped { group: L::GROUP, spread, one, unpack, tile, fast_tile })
}

/// The kernels of a storage; none for plain floats and bytes of E4M3.
pub(crate) fn grouped(storage: Storage) -> Option<Grouped> {
    match storage {
        Storage::Affine(affine) => codes(affine),
        Storage::Microscaled(Microscaled::Mxfp4) => line::<E2m1<32, 4>>(),
        Storage::Microscaled(Microscaled::Nvfp4) => line::<E2m1<16, 2>>(),
        Storage::Microscaled(Microscaled::Mxfp8) | Storage::Dense(_) => None,
        Storage::Block(Block::Q4_0) => line::<Q4_0>(),
        Storage::Block(Block::Q4_1) => line::<Q4_1>(),
        Storage::Block(Block::Q5_0) => line::<Q5_0>(),
        Storage::Block(Block::Q5_1) => line::<Q5_1>(),
        Storage::Block(Block::Q8_0) => line::<Q8_0>(),
        Storage::Block(Block::Q2K) => of::<Q2K>(),
        Storage::Block(Block::Q3K) => of::<Q3K>(),
        Storage::Block(Block::Q4K) => line::<Q4K>(),
        Storage::Block(Block::Q5K) => line::<Q5K>(),
        Storage::Block(Block::Q6K) => of::<Q6K>(),
        Storage::Block(Block::Mxfp4) => line::<BlockMxfp4>(),
    }
}

fn codes(affine: Affine) -> Option<Grouped> {
    match (affine.bits, affine.group) {
        (2, 32) => line::<Codes<2, 32, 2, 1, 1>>(),
        (2, 64) => line::<Codes<2, 64, 4, 1, 1>>(),
        (2, 128) => line::<Codes<2, 64, 4, 1, 2>>(),
        (3, 32) => line::<Codes<3, 32, 3, 3, 1>>(),
        (3, 64) => line::<Codes<3, 64, 6, 3, 1>>(),
        (3, 128) => line::<Codes<3, 64, 6, 3, 2>>(),
        (4, 32) => line::<Codes<4, 32, 4, 1, 1>>(),
        (4, 64) => line::<Codes<4, 64, 8, 1, 1>>(),
        (4, 128) => line::<Codes<4, 64, 8, 1, 2>>(),
        (5, 32) => line::<Codes<5, 32, 5, 5, 1>>(),
        (5, 64) => line::<Codes<5, 64, 10, 5, 1>>(),
        (5, 128) => line::<Codes<5, 64, 10, 5, 2>>(),
        (6, 32) => line::<Codes<6, 32, 6, 3, 1>>(),
        (6, 64) => line::<Codes<6, 64, 12, 3, 1>>(),
        (6, 128) => line::<Codes<6, 64, 12, 3, 2>>(),
        (8, 32) => line::<Codes<8, 32, 8, 1, 1>>(),
        (8, 64) => line::<Codes<8, 64, 16, 1, 1>>(),
        (8, 128) => line::<Codes<8, 64, 16, 1, 2>>(),
        _ => None,
    }
}
