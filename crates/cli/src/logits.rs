//! `ffai logits`: one forward pass, written to a file.

use std::{collections::HashMap, fs};

use anyhow::{Context, Result};
use ffai::Description;
use safetensors::{Dtype, tensor::TensorView};

use crate::{plan::LogitsPlan, progress::LoadProgress};

pub(crate) fn run(plan: &LogitsPlan) -> Result<()> {
    let mut progress = LoadProgress::default();
    let model = Description::open(&plan.model, &mut |event| progress.on(&event))?;
    drop(progress);
    let logits = model.forward(&plan.tokens, &plan.load)?;
    let shape = vec![plan.tokens.len(), model.spec.vocab];
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    let file = safetensors::serialize([("logits", view)], None::<HashMap<String, String>>)?;
    // Written aside and renamed: an interrupted run leaves no half file under the name that was asked for.
    let aside = plan.out.with_extension("part");
    fs::write(&aside, file)
        .and_then(|()| fs::rename(&aside, &plan.out))
        .with_context(|| format!("cannot write {}", plan.out.display()))
        .map_err(|e| anyhow::anyhow!("{e:#}"))?;
    println!("{}: logits f32 [{}, {}]", plan.out.display(), plan.tokens.len(), model.spec.vocab);
    Ok(())
}
