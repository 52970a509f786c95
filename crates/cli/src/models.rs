//! `ffai models`, `ffai pull` and `ffai rm`: the catalogue and the caches.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Result, bail};
use ffai::cache::{self, CATALOGUE, CacheDirs, CachedModel, cached};
use serde_json::json;

use crate::{
    args::{ModelsArgs, PullArgs, RmArgs},
    measure::print,
    progress::LoadProgress,
    units::{bytes, table},
};

pub(crate) fn list(args: &ModelsArgs) -> Result<ExitCode> {
    let dirs = CacheDirs::from_env();
    let models = cached(&dirs);
    let as_json = || {
        let aliases = CATALOGUE.iter().map(|a| json!({"alias": a.alias, "description": a.description}));
        let models = models.iter().map(|m| {
            json!({
                "name": m.name, "path": m.path, "bytes": m.bytes, "files": m.files, "complete": m.complete,
                "modified": m.modified.and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok()).map(|d| d.as_secs()),
            })
        });
        json!({"aliases": aliases.collect::<Vec<_>>(), "cached": models.collect::<Vec<_>>()})
    };
    print(args.format.json, as_json, || list_text(&models))
}

fn list_text(models: &[CachedModel]) -> String {
    let aliases: Vec<_> = CATALOGUE.iter().map(|a| vec![a.alias.to_owned(), a.description.to_owned()]).collect();
    let mut rows = vec![["cached model", "bytes", "files", "age", ""].map(str::to_owned).to_vec()];
    rows.extend(models.iter().map(|m| {
        let state = if m.complete { "" } else { "incomplete: ffai pull resumes" };
        vec![m.name.clone(), bytes(m.bytes), m.files.to_string(), age(m.modified), state.to_owned()]
    }));
    let cached = if models.is_empty() { "no models are cached\n".to_owned() } else { table(&rows, &[1, 2]) };
    format!("aliases\n{}\n{cached}", table(&aliases, &[]))
}

fn age(modified: Option<SystemTime>) -> String {
    let seconds = modified.and_then(|t| t.elapsed().ok()).map(|d| d.as_secs());
    match seconds {
        None => "-".to_owned(),
        Some(s) if s < 3600 => format!("{} min", s / 60),
        Some(s) if s < 48 * 3600 => format!("{} h", s / 3600),
        Some(s) => format!("{} days", s / 86400),
    }
}

pub(crate) fn pull(args: &PullArgs) -> Result<ExitCode> {
    let mut progress = LoadProgress::default();
    let path = cache::pull(&args.model, &CacheDirs::from_env(), &mut |event| progress.fetching(&event))?;
    drop(progress);
    writeln!(io::stdout(), "{}", path.display())?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn remove(args: &RmArgs) -> Result<ExitCode> {
    if !args.yes {
        if !io::stdin().is_terminal() {
            bail!("removing {} needs --yes when nobody can be asked", args.model);
        }
        write!(io::stderr(), "remove {} from the cache? [y/N] ", args.model)?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            bail!("nothing was removed");
        }
    }
    let freed = cache::remove(&args.model, &CacheDirs::from_env())?;
    writeln!(io::stdout(), "{} freed", bytes(freed))?;
    Ok(ExitCode::SUCCESS)
}
