//! The engine on a thread of its own, for callers on many threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use crate::{Engine, EngineError, Event, EventStream, LogitRows, Request, RequestId, SessionId};

/// An engine that runs on its own thread: clone it, share it. The thread sleeps while there is nothing to do, and ends when the
/// last handle and the last stream are dropped; the last drop waits for the step that is running.
///
/// All calls wait for the step that is running. A panic in the backend ends the engine: every stream gets
/// [`EngineError::Panicked`], and so does every call from then on.
#[derive(Clone, Debug)]
pub struct EngineHandle(Arc<Shared>);

pub(crate) type Command = Box<dyn FnOnce(&mut Serving) + Send>;

#[derive(Debug)]
pub(crate) struct Shared {
    /// None only while the last handle is dropped.
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    /// Why the thread has ended. It is set before the thread lets go of its channels.
    end: Arc<OnceLock<EngineError>>,
}

/// What the thread works on.
pub(crate) struct Serving {
    pub(crate) streams: BTreeMap<RequestId, Sender<Event>>,
    pub(crate) engine: Engine,
}

impl EngineHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`EngineError::Thread`] when the system has none.
    pub fn spawn(engine: Engine) -> Result<EngineHandle, EngineError> {
        let (commands, inbox) = channel();
        let end = Arc::new(OnceLock::new());
        let reason = Arc::clone(&end);
        let thread = thread::Builder::new()
            .name("ffai-engine".to_owned())
            .spawn(move || serve(engine, inbox, &reason))
            .map_err(|e| EngineError::Thread { problem: e.to_string() })?;
        Ok(EngineHandle(Arc::new(Shared { commands: Some(commands), thread: Some(thread), end })))
    }

    /// As [`Engine::submit`]; the events come from the stream.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn submit(&self, request: Request) -> Result<EventStream, EngineError> {
        let (sender, events) = channel();
        let id = self.call(move |serving| {
            let id = serving.engine.submit(request)?;
            serving.streams.insert(id, sender);
            Ok(id)
        })?;
        Ok(EventStream::new(id, events, Arc::clone(&self.0)))
    }

    /// As [`Engine::open`].
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open(&self, capacity: Option<usize>) -> Result<SessionId, EngineError> {
        self.call(move |serving| serving.engine.open(capacity))
    }

    /// As [`Engine::logits`].
    ///
    /// # Errors
    /// As [`Engine::logits`].
    pub fn logits(&self, id: SessionId, tokens: &[u32], rows: LogitRows) -> Result<Vec<Vec<f32>>, EngineError> {
        let tokens = tokens.to_vec();
        self.call(move |serving| serving.engine.logits(id, &tokens, rows))
    }

    /// As [`Engine::fork`].
    ///
    /// # Errors
    /// As [`Engine::fork`].
    pub fn fork(&self, id: SessionId) -> Result<SessionId, EngineError> {
        self.call(move |serving| serving.engine.fork(id))
    }

    /// As [`Engine::truncate`].
    ///
    /// # Errors
    /// As [`Engine::truncate`].
    pub fn truncate(&self, id: SessionId, len: usize) -> Result<(), EngineError> {
        self.call(move |serving| serving.engine.truncate(id, len))
    }

    /// As [`Engine::tokens`].
    ///
    /// # Errors
    /// As [`Engine::tokens`].
    pub fn tokens(&self, id: SessionId) -> Result<Vec<u32>, EngineError> {
        self.call(move |serving| serving.engine.tokens(id).map(<[u32]>::to_vec))
    }

    /// As [`Engine::close`].
    ///
    /// # Errors
    /// As [`Engine::close`].
    pub fn close(&self, id: SessionId) -> Result<(), EngineError> {
        self.call(move |serving| serving.engine.close(id))
    }

    /// As [`Engine::context`].
    ///
    /// # Errors
    /// An engine that has ended.
    pub fn context(&self) -> Result<usize, EngineError> {
        self.call(|serving| Ok(serving.engine.context()))
    }

    /// As [`Engine::free_pages`].
    ///
    /// # Errors
    /// An engine that has ended.
    pub fn free_pages(&self) -> Result<Vec<usize>, EngineError> {
        self.call(|serving| Ok(serving.engine.free_pages()))
    }

    /// Has the thread do something between two steps, and waits for what comes of it.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Serving) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = channel();
        self.0.send(Box::new(move |serving| {
            // Nobody may be waiting any more.
            let _ = reply.send(work(serving));
        }));
        answer.recv().unwrap_or_else(|_| Err(self.0.end()))
    }
}

impl Shared {
    /// A command that the thread does not take any more is dropped, and with it what its sender waits for.
    pub(crate) fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            let _ = commands.send(command);
        }
    }

    pub(crate) fn end(&self) -> EngineError {
        self.end.wait().clone()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported through `end`.
            let _ = thread.join();
        }
    }
}

fn serve(engine: Engine, commands: Receiver<Command>, end: &OnceLock<EngineError>) {
    let mut serving = Serving { streams: BTreeMap::new(), engine };
    // Nothing of a panicked engine is used again, so it may be left in any state.
    let served = catch_unwind(AssertUnwindSafe(|| serving.run(&commands)));
    let _ = end.set(match served {
        Ok(()) => EngineError::Stopped,
        Err(panic) => EngineError::Panicked { message: message(&*panic) },
    });
    // Everyone who waits hears of the end before the backend is torn down, which may take time.
    drop(commands);
    serving.streams.clear();
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

impl Serving {
    /// Until nobody can send commands any more, which means that nobody waits for events either: streams can send too.
    fn run(&mut self, commands: &Receiver<Command>) {
        loop {
            if self.engine.is_idle() {
                let Ok(command) = commands.recv() else { return };
                command(self);
            }
            loop {
                match commands.try_recv() {
                    Ok(command) => command(self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            for (id, event) in self.engine.step() {
                self.deliver(id, event);
            }
        }
    }

    fn deliver(&mut self, id: RequestId, event: Event) {
        let last = event.is_last();
        let heard = self.streams.get(&id).is_some_and(|stream| stream.send(event).is_ok());
        if last || !heard {
            self.streams.remove(&id);
        }
        if !heard {
            self.engine.cancel(id);
        }
    }
}
