//! The engine on its thread.

use std::time::{Duration, Instant};

use ffai_engine::{EngineError, EngineHandle, Event, EventStream, Finish, LogitRows, Request};

use crate::fake::{self, PANICS, alone, engine, greedy, plan};

fn spawn() -> EngineHandle {
    EngineHandle::spawn(engine(&plan(), 4)).expect("a thread")
}

fn tokens(stream: &mut EventStream) -> Vec<u32> {
    stream.filter_map(|event| if let Event::Token { id } = event { Some(id) } else { None }).collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not come about");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn handles_and_streams_go_between_threads() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<EngineHandle>();
    sent::<EventStream>();
}

#[test]
fn many_threads_are_served_at_once() {
    let handle = spawn();
    let threads: Vec<_> = (0..6u32)
        .map(|n| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                let request = greedy(vec![n; n as usize + 1], 9);
                let mut stream = handle.submit(request.clone()).expect("fits");
                assert_eq!(tokens(&mut stream), alone(&[], &request, 9));
                assert!(stream.is_over());
                assert_eq!(stream.next(), None);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("its tokens"));
}

#[test]
fn a_refused_request_is_an_error_of_the_call() {
    assert_eq!(spawn().submit(Request::new([])).err(), Some(EngineError::EmptyPrompt));
}

#[test]
fn dropping_a_stream_cancels_its_request() {
    let handle = spawn();
    let session = handle.open(None).expect("room");
    let mut stream = handle.submit(Request { session: Some(session), ..greedy([1], 30) }).expect("fits");
    stream.next();
    drop(stream);
    assert!(handle.tokens(session).is_ok(), "the session is idle at once");
    handle.close(session).expect("open");
    assert_eq!(handle.free_pages(), Ok(plan().pages));
}

#[test]
fn session_calls_go_through_the_handle() {
    let handle = spawn();
    let session = handle.open(Some(20)).expect("room");
    let logits = handle.logits(session, &[1, 2], LogitRows::All).expect("fits");
    assert_eq!(logits, [fake::logits(&[1]), fake::logits(&[1, 2])]);
    let fork = handle.fork(session).expect("idle");
    handle.truncate(fork, 1).expect("it holds two");
    assert_eq!(handle.tokens(fork), Ok(vec![1]));
    assert_eq!(handle.tokens(session), Ok(vec![1, 2]));
    assert_eq!(handle.context(), Ok(40));
}

#[test]
fn a_stream_can_be_asked_without_waiting_long() {
    let handle = spawn();
    let mut stream = handle.submit(greedy([1], 3)).expect("fits");
    let mut events = Vec::new();
    eventually("the end of the stream", || {
        events.extend(stream.try_next());
        events.extend(stream.next_timeout(Duration::from_millis(1)));
        stream.is_over()
    });
    assert_eq!(events.len(), 5);
    assert!(matches!(events[4], Event::Finished { reason: Finish::Length, .. }));
    assert_eq!(stream.try_next(), None);
}

#[test]
fn a_panic_of_the_backend_is_an_error_on_every_stream_and_call() {
    let handle = spawn();
    let running = handle.submit(greedy([1], 39)).expect("fits");
    let deadly = handle.submit(greedy([PANICS], 1)).expect("fits");
    let panicked = EngineError::Panicked { message: "the fake was asked to panic".to_owned() };
    for stream in [running, deadly] {
        let last = stream.last();
        // The first may have come to its end before the panic.
        assert!(last == Some(Event::Failed(panicked.clone())) || matches!(last, Some(Event::Finished { .. })));
    }
    assert_eq!(handle.open(None), Err(panicked.clone()));
    assert_eq!(handle.submit(greedy([1], 1)).err(), Some(panicked));
}

#[test]
fn a_panic_during_a_call_is_an_error_of_the_call() {
    let handle = spawn();
    let session = handle.open(None).expect("room");
    let panicked = EngineError::Panicked { message: "the fake was asked to panic".to_owned() };
    assert_eq!(handle.logits(session, &[PANICS], LogitRows::Last), Err(panicked));
}

#[test]
fn the_last_drop_ends_the_thread_even_when_requests_are_running() {
    let handle = spawn();
    let stream = handle.submit(greedy([1], 30)).expect("fits");
    drop(handle);
    assert_eq!(stream.count(), 32, "a stream outlives the handle");
    let handle = spawn();
    let stream = handle.submit(greedy([1], 30)).expect("fits");
    drop(stream);
    drop(handle);
}
