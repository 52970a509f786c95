//! What there is to run on, for `ffai doctor`.

use std::path::{Path, PathBuf};

use crate::cache::Kernels;
use crate::device::{self, Card};
use crate::nvrtc::{Nvrtc, Source};
use crate::{Arch, CudaError, Version, driver};

/// What was found; each error says what mends it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Probe {
    /// How many NVIDIA cards the system sees, with or without a driver; `None` where it does not say.
    pub hardware: Option<usize>,
    /// The newest CUDA that the driver knows.
    pub driver: Result<Version, CudaError>,
    /// The cards that the driver offers; empty where there is no driver.
    pub cards: Vec<Result<CardFacts, CudaError>>,
    /// The compiler of kernels, after it compiled one.
    pub nvrtc: Result<NvrtcFacts, CudaError>,
}

/// A card that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CardFacts {
    /// Its number for `--device cuda:N`.
    pub ordinal: usize,
    /// As sold.
    pub name: String,
    /// Its generation.
    pub arch: Arch,
    /// How many multiprocessors it has.
    pub multiprocessors: usize,
    /// The second-level cache, in bytes.
    pub l2: usize,
    /// The most shared memory that a block can ask for, in bytes.
    pub shared_memory: usize,
    /// All of its memory, in bytes.
    pub memory: u64,
    /// What nobody uses now, in bytes.
    pub free: u64,
}

/// A compiler.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvrtcFacts {
    /// The library's file; a bare name where the loader found it.
    pub path: PathBuf,
    /// The CUDA it belongs to.
    pub version: Version,
}

/// Looks for the driver, the cards and NVRTC (in `roots` first: toolkits, Python environments), and compiles a small
/// kernel for the first card. Takes some tenths of a second, and longer where Python has to be asked for its packages.
pub fn probe(roots: &[PathBuf]) -> Probe {
    let cards = cards();
    let arch = cards.iter().flatten().map(|card| card.arch).next().unwrap_or(Arch::OLDEST);
    Probe {
        hardware: hardware(Path::new("/sys/bus/pci/devices")),
        driver: driver::version(),
        cards,
        nvrtc: nvrtc(roots, arch),
    }
}

impl Probe {
    /// Whether a model can run on a card.
    pub fn usable(&self) -> bool {
        self.cards.iter().any(Result::is_ok) && self.nvrtc.is_ok()
    }

    /// Whether there is a card at all, so that what is missing is worth installing.
    pub fn wanted(&self) -> bool {
        self.hardware.is_some_and(|cards| cards > 0) || self.driver.is_ok()
    }
}

fn cards() -> Vec<Result<CardFacts, CudaError>> {
    match device::count() {
        Ok(count) => (0..count).map(facts).collect(),
        Err(_) => Vec::new(),
    }
}

fn facts(ordinal: usize) -> Result<CardFacts, CudaError> {
    let card = Card::open(Some(ordinal))?;
    Ok(CardFacts {
        ordinal: card.ordinal,
        arch: card.arch,
        multiprocessors: card.multiprocessors,
        l2: card.l2,
        shared_memory: card.shared_memory,
        memory: card.memory,
        free: card.free()?,
        name: card.name,
    })
}

/// How many cards the driver offers.
///
/// # Errors
/// No driver, or one that is too old or fails.
pub fn count_cards() -> Result<usize, CudaError> {
    device::count()
}

/// Looks for a compiler of kernels, in `roots` first.
///
/// # Errors
/// There is none, or none that loads.
pub fn find_nvrtc(roots: &[PathBuf]) -> Result<NvrtcFacts, CudaError> {
    let nvrtc = Nvrtc::open(roots)?;
    Ok(NvrtcFacts { path: nvrtc.path().to_owned(), version: nvrtc.version() })
}

/// A library that loads may still lack its helper, so a kernel is compiled.
fn nvrtc(roots: &[PathBuf], arch: Arch) -> Result<NvrtcFacts, CudaError> {
    let kernels = Kernels::new(None, roots.to_owned());
    let text = "extern \"C\" __global__ void probe(float* x) { x[threadIdx.x] += 1.0f; }";
    kernels.cubin(&Source { name: "probe.cu", text, headers: &[], options: &[] }, arch)?;
    let nvrtc = kernels.nvrtc()?;
    Ok(NvrtcFacts { path: nvrtc.path().to_owned(), version: nvrtc.version() })
}

/// Display controllers and 3D accelerators (class 0x03) with NVIDIA's number, as Linux lists them.
fn hardware(devices: &Path) -> Option<usize> {
    let is = |device: &Path, file: &str, prefix: &str| {
        std::fs::read_to_string(device.join(file)).is_ok_and(|text| text.starts_with(prefix))
    };
    let devices = std::fs::read_dir(devices).ok()?.flatten().map(|entry| entry.path());
    Some(devices.filter(|device| is(device, "vendor", "0x10de") && is(device, "class", "0x03")).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_counted_without_a_driver() {
        let devices = tempfile::tempdir().unwrap();
        let add = |name: &str, vendor: &str, class: &str| {
            let folder = devices.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("vendor"), vendor).unwrap();
            std::fs::write(folder.join("class"), class).unwrap();
        };
        add("0000:01:00.0", "0x10de\n", "0x030200\n");
        add("0000:01:00.1", "0x10de\n", "0x040300\n");
        add("0000:02:00.0", "0x8086\n", "0x030000\n");
        assert_eq!(hardware(devices.path()), Some(1));
        assert_eq!(hardware(&devices.path().join("none")), None);
    }

    #[test]
    fn a_probe_never_fails_and_each_lack_has_advice() {
        let probe = probe(&[]);
        for error in [probe.driver.as_ref().err(), probe.nvrtc.as_ref().err()].into_iter().flatten() {
            assert!(error.advice().is_some_and(|advice| error.to_string().contains(advice)), "{error}");
        }
        assert_eq!(probe.usable(), probe.nvrtc.is_ok() && probe.cards.iter().any(Result::is_ok));
    }
}
