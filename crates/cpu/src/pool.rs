//! A small pool of threads for work of microseconds.
//!
//! The caller is one of the threads. Workers spin for a moment after each piece of work, because the next op follows within
//! microseconds, and then sleep, so that an idle process uses no processor time.
#![expect(unsafe_code, reason = "a job is borrowed by other threads for as long as the caller waits")]

use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long a worker spins before it sleeps: longer than the gap between two ops, shorter than anybody notices.
const SPIN: Duration = Duration::from_micros(50);

/// Work for all threads: called once in each, with the thread's number.
type Job<'a> = dyn Fn(usize) + Sync + 'a;

/// The threads.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the caller whose job runs: several executables may share a pool.
    turn: Mutex<()>,
    /// How many pieces of each thread's share have been taken, for [`Pool::each_near`].
    next: Vec<Line<AtomicUsize>>,
}

/// On a cache line of its own: one thread spins on it while others write beside it.
#[repr(align(128))]
struct Line<T>(T);

struct Shared {
    /// Counts jobs; a worker waits for it to change.
    epoch: Line<AtomicUsize>,
    /// Workers that have not finished the job.
    running: Line<AtomicUsize>,
    job: UnsafeCell<Option<&'static Job<'static>>>,
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    panicked: AtomicBool,
}

// SAFETY: `job` is written by the caller only while no worker runs (`running` is 0 and the epoch is the one they have seen),
// and read by workers only between the change of the epoch and their decrement of `running`.
unsafe impl Sync for Shared {}
// SAFETY: `Job` is `Sync`, so a reference to one may go to another thread.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads` threads, the caller included.
    pub(crate) fn new(threads: usize) -> io::Result<Pool> {
        let shared = Arc::new(Shared {
            epoch: Line(AtomicUsize::new(0)),
            running: Line(AtomicUsize::new(0)),
            job: UnsafeCell::new(None),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let next = (0..threads).map(|_| Line(AtomicUsize::new(0))).collect();
        let mut pool = Pool { shared, workers: Vec::new(), turn: Mutex::new(()), next };
        for thread in 1..threads {
            let shared = Arc::clone(&pool.shared);
            pool.workers.push(Builder::new().name(format!("ffai-cpu-{thread}")).spawn(move || shared.work(thread))?);
        }
        Ok(pool)
    }

    /// How many threads there are, the caller included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `job(thread)` once in each thread and waits for all.
    ///
    /// # Panics
    /// When the job panicked in any thread, after all of them are done.
    pub(crate) fn run(&self, job: &Job<'_>) {
        if self.workers.is_empty() {
            return job(0);
        }
        let turn = hold(&self.turn);
        self.run_in_turn(job);
        drop(turn);
    }

    /// [`Pool::run`] for whoever holds the turn.
    fn run_in_turn(&self, job: &Job<'_>) {
        self.shared.panicked.store(false, Ordering::Relaxed);
        let waiting = self.start(job);
        job(0);
        drop(waiting);
        let panicked = self.shared.panicked.load(Ordering::Relaxed);
        assert!(!panicked, "a thread of the CPU backend panicked; its message is above");
    }

    /// Runs `work(thread, i)` for each `i < count`; the threads take the next `i` when they are ready for it.
    pub(crate) fn each(&self, count: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        if count <= 1 {
            return (0..count).for_each(|i| work(0, i));
        }
        let next = Line(AtomicUsize::new(0));
        self.run(&|thread| {
            loop {
                let i = next.0.fetch_add(1, Ordering::Relaxed);
                if i >= count {
                    break;
                }
                work(thread, i);
            }
        });
    }

    /// The same for work that reads on where its predecessor ended: each thread begins with a stretch of numbers of its own, and helps
    /// others when it is done.
    pub(crate) fn each_near(&self, count: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let threads = self.threads();
        if count <= 1 || threads == 1 {
            return (0..count).for_each(|i| work(0, i));
        }
        let turn = hold(&self.turn);
        self.next.iter().for_each(|next| next.0.store(0, Ordering::Relaxed));
        self.run_in_turn(&|thread| {
            for owner in (thread..threads).chain(0..thread) {
                let (first, end) = (owner * count / threads, (owner + 1) * count / threads);
                loop {
                    let i = first + self.next[owner].0.fetch_add(1, Ordering::Relaxed);
                    if i >= end {
                        break;
                    }
                    work(thread, i);
                }
            }
        });
        drop(turn);
    }

    /// Shows the job to the workers. They are done with it when the guard is gone.
    fn start<'a>(&'a self, job: &'a Job<'a>) -> Waiting<'a> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; `Waiting` keeps the borrow until no worker uses it, also when the caller panics.
        let job = unsafe { std::mem::transmute::<&'a Job<'a>, &'static Job<'static>>(job) };
        // SAFETY: no worker runs, see `Shared`.
        unsafe { *shared.job.get() = Some(job) };
        shared.running.0.store(self.workers.len(), Ordering::Relaxed);
        shared.advance();
        Waiting(shared)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.advance();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of jobs, so it has nothing to report.
            let _ = worker.join();
        }
    }
}

