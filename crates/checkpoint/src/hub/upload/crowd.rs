//! Several objects at a time, and the progress of all of them together.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::UploadEvent;
use super::error::UploadError;
use super::object::Object;
use super::plan::Change;
use super::target::Target;

/// One connection seldom fills a line; many more gain nothing.
const AT_ONCE: usize = 4;
/// Progress is told at most so often.
const TICK: Duration = Duration::from_millis(100);

/// What the sending threads tell the one that asked.
pub(super) enum Note {
    /// So many bytes more have been sent, or fewer where some have to be sent again.
    Bytes(i64),
    Event(UploadEvent),
}

/// Makes the Hub's storage have all objects.
pub(super) fn send(
    target: &Target<'_>,
    objects: &[&Change<'_>],
    progress: &mut Progress<'_>,
) -> Result<(), UploadError> {
    let (next, first_failure) = (AtomicUsize::new(0), Mutex::new(None));
    let work = |notes: &Sender<Note>| {
        while let Some(change) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (sent, fault) = (Cell::new(0), RefCell::new(None));
            let object = Object { target, change, notes: notes.clone(), sent, fault };
            if let Err(error) = object.send() {
                // Those that are stopped for it come later.
                if !target.stop.swap(true, Ordering::Relaxed) {
                    first_failure.lock().map(|mut failure| *failure = Some(error)).unwrap_or_default();
                }
                return;
            }
        }
    };
    thread::scope(|scope| {
        let _guard = StopOnPanic(target);
        let (sender, notes) = channel();
        for _ in 0..objects.len().min(AT_ONCE) {
            let (sender, work) = (sender.clone(), &work);
            scope.spawn(move || work(&sender));
        }
        drop(sender);
        progress.follow(&notes);
    });
    first_failure.into_inner().unwrap_or_default().map_or(Ok(()), Err)
}

/// Threads end soon also where a listener panics.
struct StopOnPanic<'a>(&'a Target<'a>);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// The bytes of all objects together.
pub(super) struct Progress<'a> {
    done: u64,
    total: u64,
    /// When and what was told last.
    told: Option<(Instant, u64)>,
    on: &'a mut dyn FnMut(UploadEvent),
}

impl<'a> Progress<'a> {
    pub(super) fn new(total: u64, on: &'a mut dyn FnMut(UploadEvent)) -> Progress<'a> {
        Progress { done: 0, total, told: None, on }
    }

    /// Passes on what the threads tell, until they have ended.
    fn follow(&mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            match note {
                Note::Bytes(bytes) => self.done = self.done.saturating_add_signed(bytes),
                Note::Event(event) => (self.on)(event),
            }
            if self.told.is_none_or(|(when, _)| when.elapsed() >= TICK) {
                self.tell();
            }
        }
        self.tell();
    }

    fn tell(&mut self) {
        if self.told.is_none_or(|(_, done)| done != self.done) {
            self.told = Some((Instant::now(), self.done));
            (self.on)(UploadEvent::Sending { done: self.done, total: self.total });
        }
    }
}
