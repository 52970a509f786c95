//! Uploads to the Hub: what arrives, faults and resumption, hostile answers, and who sees the token.

mod access;
mod arrival;
mod faults;
mod hostile;
mod server;
mod world;

use crate::host;
