//! Every kernel with options as models lead to them, compiled without a card for each architecture.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};

use crate::Arch;
use crate::cache::Kernels;
use crate::kernels::{FILES, define, source};
use crate::machine::{CLUSTER, MOST_RANGES};
use crate::nvrtc::tests::{roots, said_aloud};
use crate::ops::state_rows::StateRows;
use crate::storage::Layout;

/// A file and its options.
type Entry = (&'static str, Vec<String>);

fn affine(bits: u8, group: u32, scales: Float) -> Storage {
    Storage::Affine(Affine { bits, group, scales })
}

/// Each width, group and type of scales; each mode; each type of GGUF.
fn storages() -> Vec<Storage> {
    let dense = [Float::F32, Float::BF16, Float::F16].map(Storage::Dense);
    let widths = Affine::BITS.map(|bits| affine(bits, 64, Float::BF16));
    let groups = [(4, 32), (4, 128), (3, 32), (8, 128)].map(|(bits, group)| affine(bits, group, Float::BF16));
    let scales = [Float::F16, Float::F32].map(|scales| affine(4, 64, scales));
    let modes = Microscaled::ALL.map(Storage::Microscaled);
    let blocks = Block::ALL.map(Storage::Block);
    [&dense[..], &widths, &groups, &scales, &modes, &blocks].concat()
}

/// One of each kind.
fn kinds() -> Vec<Storage> {
    let dense = [Float::F32, Float::BF16].map(Storage::Dense);
    let others = [affine(4, 64, Float::BF16), Storage::Microscaled(Microscaled::Nvfp4), Storage::Block(Block::Q4K)];
    [&dense[..], &others].concat()
}

/// What depends on how weights are stored.
fn of_layout(layout: Layout) -> Vec<Entry> {
    let options = layout.options();
    let mut entries = vec![("embed.cu", options.clone())];
    if is_kind(layout) {
        entries.extend([0, 1].map(|t| ("heads.cu", [options.clone(), vec![define("TRANSPOSED", t)]].concat())));
    }
    match layout {
        Layout::Plain => {}
        Layout::Dense { .. } => {
            entries.push(("expand.cu", options));
            entries.push(("repack_dense.cu", layout.options()));
            entries.extend(products(layout, 2));
            entries.extend(chains(layout));
        }
        Layout::Codes(codes) => {
            entries.push(("expand.cu", options));
            entries.push(("repack.cu", codes.repack_options()));
            entries.extend(products(layout, 4));
            if !codes.scales.has_supers() && is_kind(layout) {
                entries.extend(chains(layout));
            }
        }
    }
    entries
}

/// All ways are compiled for one storage of each kind, one way for the rest.
fn is_kind(layout: Layout) -> bool {
    kinds().into_iter().any(|kind| Layout::new(kind) == layout)
}

/// A product of wide rows, one behind a norm, and a gated one; a width that is no multiple of a warp's share; those of an expert, and of
/// eight side by side.
fn products(layout: Layout, chunk: usize) -> Vec<Entry> {
    let product = |(cols, warps, norm, gated, experts): (usize, usize, u8, u8, u8)| {
        let mut options = layout.options();
        options.extend([define("COLS", cols), define("WARPS", warps), define("CHUNK", chunk), define("RING", 2)]);
        options.extend([define("NORM", norm), define("GATED", gated), define("EXPERTS", experts.min(1))]);
        options.push(define("SLOTS", if experts > 1 { experts } else { 0 }));
        ("product.cu", options)
    };
    let all = [
        (4096, 16, 0, 0, 0),
        (576, 8, 1, 1, 0),
        (2048, 8, 2, 1, 0),
        (2048, 8, 2, 0, 0),
        (2048, 8, 1, 1, 1),
        (768, 4, 0, 0, 1),
        (8 * 768, 16, 0, 0, 8),
    ];
    all[..if is_kind(layout) { all.len() } else { 1 }].iter().copied().map(product).collect()
}

/// A chain of matrices that share no columns, and one of matrices that do and whose widths do not come out even.
fn chains(layout: Layout) -> Vec<Entry> {
    let chain = |[input, hidden, inner, split_o, split_down, chunk, teams]: [usize; 7]| {
        let shape =
            [("INPUT", input), ("HIDDEN", hidden), ("INNER", inner), ("SPLIT_O", split_o), ("SPLIT_DOWN", split_down)];
        let ring = [("WARPS", 8), ("TEAMS", teams), ("CHUNK", chunk), ("RING", 4), ("DEPTH", 2), ("KEPT", 5)];
        let shape = shape.into_iter().chain(ring).map(|(name, value)| define(name, value));
        ("chain.cu", layout.options().into_iter().chain(shape).collect())
    };
    [[2048, 2048, 8192, 1, 4, 4, 2], [4096, 2560, 9728, 4, 1, 1, 1]].map(chain).into()
}

fn attend([dim, values, vec, lanes, group]: [usize; 5], kv: usize, fused: usize) -> Entry {
    let shape = [("DIM", dim), ("VALUES", values), ("VEC", vec), ("LANES", lanes), ("GROUP", group), ("WARPS", 8)];
    let rest = [("MOST_RANGES", MOST_RANGES), ("CLUSTER", CLUSTER), ("KV_F32", kv), ("FUSED", fused)];
    ("attend.cu", shape.into_iter().chain(rest).map(|(name, value)| define(name, value)).collect())
}

/// Recurrences as models have them, and odd ones.
fn recurrences() -> Vec<Entry> {
    let rows = |state, other, chunk| StateRows::new(state, other, chunk).unwrap();
    let scans = [(16, 5120), (8, 130), (3, 5)]
        .map(|(state, channels)| ("scan.cu", rows(state, channels, 16).with_helpers().options()));
    let heads = |heads, state, dim| rows(state, dim, 16).for_heads(heads, dim, 132);
    let ssds = [(80, 128, 64), (24, 256, 64), (4, 16, 8), (500, 130, 33)];
    let ssds = ssds.map(|(count, state, dim)| ("ssd.cu", heads(count, state, dim).with_helpers().options()));
    let deltas = [(16, 128, 128), (32, 128, 128), (16, 256, 256), (3, 64, 17), (1, 1, 8)];
    let deltas = deltas.map(|(count, state, dim)| heads(count, state, dim));
    let deltas = deltas.map(|rows| [rows, rows.with_helpers()].map(|rows| ("delta.cu", rows.options())));
    let convs = [1, 2, 3, 4].map(|kernel| ("conv.cu", crate::ops::conv::options(kernel)));
    let lru = ("lru.cu", crate::ops::recurrent::lru_options());
    [&scans[..], &ssds, &deltas.concat(), &convs, &[lru]].concat()
}

fn attend_heads(dim: usize, heads: usize, fused: usize) -> Entry {
    let shape = [("DIM", dim), ("HEADS", heads), ("KV_F32", 0), ("WARPS", 8)];
    let rest = [("MOST_RANGES", MOST_RANGES), ("CLUSTER", CLUSTER), ("FUSED", fused)];
    ("attend_heads.cu", shape.into_iter().chain(rest).map(|(name, value)| define(name, value)).collect())
}

/// What does not.
fn others() -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        ["elementwise.cu", "norm.cu", "plain.cu", "read.cu", "route.cu"].map(|file| (file, Vec::new())).into();
    entries.extend(["cut.cu", "hand_over.cu", "sample.cu"].map(|file| (file, crate::sampler::options())));
    for kv in [0, 1] {
        entries.push(("rotate.cu", vec![define("KV_F32", kv)]));
        for (dim, vec, lanes, group) in
            [(64, 8, 8, 4), (80, 8, 16, 2), (96, 8, 16, 1), (128, 8, 16, 4), (256, 8, 32, 4)]
        {
            for fused in [0, 1] {
                entries.push(attend([dim, dim, vec, lanes, group], kv, fused));
            }
        }
        // Values that are part of the keys: 576 of which 512, and odd ones.
        entries.push(attend([576, 512, 8, 32, 2], kv, 0));
        entries.push(attend([39, 33, 1, 32, 4], kv, 0));
    }
    entries.extend(recurrences());
    let fused = [(64, 4, 1), (64, 8, 0), (128, 4, 1), (128, 8, 0), (128, 1, 1)];
    entries.extend(fused.map(|(dim, heads, fused)| attend_heads(dim, heads, fused)));
    entries.extend([64, 80, 96, 128, 256].map(|dim| ("attend_tiles.cu", vec![define("DIM", dim)])));
    entries.extend([16, 32, 64, 128].map(|rows| ("gemm.cu", vec![define("ROWS", rows), define("STAGES", 3)])));
    entries
}

