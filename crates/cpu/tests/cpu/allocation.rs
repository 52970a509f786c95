//! A decode step takes no memory but for the list of outputs that it gives away.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ffai_checkpoint::{Affine, Float, Storage};
use ffai_cpu::Level;
use ffai_program::conform::Rng;
use ffai_program::{Output, SampleInputs, Sampling, Want};

use crate::cpu;
use crate::model::{Model, tokens};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ASKED.with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One thread, so that all of a step happens in this one.
#[test]
fn decode_steps_take_no_memory_but_for_their_outputs() {
    let storage = Storage::Affine(Affine { bits: 4, group: 64, scales: Float::F16 });
    let (plain, recurrent) = (Model::new(storage), Model::recurrent(storage));
    for model in [&plain, &recurrent] {
        let mut run = model.compile(&cpu(Level::best(), 1));
        let mut seqs = [0, 1].map(|n| model.sequence(n, tokens(100, &mut Rng(n as u64))));
        model.step(&mut *run, &mut seqs.each_mut().map(|seq| (seq, 60)));
        for step in 0..30 {
            let mut inputs = model.inputs(&mut seqs.each_mut().map(|seq| (seq, 1)));
            let greedy = || SampleInputs { sampling: Sampling::greedy(), ..SampleInputs::default() };
            inputs.want.iter_mut().for_each(|want| want.what = Want::Sample(Box::new(greedy())));
            let before = ASKED.get();
            let outputs = run.step(&inputs).expect("a step that runs");
            assert_eq!(ASKED.get() - before, 1, "step {step}");
            assert!(matches!(outputs[..], [Output::Token(_), Output::Token(_)]));
        }
    }
}
