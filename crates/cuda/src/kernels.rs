//! The kernels' sources, and those of a program, loaded: each file once for each set of options.
#![expect(unsafe_code, reason = "launches hand raw arguments to the driver")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::{CudaFunction, CudaModule, CudaStream, sys};
use cudarc::nvrtc::Ptx;

use crate::cache::Kernels;
use crate::device::Card;
use crate::nvrtc::Source;
use crate::{Arch, CudaError};

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../kernels/", $name)))),*] };
}

/// What kernels include.
pub(crate) const HEADERS: &[(&str, &str)] = files![
    "common.cuh",
    "weights.cuh",
    "exchange.cuh",
    "ring.cuh",
    "epilogue.cuh",
    "norm.cuh",
    "multiply.cuh",
    "pages.cuh",
    "recurrent.cuh",
    "rotate.cuh",
    "attend.cuh",
    "ranges.cuh",
    "sample.cuh",
    "storage/codes.cuh",
    "storage/pieces.cuh",
    "storage/scales.cuh",
    "storage/dense.cuh",
    "storage/plain.cuh",
    "storage/raw.cuh",
];

/// The kernels.
pub(crate) const FILES: &[(&str, &str)] = files![
    "attend.cu",
    "attend_heads.cu",
    "attend_tiles.cu",
    "chain.cu",
    "conv.cu",
    "cut.cu",
    "delta.cu",
    "elementwise.cu",
    "embed.cu",
    "expand.cu",
    "gemm.cu",
    "hand_over.cu",
    "heads.cu",
    "lru.cu",
    "norm.cu",
    "plain.cu",
    "product.cu",
    "read.cu",
    "repack.cu",
    "repack_dense.cu",
    "rotate.cu",
    "route.cu",
    "sample.cu",
    "scan.cu",
    "ssd.cu",
];

/// The source of a file.
///
/// # Panics
/// Where there is no such file: a name in this crate is wrong.
pub(crate) fn source<'a>(file: &'a str, options: &'a [String]) -> Source<'a> {
    let text = FILES.iter().find(|(name, _)| *name == file).map(|(_, text)| *text);
    Source { name: file, text: text.unwrap_or_else(|| panic!("no kernel file {file}")), headers: HEADERS, options }
}

/// `-DNAME=VALUE`.
pub(crate) fn define(name: &str, value: impl std::fmt::Display) -> String {
    format!("-D{name}={value}")
}

/// A file and its options.
type Key = (String, Vec<String>);

/// Loads kernels for one card.
pub(crate) struct Library {
    card: Card,
    kernels: Arc<Kernels>,
    modules: RefCell<HashMap<Key, Arc<CudaModule>>>,
}

impl Library {
    pub(crate) fn new(card: Card, kernels: Arc<Kernels>) -> Library {
        Library { card, kernels, modules: RefCell::default() }
    }

    pub(crate) fn card(&self) -> &Card {
        &self.card
    }

    /// The function `name` of `file` compiled with `options`.
    ///
    /// # Errors
    /// No compiler, or the driver's.
    pub(crate) fn kernel(&self, file: &str, name: &'static str, options: &[String]) -> Result<Kernel, CudaError> {
        let key = (file.to_owned(), options.to_vec());
        let found = self.modules.borrow().get(&key).cloned();
        let module = match found {
            Some(module) => module,
            None => {
                let cubin = self.kernels.cubin(&source(file, options), self.card.arch)?;
                let module = self.card.context.load_module(Ptx::from_binary(cubin));
                let module = module.map_err(CudaError::driver("load a module"))?;
                self.modules.borrow_mut().insert(key, Arc::clone(&module));
                module
            }
        };
        let function = module.load_function(name).map_err(CudaError::driver("find a kernel"))?;
        Ok(Kernel { function, name, hopper: self.card.arch >= Arch { major: 9, minor: 0 } })
    }
}

