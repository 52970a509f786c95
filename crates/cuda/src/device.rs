//! A card: which there are, what one can do, and its context.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cudarc::driver::{CudaContext, CudaStream, sys::CUdevice_attribute as Attribute};

use crate::{CudaError, driver};

/// The generation of a card, as its compute capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arch {
    /// 8: Ampere and Ada, 9: Hopper, 10 and 12: Blackwell.
    pub major: u32,
    /// Within the generation.
    pub minor: u32,
}

impl Arch {
    /// The oldest that will do: matrix instructions on bf16, and asynchronous copies.
    pub const OLDEST: Arch = Arch { major: 8, minor: 0 };
    /// What every kernel is compiled for in tests: A100, RTX 40, H100 and RTX 50.
    pub const CI: [Arch; 4] = [
        Arch { major: 8, minor: 0 },
        Arch { major: 8, minor: 9 },
        Arch { major: 9, minor: 0 },
        Arch { major: 12, minor: 0 },
    ];

    /// As people write it: `9.0`.
    pub fn capability(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Arch {
    /// As compilers write it: `sm_90a`. The `a` lets Hopper use its own matrix instructions (wgmma).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = if (self.major, self.minor) == (9, 0) { "a" } else { "" };
        write!(f, "sm_{}{}{own}", self.major, self.minor)
    }
}

/// Held while a stream records a graph, and while one is made: making the first stream of a context waits for all of the card's work,
/// which breaks a recording on any thread.
static STREAMS: Mutex<()> = Mutex::new(());

/// Nobody records, and nobody makes a stream, until this is dropped.
pub(crate) fn hold_streams() -> MutexGuard<'static, ()> {
    STREAMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cards, by the bits of their numbers, of which somebody runs chains.
static CHAINED: AtomicU64 = AtomicU64::new(0);

/// The right to run chains on a card. Their blocks wait for each other, so all of a chain's must run at once: two programs' chains, each with
/// half of the card, would wait forever. Who comes second does without.
#[derive(Debug)]
pub(crate) struct Chains {
    bit: u64,
    taken: bool,
}

impl Chains {
    /// For a card, not taken yet.
    pub(crate) fn new(ordinal: usize) -> Chains {
        Chains { bit: 1_u64.checked_shl(ordinal as u32).unwrap_or(0), taken: false }
    }

    /// Whether this one may run chains, from now until it is dropped.
    pub(crate) fn take(&mut self) -> bool {
        self.taken = self.taken || (self.bit != 0 && CHAINED.fetch_or(self.bit, Ordering::AcqRel) & self.bit == 0);
        self.taken
    }
}

impl Drop for Chains {
    fn drop(&mut self) {
        if self.taken {
            CHAINED.fetch_and(!self.bit, Ordering::AcqRel);
        }
    }
}

/// An opened card.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// The primary context.
    pub(crate) context: Arc<CudaContext>,
    /// Its number, from 0; the driver puts the fastest first.
    pub(crate) ordinal: usize,
    /// As sold.
    pub(crate) name: String,
    /// Its generation.
    pub(crate) arch: Arch,
    /// How many multiprocessors it has.
    pub(crate) multiprocessors: usize,
    /// The most shared memory that a block can ask for, in bytes.
    pub(crate) shared_memory: usize,
    /// The second-level cache, in bytes.
    pub(crate) l2: usize,
    /// All of its memory, in bytes.
    pub(crate) memory: u64,
}

impl Card {
    /// Opens the card `ordinal`, or the first.
    ///
    /// # Errors
    /// No driver, or one that is too old; no such card, or one that is too old; the driver's own.
    pub(crate) fn open(ordinal: Option<usize>) -> Result<Card, CudaError> {
        let count = count()?;
        let ordinal = ordinal.unwrap_or(0);
        match count {
            0 => return Err(CudaError::NoDevice),
            count if ordinal >= count => return Err(CudaError::NoSuchDevice { ordinal, count }),
            _ => {}
        }
        let context = CudaContext::new(ordinal).map_err(CudaError::driver("open the card"))?;
        let attribute = |attribute| {
            let value = context.attribute(attribute).map_err(CudaError::driver("describe the card"))?;
            Ok(usize::try_from(value).unwrap_or(0))
        };
        let (major, minor) = context.compute_capability().map_err(CudaError::driver("describe the card"))?;
        let card = Card {
            ordinal,
            name: context.name().map_err(CudaError::driver("name the card"))?,
            arch: Arch { major: u32::try_from(major).unwrap_or(0), minor: u32::try_from(minor).unwrap_or(0) },
            multiprocessors: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            shared_memory: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            l2: attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            memory: context.total_mem().map_err(CudaError::driver("describe the card"))? as u64,
            context,
        };
        card.checked()
    }

    fn checked(self) -> Result<Card, CudaError> {
        match self.arch {
            arch if arch < Arch::OLDEST => {
                Err(CudaError::CardTooOld { name: self.name, found: arch, needed: Arch::OLDEST })
            }
            _ => Ok(self),
        }
    }

    /// A stream of its own.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn stream(&self) -> Result<Arc<CudaStream>, CudaError> {
        let _held = hold_streams();
        self.context.new_stream().map_err(CudaError::driver("make a stream"))
    }

    /// Bytes of memory that nobody uses now.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn free(&self) -> Result<u64, CudaError> {
        let (free, _) = self.context.mem_get_info().map_err(CudaError::driver("tell the free memory"))?;
        Ok(free as u64)
    }
}

/// How many cards there are.
///
/// # Errors
/// No driver, or one that is too old; the driver's own.
pub(crate) fn count() -> Result<usize, CudaError> {
    use cudarc::driver::{DriverError, sys::CUresult};
    driver::version()?;
    match CudaContext::device_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(CudaError::driver("start")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_programs_that_share_a_card_one_has_chains_until_it_is_dropped() {
        // A card that no other test has.
        let [mut first, mut second, mut elsewhere] = [63, 63, 62].map(Chains::new);
        assert!(first.take() && first.take() && !second.take() && elsewhere.take());
        drop(first);
        assert!(second.take());
        assert!(!Chains::new(64).take(), "cards beyond those that are counted have none");
    }

    #[test]
    fn architectures_are_named_as_the_compiler_names_them() {
        assert_eq!(Arch::CI.map(|arch| arch.to_string()), ["sm_80", "sm_89", "sm_90a", "sm_120"]);
        assert_eq!(Arch { major: 12, minor: 1 }.capability(), "12.1");
    }

    #[test]
    fn a_card_that_is_not_there_is_an_error_that_says_so() {
        let error = Card::open(Some(99)).map(|card| card.name).unwrap_err();
        let expected = match count() {
            Ok(0) => CudaError::NoDevice,
            Ok(count) => CudaError::NoSuchDevice { ordinal: 99, count },
            Err(error) => error,
        };
        assert_eq!(error, expected);
    }
}
