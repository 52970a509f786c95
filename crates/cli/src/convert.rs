//! `ffai convert`.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Result, anyhow};
use ffai::convert::{Options, Width, convert};
use ffai::upload::{self, repository_id};

use crate::{
    args::ConvertArgs,
    progress::{Bar, LoadProgress},
    units::{bytes, count},
    upload::send,
};

const GROUP: u32 = 64;
const BITS: u8 = 4;

pub(crate) fn run(args: &ConvertArgs) -> Result<ExitCode> {
    let mut fetching = LoadProgress::default();
    let mut bar: Option<Bar> = None;
    // The bar counts in kilobytes, which fit everywhere.
    let mut progress = |done: u64, total: u64| {
        bar.get_or_insert_with(|| Bar::new("converting, kB")).at((done >> 10) as usize, (total >> 10) as usize);
    };
    // What would make the upload impossible is said before an hour of work.
    args.upload_repo.as_deref().map_or(Ok(()), upload::check)?;
    let options = options(args);
    let summary = convert(&args.source, &args.destination, &options, &mut |e| fetching.on(&e), &mut progress)?;
    drop(bar);
    for change in &summary.changes {
        writeln!(io::stdout(), "{change}")?;
    }
    writeln!(
        io::stdout(),
        "{}: {} tensors, {} numbers, {}, {:.2} bits per weight",
        args.destination.display(),
        summary.tensors,
        count(summary.parameters),
        bytes(summary.bytes),
        summary.bits_per_weight()
    )?;
    if summary.uneven > 0 {
        writeln!(
            io::stderr(),
            "note: {} of the matrices stay plain, for their rows are no multiple of the group; a smaller --group-size may take them",
            summary.uneven
        )?;
    }
    if let Some(repository) = &args.upload_repo {
        publish(args, repository)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn publish(args: &ConvertArgs, repository: &str) -> Result<()> {
    let base = repository_id(&args.source).filter(|_| !Path::new(&args.source).exists());
    let message = "Convert with ffai".to_owned();
    let how = upload::Options { private: args.private, base_model: base.map(str::to_owned), message };
    send(&args.destination, repository, &how).map_err(|error| {
        let private = if args.private { " --private" } else { "" };
        let base = base.map(|base| format!(" --base-model {base}")).unwrap_or_default();
        let folder = args.destination.display();
        anyhow!("{error}; {folder} is whole, and this goes on: ffai upload {folder} {repository}{private}{base}")
    })
}

fn options(args: &ConvertArgs) -> Options {
    let group = args.group_size.unwrap_or(GROUP);
    let width = match (args.recipe, args.mode, args.bits.or(args.group_size.map(|_| BITS)), args.dtype) {
        (Some(recipe), ..) => Width::Recipe(recipe, group),
        (_, Some(mode), ..) => Width::mode(mode),
        (_, _, Some(bits), _) => Width::affine(bits, group),
        (.., Some(_)) => Width::Plain,
        (.., None) => Width::AsStored,
    };
    Options { width, dtype: args.dtype, embedding_bits: args.embedding_bits, head_bits: args.head_bits }
}
