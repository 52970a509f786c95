//! `ffai logits`: one forward pass, written to a file.

use std::{collections::HashMap, fs, io, path::Path};

use anyhow::{Context, Result, anyhow};
use ffai::{Description, LoadEvent};
use safetensors::{Dtype, tensor::TensorView};

use crate::{plan::LogitsPlan, progress::LoadProgress};

pub(crate) fn run(plan: &LogitsPlan) -> Result<()> {
    let mut progress = LoadProgress::default();
    let model = Description::open(&plan.model, &mut |event| progress.on(&event))?;
    let mut device = String::new();
    let logits = model.forward_with(&plan.tokens, &plan.load, &mut |event| {
        if let LoadEvent::Device { name } = &event {
            device.clone_from(name);
        }
        progress.on(&event);
    })?;
    drop(progress);
    let shape = vec![plan.tokens.len(), model.spec.vocab];
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    let file = safetensors::serialize([("logits", view)], None::<HashMap<String, String>>)?;
    write_whole(&plan.out, &file)
        .with_context(|| format!("cannot write {}", plan.out.display()))
        .map_err(|e| anyhow!("{e:#}"))?;
    println!("{}: logits f32 [{}, {}] by {device}", plan.out.display(), plan.tokens.len(), model.spec.vocab);
    Ok(())
}

/// Written aside and renamed: an interrupted run leaves no half file under the name that was asked for.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".part");
    let written = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}
