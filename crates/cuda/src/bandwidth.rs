//! How fast the card reads its memory.
#![expect(unsafe_code, reason = "launches")]

use std::time::Instant;

use cudarc::driver::CudaStream;

use crate::CudaError;
use crate::kernels::{Grid, Library, args};
use crate::memory::Memory;

/// Many times what any cache holds.
const BYTES: usize = 2 << 30;
const TIMES: usize = 20;

/// Bytes per second: the best of three runs of several passes over 2 GB of random numbers (less where less is free).
pub(crate) fn read(library: &Library, stream: &CudaStream) -> Result<f64, CudaError> {
    let card = library.card();
    let bytes = BYTES.min(card.free()? as usize / 2) / (1 << 20) * (1 << 20);
    let memory = Memory::new(&card.context, "the measurement", bytes)?;
    let sink = Memory::zeroed(&card.context, "the measurement", 4)?;
    let (at, words, vectors, sink) = (memory.at(), (bytes / 4) as u64, (bytes / 16) as u64, sink.at());
    let (fill, read) = (library.kernel("read.cu", "fill_random", &[])?, library.kernel("read.cu", "read_all", &[])?);
    let grid = Grid::new(card.multiprocessors * 8, 1024);
    let wait = || stream.synchronize().map_err(CudaError::driver("wait for the card"));
    // SAFETY: the memory has that many words.
    unsafe { fill.launch(stream, Grid::new(1024, 256), args![at, words])? };
    // SAFETY: and that many vectors; the sink is a word.
    let pass = || unsafe { read.launch(stream, grid, args![at, vectors, sink]) };
    pass()?;
    wait()?;
    let mut best: f64 = 0.0;
    for _ in 0..3 {
        let start = Instant::now();
        (0..TIMES).try_for_each(|_| pass())?;
        wait()?;
        best = best.max((bytes * TIMES) as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}
