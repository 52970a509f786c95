//! Sending one object: to one address or in parts, tried again when the connection breaks, and with new addresses when they have
//! expired.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::Sender;

use serde_json::json;

use crate::hub::failure::Failure;
use crate::hub::http::{Content, Kind, Reply};
use crate::hub::retry::Pauses;
use crate::hub::status;

use super::UploadEvent;
use super::batch::{self, Addresses, Order};
use super::crowd::Note;
use super::error::UploadError;
use super::files::Local;
use super::plan::Change;
use super::target::{Answer, Target};

/// How often an object gets new addresses.
const MOST_ADDRESSES: u32 = 3;
const LONGEST_ETAG: usize = 256;

/// An object on its way.
pub(super) struct Object<'a> {
    pub(super) target: &'a Target<'a>,
    pub(super) change: &'a Change<'a>,
    pub(super) notes: Sender<Note>,
    /// Bytes that count as sent.
    pub(super) sent: Cell<u64>,
    /// Why the file could not be read, behind the connection's back.
    pub(super) fault: RefCell<Option<UploadError>>,
}

/// Why an object has not arrived.
enum Trouble {
    /// An address is refused, which is what happens when it has expired.
    Expired(Box<Reply>),
    Final(UploadError),
}

impl From<UploadError> for Trouble {
    fn from(error: UploadError) -> Trouble {
        Trouble::Final(error)
    }
}

impl Object<'_> {
    /// Makes the Hub's storage have it.
    pub(super) fn send(&self) -> Result<(), UploadError> {
        let mut asked = 0;
        loop {
            self.target.go_on()?;
            asked += 1;
            let (to, verify) = match batch::ask(self.target, self.change)? {
                Order::Present => {
                    self.count(self.change.file.size);
                    return Ok(());
                }
                Order::Send { to, verify } => (to, verify),
            };
            match self.carry(&to) {
                Ok(()) => return verify.map_or(Ok(()), |address| self.verify(&address)),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Expired(reply)) if asked == MOST_ADDRESSES => return Err(self.refused(*reply)),
                Err(Trouble::Expired(reply)) => {
                    self.forget(self.sent.get());
                    let reason = format!("{} refuses it (status {})", reply.host, reply.status);
                    self.tell(UploadEvent::Retrying { file: self.name().into(), reason });
                }
            }
        }
    }

    fn name(&self) -> &str {
        &self.change.file.name
    }

    fn carry(&self, to: &Addresses) -> Result<(), Trouble> {
        let total = self.change.file.size;
        let (size, parts, complete) = match to {
            Addresses::One(address) => return self.put(address, 0, total).map(drop),
            Addresses::Parts { size, parts, complete } => (*size, parts, complete),
        };
        let mut list = Vec::with_capacity(parts.len());
        for (number, address) in (0..).zip(parts) {
            let start = size * number;
            let reply = self.put(address, start, size.min(total - start))?;
            let etag = reply.header("etag").filter(|etag| !etag.is_empty() && etag.len() <= LONGEST_ETAG);
            let etag = etag.ok_or_else(|| self.target.nonsense(format!("no ETag for part {}", number + 1)))?;
            list.push(json!({"partNumber": number + 1, "etag": etag}));
        }
        let body = json!({"oid": self.change.hash, "parts": list}).to_string();
        let request = || self.target.client.post_bytes_to(complete, Kind::Lfs, body.as_bytes());
        match self.target.patiently(self.name(), request)? {
            Answer::Success(_) => Ok(()),
            // Where an answer was lost, the parts are gone, and the object is there: it is asked for again.
            Answer::Refusal(reply) => Err(Trouble::Expired(Box::new(reply))),
        }
    }

    /// Has the Hub compare what has arrived with what was announced.
    fn verify(&self, address: &str) -> Result<(), UploadError> {
        let body = json!({"oid": self.change.hash, "size": self.change.file.size}).to_string();
        let request = || self.target.client.post_bytes_to(address, Kind::Lfs, body.as_bytes());
        match self.target.patiently(self.name(), request)? {
            Answer::Success(_) => Ok(()),
            Answer::Refusal(reply) => Err(self.refused(reply)),
        }
    }

    fn refused(&self, reply: Reply) -> UploadError {
        let (host, status, what) = (reply.host.clone(), reply.status, self.name().to_owned());
        UploadError::Refused { host, what, status, message: status::message(reply) }
    }

    /// Sends a stretch of the file to one address.
    fn put(&self, address: &str, start: u64, length: u64) -> Result<Reply, Trouble> {
        let mut pauses = Pauses::new(self.target.client.remote.patience);
        loop {
            let before = self.sent.get();
            let open = || -> Box<dyn Read + '_> { Box::new(Stretch { object: self, start, left: length, file: None }) };
            let result = self.target.client.put_to(address, &Content { kind: Kind::Object, length, open: &open });
            if let Some(fault) = self.fault.take() {
                return Err(fault.into());
            }
            let settled = result.and_then(|reply| status::settled(reply, &self.target.client));
            let read = self.sent.get() - before;
            let failure = match settled {
                Ok(reply) if status::is_success(&reply) && read == length => return Ok(reply),
                Ok(reply) if status::is_success(&reply) => {
                    let problem = format!("it accepts {} and has read {read} of {length} bytes", self.name());
                    return Err(Trouble::Final(self.target.nonsense(problem)));
                }
                Ok(reply) => return Err(Trouble::Expired(Box::new(reply))),
                Err(failure) => failure,
            };
            self.forget(read);
            self.again(failure, &mut pauses)?;
        }
    }

    fn again(&self, failure: Failure, pauses: &mut Pauses) -> Result<(), UploadError> {
        let reason = self.target.pause(failure, self.name(), pauses)?;
        self.tell(UploadEvent::Retrying { file: self.name().into(), reason });
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
        self.note(Note::Bytes(i64::try_from(bytes).unwrap_or(i64::MAX)));
    }

    fn forget(&self, bytes: u64) {
        self.sent.set(self.sent.get() - bytes);
        self.note(Note::Bytes(-i64::try_from(bytes).unwrap_or(i64::MAX)));
    }

    fn tell(&self, event: UploadEvent) {
        self.note(Note::Event(event));
    }

    /// Nobody listens any more only when the caller has panicked.
    fn note(&self, note: Note) {
        let _ = self.notes.send(note);
    }
}

/// A stretch of the object's file, opened when it is first read.
struct Stretch<'a> {
    object: &'a Object<'a>,
    start: u64,
    left: u64,
    file: Option<File>,
}

impl Stretch<'_> {
    fn next(&mut self, into: &mut [u8]) -> Result<usize, UploadError> {
        self.object.target.go_on()?;
        let local: &Local = self.object.change.file;
        let file = match self.file.take() {
            Some(file) => file,
            None => local.open(self.start)?,
        };
        let file = self.file.insert(file);
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..most).unwrap_or_default();
        let read = file.read(into).map_err(|source| local.unreadable(source))?;
        if read == 0 && self.left > 0 {
            return Err(local.changed());
        }
        self.left -= read as u64;
        self.object.count(read as u64);
        Ok(read)
    }
}

impl Read for Stretch<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.next(into).map_err(|error| {
            *self.object.fault.borrow_mut() = Some(error);
            io::Error::other("the file cannot be read")
        })
    }
}
