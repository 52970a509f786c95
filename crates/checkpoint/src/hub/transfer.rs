//! Downloading one file: resumed, verified, and tried again when the connection breaks.

use std::fs::{File, TryLockError};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use super::FetchEvent;
use super::api::{Listing, RemoteFile};
use super::error::HubError;
use super::failure::Failure;
use super::http::{Client, Reply};
use super::layout::RepoCache;
use super::name::HubName;
use super::partial::Partial;
use super::retry::Pauses;
use super::status;

const CHUNK: usize = 256 << 10;
/// How soon a pause notices that it is no longer needed.
const SLICE: Duration = Duration::from_millis(50);

/// What the downloading threads tell the one that asked.
pub(super) enum Note {
    /// So many bytes more are there, or fewer where some had to be thrown away.
    Bytes(i64),
    Event(FetchEvent),
}

/// What all files of a repository have in common.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) cache: &'a RepoCache,
    pub(super) wanted: &'a HubName<'a>,
    pub(super) listing: &'a Listing,
}

/// The download of one file.
pub(super) struct Transfer<'a> {
    pub(super) source: Source<'a>,
    pub(super) file: &'a RemoteFile,
    pub(super) notes: Sender<Note>,
    /// Set when another file has failed.
    pub(super) stop: &'a AtomicBool,
}

impl Transfer<'_> {
    /// Makes the file's blob be there.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let Source { cache, listing, .. } = self.source;
        // Held until the end. Where the system has no locks, two downloads at once disturb each other, and the hash tells.
        let _lock = cache.lock(&self.file.etag).ok().map(|lock| self.acquire(lock));
        if cache.has(&listing.commit, self.file)? {
            self.arrived(self.file.size);
            return Ok(());
        }
        let mut partial = Partial::open(&cache.partial(&self.file.etag), self.file)?;
        let resumed = partial.done() > 0;
        self.arrived(partial.done());
        self.fill(&mut partial)?;
        if let Some((what, got)) = partial.differs() {
            if !resumed {
                return Err(partial.discard(what, got).into());
            }
            // What an earlier run had left may have been wrong: once more from the start.
            self.restart(&mut partial)?;
            self.fill(&mut partial)?;
            if let Some((what, got)) = partial.differs() {
                return Err(partial.discard(what, got).into());
            }
        }
        Ok(partial.finish(&cache.blob(&self.file.etag))?)
    }

    fn acquire(&self, lock: File) -> File {
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            self.tell(Note::Event(FetchEvent::Waiting { file: self.file.name.clone() }));
            // Fails only where the system has no locks.
            let _ = lock.lock();
        }
        lock
    }

    /// Downloads until all bytes are there.
    fn fill(&self, partial: &mut Partial<'_>) -> Result<(), Failure> {
        let mut pauses = Pauses::new(self.source.client.remote.patience);
        while partial.left() > 0 {
            let Err(failure) = self.attempt(partial, &mut pauses) else { continue };
            let (reason, busy) = match failure {
                Failure::Passing { reason, busy } => (reason, busy),
                Failure::Unreachable { host, reason } => (format!("{host}: {reason}"), None),
                other => return Err(other),
            };
            let Some(pause) = pauses.next(busy.as_ref()) else {
                let token = self.source.client.remote.token.is_some();
                return Err(Failure::Final(match busy {
                    Some(busy) if partial.done() == 0 => HubError::Busy { host: busy.host, reason, token },
                    _ => self.interrupted(partial, reason, pauses.failures()),
                }));
            };
            self.tell(Note::Event(FetchEvent::Retrying { file: self.file.name.clone(), reason }));
            self.sleep(pause)?;
        }
        Ok(())
    }

    fn interrupted(&self, partial: &Partial<'_>, reason: String, attempts: u32) -> HubError {
        let (file, done, total) = (self.file.name.clone(), partial.done(), self.file.size);
        HubError::Interrupted { file, done, total, reason, attempts }
    }

    /// One request, from where the file ends.
    fn attempt(&self, partial: &mut Partial<'_>, pauses: &mut Pauses) -> Result<(), Failure> {
        self.go_on()?;
        let Source { client, wanted, listing, .. } = self.source;
        let reply = client.get(&listing.path(wanted, &self.file.name), partial.done())?;
        if reply.status == 416 {
            // Nothing left to send, it says, but there is: what we have is not the beginning of it.
            self.restart(partial)?;
            return Err(Failure::Passing { reason: "it refuses to resume".into(), busy: None });
        }
        let reply = status::success(reply, client, wanted, Some(&self.file.name))?;
        if partial.done() > 0 && !continues(&reply, partial.done()) {
            self.restart(partial)?;
        }
        if let Some(length) = reply.number("content-length").filter(|length| *length != partial.left()) {
            let total = partial.done().saturating_add(length);
            return Err(partial.discard("size", total.to_string()).into());
        }
        self.copy(reply, partial, pauses)
    }

    fn copy(&self, reply: Reply, partial: &mut Partial<'_>, pauses: &mut Pauses) -> Result<(), Failure> {
        let mut body = reply.body();
        let mut chunk = vec![0; CHUNK];
        loop {
            self.go_on()?;
            let broken = |error: std::io::Error| Failure::Passing { reason: error.to_string(), busy: None };
            let read = body.read(&mut chunk).map_err(broken)?;
            let Some(bytes) = chunk.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            partial.write(bytes)?;
            self.arrived(read as u64);
            pauses.reset();
        }
        match partial.left() {
            0 => Ok(()),
            _ => Err(Failure::Passing { reason: "the connection was closed".into(), busy: None }),
        }
    }

    fn restart(&self, partial: &mut Partial<'_>) -> Result<(), HubError> {
        self.tell(Note::Bytes(-i64::try_from(partial.done()).unwrap_or(i64::MAX)));
        partial.restart()
    }

    fn arrived(&self, bytes: u64) {
        self.tell(Note::Bytes(i64::try_from(bytes).unwrap_or(i64::MAX)));
    }

    /// Nobody listens any more only when the caller has panicked.
    fn tell(&self, note: Note) {
        let _ = self.notes.send(note);
    }

    fn go_on(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) { Err(Failure::Stopped) } else { Ok(()) }
    }

    fn sleep(&self, mut pause: Duration) -> Result<(), Failure> {
        while !pause.is_zero() {
            self.go_on()?;
            let slice = pause.min(SLICE);
            std::thread::sleep(slice);
            pause -= slice;
        }
        Ok(())
    }
}

/// Whether the answer begins at byte `start`.
fn continues(reply: &Reply, start: u64) -> bool {
    let range = || reply.header("content-range")?.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok();
    reply.status == 206 && range() == Some(start)
}