/// Every file for every architecture. What branches on the architecture asks whether it is Hopper or newer, so all storages are
/// compiled for one on either side, and one of each kind for the others.
fn catalogue(arch: Arch) -> BTreeSet<Entry> {
    let all = [(8, 0), (9, 0)].contains(&(arch.major, arch.minor));
    let storages = if all { storages() } else { kinds() };
    storages.into_iter().map(Layout::new).flat_map(of_layout).chain(others()).collect()
}

#[test]
fn every_kernel_is_in_the_catalogue() {
    let there: BTreeSet<&str> = FILES.iter().map(|(name, _)| *name).collect();
    for arch in Arch::CI {
        let named: BTreeSet<&str> = catalogue(arch).into_iter().map(|(file, _)| file).collect();
        assert_eq!(named, there, "{arch}");
    }
}

/// Kept under `target`, so that only what changed is compiled when the test runs again.
#[test]
fn every_kernel_compiles_for_every_architecture() {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/kernels");
    let kernels = Kernels::new(Some(target), roots());
    if let Err(error) = kernels.nvrtc() {
        return said_aloud(&error);
    }
    let jobs: Vec<(Arch, Entry)> =
        Arch::CI.into_iter().flat_map(|arch| catalogue(arch).into_iter().map(move |entry| (arch, entry))).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((arch, (file, options))) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            match kernels.cubin(&source(file, options), *arch) {
                Ok(cubin) => assert!(cubin.starts_with(b"\x7fELF"), "{file} for {arch}"),
                Err(error) => failures.lock().unwrap().push(error.to_string()),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), jobs.len(), failures.join("\n"));
    println!("{} kernels, {} of them compiled now", jobs.len(), kernels.compiled());
}
