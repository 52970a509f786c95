//! The program `ffai`.
fn main() {}
