//! The program `ffai`: parse (`args`), decide (`plan`), act (one file for each command), print.

mod args;
mod convert;
mod doctor;
mod inspect;
mod logits;
mod measure;
mod models;
mod plan;
mod progress;
mod run;
mod units;
mod upload;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match act(&cli.command) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ffai: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(command: &Command) -> anyhow::Result<ExitCode> {
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Run(args) => plan::run(args).and_then(|plan| run::run(&plan)).map(done),
        Command::Logits(args) => plan::logits(args).and_then(|plan| logits::run(&plan)).map(done),
        Command::Inspect(args) => plan::inspect(args).and_then(|plan| inspect::run(&plan)).map(done),
        Command::Bench(args) => measure::bench(args),
        Command::Verify(args) => measure::verify(args),
        Command::Perplexity(args) => measure::perplexity(args),
        Command::Compare(args) => measure::compare(args),
        Command::Convert(args) => convert::run(args),
        Command::Upload(args) => upload::run(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Selftest(args) => doctor::selftest(args),
        Command::Models(args) => models::list(args),
        Command::Pull(args) => models::pull(args),
        Command::Rm(args) => models::remove(args),
    }
}

/// `ffai inspect MODEL | head` is no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
