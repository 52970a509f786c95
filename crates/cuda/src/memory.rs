//! Memory of the card, owned.
#![expect(unsafe_code, reason = "the driver's memory calls take raw addresses")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::{CudaContext, CudaStream, result, sys};

use crate::CudaError;

/// Some bytes of the card's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    context: Arc<CudaContext>,
    at: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// At least one byte, so that the address is one. The contents are undefined.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`], naming `what` it was for.
    pub(crate) fn new(context: &Arc<CudaContext>, what: &str, bytes: usize) -> Result<Memory, CudaError> {
        context.bind_to_thread().map_err(CudaError::driver("select the card"))?;
        // SAFETY: a context is current; the address is freed once, when this value is dropped.
        let at = unsafe { result::malloc_sync(bytes.max(16)) }.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => CudaError::OutOfMemory {
                what: what.to_owned(),
                needed: bytes as u64,
                free: context.mem_get_info().map_or(0, |(free, _)| free as u64),
            },
            _ => CudaError::driver("allocate memory")(error),
        })?;
        Ok(Memory { context: Arc::clone(context), at, bytes })
    }

    /// The same, full of zeros.
    ///
    /// # Errors
    /// As [`Memory::new`].
    pub(crate) fn zeroed(context: &Arc<CudaContext>, what: &str, bytes: usize) -> Result<Memory, CudaError> {
        let memory = Memory::new(context, what, bytes)?;
        // SAFETY: the range is this allocation.
        unsafe { result::memset_d8_sync(memory.at, 0, bytes.max(16)) }.map_err(CudaError::driver("clear memory"))?;
        settle()?;
        Ok(memory)
    }

    /// A copy of some bytes.
    ///
    /// # Errors
    /// As [`Memory::new`].
    pub(crate) fn of(context: &Arc<CudaContext>, what: &str, bytes: &[u8]) -> Result<Memory, CudaError> {
        let memory = Memory::new(context, what, bytes.len())?;
        if !bytes.is_empty() {
            // SAFETY: the allocation has that many bytes.
            unsafe { result::memcpy_htod_sync(memory.at, bytes) }.map_err(CudaError::driver("copy to the card"))?;
            settle()?;
        }
        Ok(memory)
    }

    /// A copy of some floats.
    ///
    /// # Errors
    /// As [`Memory::new`].
    pub(crate) fn of_floats(context: &Arc<CudaContext>, what: &str, floats: &[f32]) -> Result<Memory, CudaError> {
        let bytes: Vec<u8> = floats.iter().flat_map(|f| f.to_le_bytes()).collect();
        Memory::of(context, what, &bytes)
    }

    /// Copies some bytes to the place `at`.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn write(&self, at: usize, bytes: &[u8]) -> Result<(), CudaError> {
        assert!(at + bytes.len() <= self.bytes, "{} bytes are written to {at} of {}", bytes.len(), self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies inside.
        unsafe { result::memcpy_htod_sync(self.at + at as u64, bytes) }
            .map_err(CudaError::driver("copy to the card"))?;
        settle()
    }

    /// The address.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Copies what begins at byte `from` to `to`, after everything that was put on the stream.
    ///
    /// # Errors
    /// The driver's, of this or of anything before it.
    pub(crate) fn read(&self, stream: &CudaStream, from: usize, to: &mut [u8]) -> Result<(), CudaError> {
        assert!(from + to.len() <= self.bytes, "{} bytes are read at {from} of {}", to.len(), self.bytes);
        // SAFETY: the range lies inside; the stream is awaited before `to` is used again.
        unsafe { result::memcpy_dtoh_async(to, self.at + from as u64, stream.cu_stream()) }
            .map_err(CudaError::driver("copy from the card"))?;
        stream.synchronize().map_err(CudaError::driver("wait for the card"))
    }

    /// Copies `len` bytes within.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn copy_within(&self, stream: &CudaStream, from: usize, to: usize, len: usize) -> Result<(), CudaError> {
        assert!(from.max(to) + len <= self.bytes, "a copy past the end of {} bytes", self.bytes);
        // SAFETY: both ranges lie inside.
        unsafe { result::memcpy_dtod_async(self.at + to as u64, self.at + from as u64, len, stream.cu_stream()) }
            .map_err(CudaError::driver("copy on the card"))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Nothing can be done about a failure, and the process's end frees it all.
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated by `malloc_sync`, freed once; kernels that use it were awaited by `free_sync`.
        let _ = unsafe { result::free_sync(self.at) };
    }
}

/// Waits for what the calls without a stream have begun: they return before the card has done it, and no stream of ours waits for it.
fn settle() -> Result<(), CudaError> {
    // SAFETY: null is the stream of those calls.
    unsafe { result::stream::synchronize(std::ptr::null_mut()) }.map_err(CudaError::driver("wait for the card"))
}

/// Bytes of the host that the card can read and write by itself.
#[derive(Debug)]
pub(crate) struct Pinned {
    context: Arc<CudaContext>,
    at: *mut u8,
    bytes: usize,
}

// SAFETY: the memory belongs to this value alone.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Zeros.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn new(context: &Arc<CudaContext>, bytes: usize) -> Result<Pinned, CudaError> {
        context.bind_to_thread().map_err(CudaError::driver("select the card"))?;
        // SAFETY: a context is current; freed once, when this value is dropped.
        let at =
            unsafe { result::malloc_host(bytes.max(16), 0) }.map_err(CudaError::driver("pin memory"))?.cast::<u8>();
        // SAFETY: that many bytes were just given.
        unsafe { at.write_bytes(0, bytes.max(16)) };
        Ok(Pinned { context: Arc::clone(context), at, bytes })
    }

    /// The address, which is the card's as well.
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    /// Eight bytes that the card may be writing.
    pub(crate) fn load(&self, index: usize) -> u64 {
        assert!((index + 1) * size_of::<u64>() <= self.bytes, "word {index} is read of {} bytes", self.bytes);
        // SAFETY: it lies inside, aligned as pages are; nobody writes it but the card, whole.
        let word = unsafe { AtomicU64::from_ptr(self.at.cast::<u64>().add(index)) };
        word.load(Ordering::Acquire)
    }

    /// The words; nothing on the stream may use them at the same time.
    pub(crate) fn words(&mut self) -> &mut [u32] {
        // SAFETY: allocated and initialized, aligned for more than u32, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.cast(), self.bytes / 4) }
    }

    /// Copies all of it to the card, in order with the stream.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) fn send(&self, to: &Memory, bytes: usize, stream: &CudaStream) -> Result<(), CudaError> {
        assert!(bytes <= self.bytes && bytes <= to.bytes, "{bytes} bytes are sent of {}", self.bytes);
        // SAFETY: both ranges exist; the caller does not change the words before the stream has been awaited.
        let from = unsafe { std::slice::from_raw_parts(self.at, bytes) };
        // SAFETY: as above.
        unsafe { result::memcpy_htod_async(to.at, from, stream.cu_stream()) }
            .map_err(CudaError::driver("copy to the card"))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated by `malloc_host`, freed once.
        let _ = unsafe { result::free_host(self.at.cast()) };
    }
}
