//! The events of one request, as they come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use crate::worker::Shared;
use crate::{Event, RequestId};

/// The events of one request, in order; ends after the last one. Dropping it cancels the request.
#[derive(Debug)]
pub struct EventStream {
    id: RequestId,
    events: Receiver<Event>,
    over: bool,
    shared: Arc<Shared>,
}

impl EventStream {
    pub(crate) fn new(id: RequestId, events: Receiver<Event>, shared: Arc<Shared>) -> Self {
        EventStream { id, events, over: false, shared }
    }

    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The next event if there is one by now. None means nothing yet, or that the stream [is over](EventStream::is_over).
    pub fn try_next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        match self.events.try_recv() {
            Ok(event) => Some(self.note(event)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.cut_off()),
        }
    }

    /// The next event, waiting for it no longer than `timeout`. None as for [`EventStream::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Event> {
        if self.over {
            return None;
        }
        match self.events.recv_timeout(timeout) {
            Ok(event) => Some(self.note(event)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(self.cut_off()),
        }
    }

    /// Whether the last event has been taken.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn note(&mut self, event: Event) -> Event {
        self.over = event.is_last();
        event
    }

    fn cut_off(&mut self) -> Event {
        self.over = true;
        Event::Failed(self.shared.end())
    }
}

impl Iterator for EventStream {
    type Item = Event;

    /// Waits for the next event.
    fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        Some(match self.events.recv() {
            Ok(event) => self.note(event),
            Err(_) => self.cut_off(),
        })
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !self.over {
            let id = self.id;
            self.shared.send(Box::new(move |serving| {
                serving.streams.remove(&id);
                serving.engine.cancel(id);
            }));
        }
    }
}
