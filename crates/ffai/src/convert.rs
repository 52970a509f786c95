//! From one checkpoint to another: the function of `ffai convert`.

use std::path::Path;

use ffai_checkpoint::{CacheDirs, Checkpoint, resolve};
pub use ffai_convert::{Change, Options, Recipe, Summary, Width};

use crate::{Error, LoadEvent};

/// Finds a model as [`crate::Description::open`] does and writes it to the folder `to`; `on` is told bytes done and bytes in all.
///
/// ```no_run
/// use ffai::convert::{Options, Width, convert};
/// let options = Options { width: Width::affine(4, 64), ..Options::default() };
/// convert("Qwen/Qwen3-0.6B", "qwen3-4bit".as_ref(), &options, &mut |_| {}, &mut |_, _| {})?;
/// # Ok::<(), ffai::Error>(())
/// ```
///
/// # Errors
/// A name that leads nowhere, and all of [`ffai_convert::convert`].
pub fn convert(
    name: &str,
    to: &Path,
    options: &Options,
    fetching: &mut dyn FnMut(LoadEvent),
    on: &mut dyn FnMut(u64, u64),
) -> Result<Summary, Error> {
    let path = resolve(name, &CacheDirs::from_env(), &mut |event| fetching(LoadEvent::Fetching(event)))?;
    Ok(ffai_convert::convert(&Checkpoint::open(&path)?, to, options, on)?)
}
