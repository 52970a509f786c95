//! Buffers of floats that several threads write at once.
#![expect(unsafe_code, reason = "threads write disjoint parts of one buffer")]

/// Floats in a line of cache lines, zeroed by the system at their first touch.
pub(crate) struct Floats {
    /// The first float on a border of 64 bytes.
    start: *mut f32,
    len: usize,
    /// Keeps the memory; never touched through this field.
    _memory: Vec<f32>,
}

// SAFETY: a buffer is plain memory that it owns.
unsafe impl Send for Floats {}
// SAFETY: shared references give raw pointers only; whoever uses those answers for it.
unsafe impl Sync for Floats {}

impl Floats {
    /// Zeros. Memory is taken from the system when it is first touched.
    pub(crate) fn new(len: usize) -> Floats {
        const LINE: usize = 64 / size_of::<f32>();
        let mut memory = vec![0.0f32; len + LINE];
        let start = memory.as_mut_ptr();
        let skip = start.align_offset(64).min(LINE);
        Floats { start: start.wrapping_add(skip), len, _memory: memory }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first float, for kernels.
    pub(crate) fn ptr(&self) -> *mut f32 {
        self.start
    }

    /// The first `len` floats.
    pub(crate) fn slice(&self, len: usize) -> &[f32] {
        assert!(len <= self.len, "{len} of {} floats", self.len);
        // SAFETY: the memory is there and initialized; kernels have returned when the executable looks at results.
        unsafe { std::slice::from_raw_parts(self.start, len) }
    }

    /// All floats.
    pub(crate) fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: the memory is there, and `&mut self` says that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_on_a_cache_line_and_hold_zeros() {
        for len in [0, 1, 15, 16, 1000] {
            let floats = Floats::new(len);
            assert_eq!(floats.ptr() as usize % 64, 0);
            assert_eq!(floats.slice(len), vec![0.0; len]);
        }
    }
}
