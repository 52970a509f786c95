//! The Hugging Face Hub: names, downloads, faults, access and the cache.

mod access;
mod cache;
mod download;
mod faults;
mod names;
pub(crate) mod server;
pub(crate) mod world;
