//! Keeps the README's table of families as the code says:
//! `cargo run -p ffai-model --example families -- --write|--check README.md`.

use std::process::ExitCode;
use std::{env, fs};

const BEGIN: &str = "<!-- families: made by `cargo run -p ffai-model --example families -- --write README.md` -->\n";
const END: &str = "<!-- end of families -->";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--write", file] => write(file),
        ["--check", file] => check(file),
        _ => Err("usage: families --write|--check FILE".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn write(file: &str) -> Result<(), String> {
    fs::write(file, renewed(&read(file)?, file)?).map_err(|e| format!("{file}: {e}"))
}

fn check(file: &str) -> Result<(), String> {
    let text = read(file)?;
    if renewed(&text, file)? == text {
        return Ok(());
    }
    Err(format!(
        "{file}: the table of families is not what the code says; \
         run `cargo run -p ffai-model --example families -- --write {file}`"
    ))
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))
}

/// The text with the table between the markers made anew.
fn renewed(text: &str, file: &str) -> Result<String, String> {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{file}: no lines {:?} and {END:?}", BEGIN.trim_end()))?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", ffai_model::families::table()))
}
