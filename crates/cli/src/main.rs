//! The program `ffai`: parse (`args`), decide (`plan`), act (one file for each command), print.

mod args;
mod inspect;
mod logits;
mod plan;
mod progress;
mod run;
mod units;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(args) => plan::run(args).and_then(|plan| run::run(&plan)),
        Command::Logits(args) => plan::logits(args).and_then(|plan| logits::run(&plan)),
        Command::Inspect(args) => plan::inspect(args).and_then(|plan| inspect::run(&plan)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ffai: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `ffai inspect MODEL | head` is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
