//! The engine through its public interface: with a fake executable that sees through its pages, and with the interpreter.

mod fake;
mod invariance;
mod prefix;
mod random;
mod requests;
mod sessions;
mod worker;
