//! The pages of a state group: keys and values as they are kept.
#![expect(unsafe_code, reason = "threads write disjoint parts of the pages")]

use ffai_checkpoint::Float;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::floats::Floats;

/// Numbers of one kind, zeroed by the system at their first touch.
pub(crate) struct Pages {
    memory: Floats,
    float: Float,
    len: usize,
}

impl Pages {
    /// Room for `len` numbers.
    pub(crate) fn new(len: usize, float: Float) -> Pages {
        Pages { memory: Floats::new((len * float.size()).div_ceil(size_of::<f32>())), float, len }
    }

    /// Where number `at` is.
    pub(crate) fn at(&self, at: usize) -> *mut u8 {
        self.memory.ptr().cast::<u8>().wrapping_add(at * self.float.size())
    }

    /// Numbers `at .. at + values.len()` become these, rounded to what the pages keep.
    ///
    /// # Safety
    /// Nobody else uses these numbers at the same time.
    ///
    /// # Panics
    /// Where there are no such numbers.
    pub(crate) unsafe fn write(&self, at: usize, values: &[f32]) {
        let len = values.len();
        assert!(at + len <= self.len, "numbers {at} to {} of {}", at + len, self.len);
        let to = self.at(at);
        // SAFETY: the numbers are there, on borders of their size, and the caller's alone.
        unsafe {
            match self.float {
                Float::F32 => std::slice::from_raw_parts_mut(to.cast::<f32>(), len).copy_from_slice(values),
                Float::F16 => std::slice::from_raw_parts_mut(to.cast::<f16>(), len).convert_from_f32_slice(values),
                Float::BF16 => std::slice::from_raw_parts_mut(to.cast::<bf16>(), len).convert_from_f32_slice(values),
            }
        }
    }

    /// Copies `len` numbers.
    ///
    /// # Panics
    /// Where there are no such numbers.
    pub(crate) fn copy(&mut self, from: usize, to: usize, len: usize) {
        assert!(from.max(to) + len <= self.len, "{len} of {} numbers", self.len);
        // SAFETY: both ranges are there, and `&mut self` says that nobody else uses them.
        unsafe { std::ptr::copy(self.at(from), self.at(to), len * self.float.size()) };
    }
}