/// A kernel ready to be launched.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    function: CudaFunction,
    name: &'static str,
    /// Whether it may be set up while the one before it still runs, and blocks may form clusters.
    hopper: bool,
}

/// How many blocks of how many threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    pub(crate) blocks: [usize; 3],
    pub(crate) threads: usize,
    /// Dynamic shared memory, in bytes.
    pub(crate) shared: usize,
}

impl Grid {
    pub(crate) fn new(blocks: usize, threads: usize) -> Grid {
        Grid { blocks: [blocks, 1, 1], threads, shared: 0 }
    }

    /// For kernels whose threads go over `count` numbers together, in strides of the grid.
    pub(crate) fn over(count: usize) -> Grid {
        Grid::new(count.div_ceil(256).min(4096), 256)
    }
}

/// The addresses of a kernel's arguments, in order. Each must have the size and layout of the parameter.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &mut [$((&raw const $arg).cast_mut().cast::<std::ffi::c_void>()),*] };
}
pub(crate) use args;

impl Kernel {
    /// Allows as much dynamic shared memory as launches will ask for.
    ///
    /// # Errors
    /// The driver's: the card has less.
    pub(crate) fn allow_shared(&self, bytes: usize) -> Result<(), CudaError> {
        let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        self.function.set_attribute(attribute, bytes as i32).map_err(CudaError::driver("give a kernel shared memory"))
    }

    /// How many blocks of so many threads, without dynamic shared memory, a multiprocessor runs at once.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn resident(&self, threads: usize) -> Result<usize, CudaError> {
        let blocks = self.function.occupancy_max_active_blocks_per_multiprocessor(threads as u32, 0, None);
        Ok(blocks.map_err(CudaError::driver("ask how many blocks fit"))? as usize)
    }

    /// Whether blocks may form clusters.
    pub(crate) fn has_clusters(&self) -> bool {
        self.hopper
    }

    /// Puts the kernel on the stream.
    ///
    /// # Safety
    /// The arguments are those that the kernel declares, and what they point to is as long as the kernel's contract says and lives
    /// until the stream has been awaited.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) unsafe fn launch(
        &self,
        stream: &CudaStream,
        grid: Grid,
        args: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe { self.launch_clusters(stream, grid, 1, args) }
    }

    /// The same, with each `cluster` blocks that follow each other in the grid's third direction as one cluster. Only cards of which
    /// [`Kernel::has_clusters`] is true run more than one block in a cluster.
    ///
    /// # Safety
    /// As [`Kernel::launch`].
    ///
    /// # Errors
    /// The driver's.
    pub(crate) unsafe fn launch_clusters(
        &self,
        stream: &CudaStream,
        grid: Grid,
        cluster: usize,
        args: &mut [*mut c_void],
    ) -> Result<(), CudaError> {
        use sys::CUlaunchAttributeID as Id;
        let attribute = |id, value| sys::CUlaunchAttribute { id, pad: [0; 4], value };
        let cluster_dim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: 1, y: 1, z: cluster as u32 };
        let mut attributes = [
            attribute(
                Id::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
                sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
            ),
            attribute(
                Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
                sys::CUlaunchAttributeValue { clusterDim: cluster_dim },
            ),
        ];
        let [x, y, z] = grid.blocks.map(|n| n as u32);
        let config = sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: grid.threads as u32,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: grid.shared as u32,
            hStream: stream.cu_stream(),
            attrs: attributes.as_mut_ptr(),
            numAttrs: if self.hopper { 1 + u32::from(cluster > 1) } else { 0 },
        };
        // SAFETY: the configuration and the arguments live until the call returns; the rest is the caller's promise.
        let code = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                self.function.cu_function(),
                args.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        match code {
            sys::CUresult::CUDA_SUCCESS => Ok(()),
            code => Err(CudaError::Launch { kernel: self.name.to_owned(), code: format!("{code:?}") }),
        }
    }
}
