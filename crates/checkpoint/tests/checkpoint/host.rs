//! What the Hubs of the tests have in common: hosts on this machine, heads of requests, and names of commits and files.

use std::collections::BTreeMap;
use std::io::{self, BufRead};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const COMMIT: &str = "12fd25f77366fa6b3b4b768ec3050bf629380bac";

/// Answers a connection to a host, `hub` or `storage`.
pub(crate) type Serve<S> = fn(TcpStream, &'static str, &Mutex<S>) -> io::Result<()>;

/// A Hub and the storage of its large files, whose state is made of their two addresses; gives the address of the Hub.
pub(crate) fn start<S: Send + 'static>(
    state: impl FnOnce([String; 2]) -> S,
    serve: Serve<S>,
) -> (String, Arc<Mutex<S>>) {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1].map(|i| format!("http://{}", listeners[i].local_addr().unwrap()));
    let (endpoint, state) = (addresses[0].clone(), Arc::new(Mutex::new(state(addresses))));
    for (listener, host) in listeners.into_iter().zip(["hub", "storage"]) {
        let state = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || drop(serve(stream, host, &state)));
            }
        });
    }
    (endpoint, state)
}

/// What a request begins with: its line, and headers by their names in small letters.
pub(crate) fn head(reader: &mut impl BufRead) -> io::Result<(String, BTreeMap<String, String>)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { return Ok((line, headers)) };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
}

/// As the Hub names blobs.
pub(crate) fn etag_of(bytes: &[u8], lfs: bool) -> String {
    let hex = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    match lfs {
        true => hex(&Sha256::digest(bytes)),
        false => hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize()),
    }
}
