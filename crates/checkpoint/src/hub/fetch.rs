//! Downloading the files of a model, several at a time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::FetchEvent;
use super::api::{Listing, RemoteFile};
use super::disk;
use super::error::HubError;
use super::failure::Failure;
use super::http::Client;
use super::layout::RepoCache;
use super::local;
use super::name::HubName;
use super::select::{INDEX, Weights, select};
use super::transfer::{Note, Source, Transfer};

/// A connection to the Hub's storage seldom fills a line; many more gain nothing.
const AT_ONCE: usize = 4;
/// Progress is told at most so often.
const TICK: Duration = Duration::from_millis(100);

type On<'a> = &'a mut dyn FnMut(FetchEvent);

/// Downloads what `wanted` needs and the cache lacks, and gives every file its name in the snapshot.
pub(super) fn fetch(
    client: &Client<'_>,
    cache: &RepoCache,
    wanted: &HubName<'_>,
    on: On<'_>,
) -> Result<PathBuf, Failure> {
    let listing = Listing::fetch(client, wanted)?;
    let selection = select(&listing.names(), wanted)?;
    let source = Source { client, cache, wanted, listing: &listing };
    let text = source.details(&selection.text)?;
    let weights = match &selection.weights {
        Weights::Files(files) => source.details(files)?,
        Weights::Indexed => source.details(&source.shards(&text)?)?,
    };
    // Names are given in this order and after everything has arrived: weights in a snapshot mean that it is complete.
    let files: Vec<RemoteFile> = text.into_iter().chain(weights).collect();
    source.blobs(&files, &mut Progress::new(source.label(), &files, on))?;
    for file in &files {
        cache.link(&listing.commit, file)?;
    }
    cache.set_ref(wanted.revision_or_main(), &listing.commit)?;
    let snapshot = cache.snapshot(&listing.commit);
    Ok(selection.gguf.map_or_else(|| snapshot.clone(), |file| snapshot.join(file)))
}

impl Source<'_> {
    fn label(&self) -> String {
        let revision = self.wanted.revision.map(|revision| format!("@{revision}")).unwrap_or_default();
        let choice = self.wanted.choice.map(|choice| format!(":{choice}")).unwrap_or_default();
        format!("{}{revision}{choice}", self.wanted.id)
    }

    fn details(&self, names: &[String]) -> Result<Vec<RemoteFile>, Failure> {
        names.iter().map(|name| self.listing.file(self.client, self.wanted, name)).collect()
    }

    /// The shards that the index names; it is downloaded first.
    fn shards(&self, text: &[RemoteFile]) -> Result<Vec<String>, Failure> {
        let index: Vec<RemoteFile> = text.iter().filter(|file| file.name == INDEX).cloned().collect();
        self.blobs(&index, &mut Progress::silent())?;
        let path = index.first().map(|file| self.cache.blob(&file.etag)).unwrap_or_default();
        let path = if path.is_file() { path } else { self.cache.snapshot(&self.listing.commit).join(INDEX) };
        Ok(local::shards(&path)?)
    }

    /// Makes all blobs be there.
    fn blobs(&self, files: &[RemoteFile], progress: &mut Progress<'_>) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for file in files {
            match self.cache.has(&self.listing.commit, file)? {
                true => progress.add(file.size),
                false => missing.push(file),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.cache.create(&self.cache.blobs())?;
        self.check_room(&missing)?;
        progress.start();
        self.download(&missing, progress)
    }

    fn check_room(&self, missing: &[&RemoteFile]) -> Result<(), HubError> {
        let left = missing.iter().map(|file| file.size - self.cache.arrived(file));
        let need = left.fold(0u64, u64::saturating_add);
        let folder = self.cache.folder();
        match disk::free_space(folder) {
            Some(free) if free < need => Err(HubError::Full { folder: folder.into(), need, free: Some(free) }),
            _ => Ok(()),
        }
    }

    fn download(&self, missing: &[&RemoteFile], progress: &mut Progress<'_>) -> Result<(), Failure> {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = |notes: &Sender<Note>| -> Result<(), Failure> {
            while let Some(file) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
                let transfer = Transfer { source: *self, file, notes: notes.clone(), stop: &stop };
                transfer.run().inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            // Threads end soon also where `on` panics.
            let _guard = StopOnDrop(&stop);
            let (sender, notes) = channel();
            let workers: Vec<_> = (0..missing.len().min(AT_ONCE))
                .map(|_| {
                    let (sender, work) = (sender.clone(), &work);
                    scope.spawn(move || work(&sender))
                })
                .collect();
            drop(sender);
            progress.follow(&notes);
            let results = workers.into_iter().map(|worker| worker.join().unwrap_or(Err(Failure::Stopped)));
            // Those that were stopped follow from the one that failed.
            let mut failures: Vec<Failure> = results.filter_map(Result::err).collect();
            failures.sort_by_key(|failure| matches!(failure, Failure::Stopped));
            failures.into_iter().next().map_or(Ok(()), Err)
        })
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The bytes of all files together.
struct Progress<'a> {
    source: String,
    done: u64,
    total: u64,
    /// When and what was told last.
    told: Option<(Instant, u64)>,
    on: Option<On<'a>>,
}

impl<'a> Progress<'a> {
    fn new(source: String, files: &[RemoteFile], on: On<'a>) -> Progress<'a> {
        let total = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        Progress { source, done: 0, total, told: None, on: Some(on) }
    }

    fn silent() -> Progress<'a> {
        Progress { source: String::new(), done: 0, total: 0, told: None, on: None }
    }

    fn add(&mut self, bytes: u64) {
        self.done = self.done.saturating_add(bytes);
    }

    fn start(&mut self) {
        let event = FetchEvent::Started { name: self.source.clone(), source: self.source.clone(), total: self.total };
        self.tell(event);
    }

    fn tell(&mut self, event: FetchEvent) {
        if let Some(on) = &mut self.on {
            on(event);
        }
    }

    fn tell_bytes(&mut self) {
        if self.told.is_none_or(|(_, done)| done != self.done) {
            self.told = Some((Instant::now(), self.done));
            self.tell(FetchEvent::Downloading { done: self.done, total: self.total });
        }
    }

    /// Passes on what the threads tell, until they have ended.
    fn follow(&mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            match note {
                Note::Bytes(bytes) => self.done = self.done.saturating_add_signed(bytes),
                Note::Event(event) => self.tell(event),
            }
            if self.told.is_none_or(|(when, _)| when.elapsed() >= TICK) {
                self.tell_bytes();
            }
        }
        self.tell_bytes();
    }
}