/// Waits for the workers when dropped.
struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut spins = 0u32;
        while self.0.running.0.load(Ordering::Acquire) != 0 {
            spins += 1;
            // A worker that lost its core to another process will not come back while this one spins on it.
            if spins.is_multiple_of(4096) { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl Shared {
    /// Announces a new epoch. The sleepers' count and the epoch are each written before the other is read, so either the
    /// sleeper sees the epoch or the caller sees the sleeper.
    fn advance(&self) {
        self.epoch.0.fetch_add(1, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            drop(hold(&self.lock));
            self.wake.notify_all();
        }
    }

    fn work(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.next(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the epoch has changed and `running` still counts this worker, see `Shared`.
            let job = unsafe { *self.job.get() };
            if let Some(job) = job
                && catch_unwind(AssertUnwindSafe(|| job(thread))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.running.0.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for the epoch after `seen`: spinning first, then asleep.
    fn next(&self, seen: usize) -> usize {
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..64 {
                let epoch = self.epoch.0.load(Ordering::Acquire);
                if epoch != seen {
                    return epoch;
                }
                std::hint::spin_loop();
            }
        }
        let mut guard = hold(&self.lock);
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        while self.epoch.0.load(Ordering::SeqCst) == seen {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
        self.epoch.0.load(Ordering::Acquire)
    }
}

/// Locks guard no data here, so one that a panic poisoned is as good as any.
fn hold(lock: &Mutex<()>) -> MutexGuard<'_, ()> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_of_work_is_done_once_over_many_tiny_runs() {
        let pool = Pool::new(3).unwrap();
        for round in 0..20_000 {
            let done: Vec<AtomicUsize> = (0..round % 7).map(|_| AtomicUsize::new(0)).collect();
            let work = |_: usize, i: usize| {
                done[i].fetch_add(1, Ordering::Relaxed);
            };
            pool.each(done.len(), &work);
            pool.each_near(done.len(), &work);
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 2), "round {round}");
        }
    }

    #[test]
    fn workers_wake_up_after_they_slept() {
        let pool = Pool::new(3).unwrap();
        for _ in 0..20 {
            std::thread::sleep(SPIN * 4);
            let threads = AtomicUsize::new(0);
            pool.run(&|_| {
                threads.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(threads.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn a_panic_in_any_thread_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(3).unwrap();
        for bad in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| pool.run(&|thread| assert_ne!(thread, bad))));
            assert!(result.is_err(), "thread {bad}");
            let threads = AtomicUsize::new(0);
            pool.run(&|_| {
                threads.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(threads.load(Ordering::Relaxed), 3);
        }
    }

    #[test]
    fn dropping_the_pool_joins_its_threads() {
        let pool = Pool::new(4).unwrap();
        let shared = Arc::clone(&pool.shared);
        drop(pool);
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn callers_in_two_threads_take_turns() {
        let pool = Pool::new(2).unwrap();
        let total = AtomicUsize::new(0);
        let add = || {
            for _ in 0..2000 {
                pool.each(5, &|_, i| {
                    total.fetch_add(i, Ordering::Relaxed);
                });
            }
        };
        std::thread::scope(|s| {
            s.spawn(add);
            s.spawn(add);
        });
        assert_eq!(total.load(Ordering::Relaxed), 2 * 2000 * 10);
    }
}
