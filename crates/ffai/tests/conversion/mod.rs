//! What the tests of conversions share: goldens, and the interpreter's logits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ffai_checkpoint::Checkpoint;
use ffai_convert::{Error, Options, Summary, convert};
use ffai_model::Weights;
use ffai_program::{Backend, Output, Plan, Reference, StepInputs, lower};
use safetensors::SafeTensors;

pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(case)
}

/// The goldens of which `is` is true.
pub(crate) fn goldens(is: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    let all = folders(&golden("")).into_iter().flat_map(|family| folders(&family));
    all.filter(|case| is(case) && case.join("golden.safetensors").exists()).collect()
}

/// Logits of the interpreter, or why there are none.
pub(crate) fn logits(folder: &Path, tokens: &[u32]) -> Result<Vec<f32>, Box<dyn std::error::Error>> {
    let checkpoint = Checkpoint::open(folder)?;
    let spec = ffai_model::spec(&checkpoint)?;
    let weights = Weights::bind(&spec, &checkpoint)?;
    let program = lower(&spec);
    let plan = Plan::for_tokens(&program, tokens.len());
    let mut executable = Reference.compile(&program, &weights, &plan, &mut |_| {})?;
    let outputs = executable.step(&StepInputs::prompt(&program, &plan, tokens))?;
    Ok(outputs.into_iter().flat_map(|o| if let Output::Logits(row) = o { row } else { Vec::new() }).collect())
}

pub(crate) fn tokens(case: &Path) -> Vec<u32> {
    let bytes = fs::read(case.join("golden.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tokens = file.tensor("tokens").unwrap();
    tokens.data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}

pub(crate) fn to(source: &Path, options: &Options, to: &Path) -> Result<Summary, Error> {
    convert(&Checkpoint::open(source).unwrap(), to, options, &mut |_, _| {})
}
