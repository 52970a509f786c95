//! What will be done: arguments checked and put together, before anything happens.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
};

use anyhow::{Context, Result, bail, ensure};
use ffai::{Capability, Device, Float, GenerateOptions, LoadOptions, Rounding};

use crate::args::{DeviceArgs, InspectArgs, Kv, LoadArgs, LogitsArgs, RunArgs};

/// Answer a prompt, or chat.
#[derive(Debug)]
pub(crate) struct RunPlan {
    pub(crate) model: String,
    pub(crate) load: LoadOptions,
    pub(crate) generate: GenerateOptions,
    pub(crate) system: Option<String>,
    pub(crate) mode: Mode,
    pub(crate) json: bool,
}

/// Where prompts come from.
#[derive(Debug, PartialEq)]
pub(crate) enum Mode {
    /// One message, answered.
    Once(String),
    /// Plain text, continued.
    Raw(String),
    /// A conversation on a terminal; raw or not.
    Chat { raw: bool },
}

/// One forward pass.
#[derive(Debug)]
pub(crate) struct LogitsPlan {
    pub(crate) model: String,
    pub(crate) load: LoadOptions,
    pub(crate) tokens: Vec<u32>,
    pub(crate) out: PathBuf,
}

/// Show what a model is.
#[derive(Debug)]
pub(crate) struct InspectPlan {
    pub(crate) model: String,
    /// For the memory that it would take.
    pub(crate) load: LoadOptions,
    pub(crate) view: View,
    pub(crate) json: bool,
}

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Summary,
    Spec,
    Program,
    Tensors,
}

pub(crate) fn run(args: &RunArgs) -> Result<RunPlan> {
    check_sampling(args)?;
    ensure!(args.context != Some(0), "--context must be at least 1");
    let load = LoadOptions {
        context: args.context,
        parallel: 1,
        snapshots: args.snapshots,
        enable: args.raw.then(|| vec![Capability::Text]),
        ..load(&args.load)?
    };
    let generate = GenerateOptions {
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        presence_penalty: args.presence_penalty,
        frequency_penalty: args.frequency_penalty,
        seed: Some(args.seed.unwrap_or_else(GenerateOptions::seed_from_clock)),
        stop: args.stop.clone(),
        ..GenerateOptions::default()
    };
    let mode = mode(args)?;
    if args.json && matches!(mode, Mode::Chat { .. }) {
        bail!("--json needs a prompt: give one as an argument or through a pipe");
    }
    Ok(RunPlan { model: args.name.model.clone(), load, generate, system: args.system.clone(), mode, json: args.json })
}

fn mode(args: &RunArgs) -> Result<Mode> {
    let prompt = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None if io::stdin().is_terminal() => return Ok(Mode::Chat { raw: args.raw }),
        None => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).context("the prompt on standard input is not UTF-8 text")?;
            text
        }
    };
    ensure!(
        !prompt.is_empty(),
        "the prompt is empty: give one as an argument, through a pipe, or none at all for a chat"
    );
    Ok(if args.raw { Mode::Raw(prompt) } else { Mode::Once(prompt) })
}

fn check_sampling(args: &RunArgs) -> Result<()> {
    let within = |name: &str, value: Option<f32>, low: f32, high: f32| {
        let ok = value.is_none_or(|v| v.is_finite() && (low..=high).contains(&v));
        ensure!(ok, "{name} is {}, it must be from {low} to {high}", value.unwrap_or_default());
        Ok(())
    };
    within("--temperature", args.temperature, 0.0, 100.0)?;
    within("--top-p", args.top_p, 0.0, 1.0)?;
    within("--min-p", args.min_p, 0.0, 1.0)?;
    within("--repetition-penalty", args.repetition_penalty, 0.01, 100.0)?;
    within("--presence-penalty", args.presence_penalty, -100.0, 100.0)?;
    within("--frequency-penalty", args.frequency_penalty, -100.0, 100.0)?;
    ensure!(args.max_tokens != Some(0), "--max-tokens must be at least 1");
    ensure!(args.stop.iter().all(|s| !s.is_empty()), "--stop needs a text");
    Ok(())
}

pub(crate) fn logits(args: &LogitsArgs) -> Result<LogitsPlan> {
    let mut load = LoadOptions { enable: Some(vec![Capability::Tokens]), ..load(&args.load)? };
    if args.reference {
        load.device = Device::Reference;
    }
    let folder = args.out.parent().filter(|p| !p.as_os_str().is_empty());
    ensure!(folder.is_none_or(|f| f.is_dir()), "--out {}: there is no such folder", args.out.display());
    ensure!(!args.out.is_dir(), "--out {} is a folder: give a file", args.out.display());
    Ok(LogitsPlan { model: args.name.model.clone(), load, tokens: tokens(&args.tokens)?, out: args.out.clone() })
}

fn tokens(text: &str) -> Result<Vec<u32>> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|w| !w.is_empty());
    let parse = |word: &str| word.parse().with_context(|| format!("--tokens: {word:?} is not a token id"));
    let tokens: Vec<u32> = words.map(parse).collect::<Result<_>>().map_err(|e| anyhow::anyhow!("{e}"))?;
    ensure!(!tokens.is_empty(), "--tokens is empty: give ids such as \"1 2 3\"");
    Ok(tokens)
}

pub(crate) fn inspect(args: &InspectArgs) -> Result<InspectPlan> {
    ensure!(args.context != Some(0), "--context must be at least 1");
    ensure!(args.batch != 0, "--batch must be at least 1");
    let view = match (args.spec, args.program, args.tensors) {
        (true, ..) => View::Spec,
        (_, true, _) => View::Program,
        (.., true) => View::Tensors,
        _ => View::Summary,
    };
    let load =
        LoadOptions { context: args.context, parallel: args.batch, snapshots: args.snapshots, ..device(&args.device)? };
    Ok(InspectPlan { model: args.name.model.clone(), load, view, json: args.format.json })
}

pub(crate) fn load(args: &LoadArgs) -> Result<LoadOptions> {
    ensure!(
        !args.deterministic || !matches!(args.device.device, Device::Cuda(_)),
        "--deterministic cannot be had on --device {}: leave one of them out",
        args.device.device
    );
    ensure!(
        !args.fast || !matches!(args.device.device, Device::Cuda(_)),
        "--fast has no effect on --device {}: leave one of them out",
        args.device.device
    );
    let rounding = match (args.exact, args.fast) {
        (true, _) => Some(Rounding::Exact),
        (false, true) => Some(Rounding::Int8),
        (false, false) => None,
    };
    let (memory_limit, deterministic) = (args.memory_limit, args.deterministic);
    Ok(LoadOptions { memory_limit, deterministic, rounding, ..device(&args.device)? })
}

pub(crate) fn device(args: &DeviceArgs) -> Result<LoadOptions> {
    ensure!(args.threads != Some(0), "--threads must be at least 1");
    let to_gpu = matches!(args.device, Device::Cuda(_));
    ensure!(
        args.threads.is_none() || !to_gpu,
        "--threads has no effect on --device {}: leave one of them out",
        args.device
    );
    ensure!(args.kv.is_none() || !to_gpu, "--kv has no effect on --device {}: leave one of them out", args.device);
    let kv = args.kv.map(|kv| match kv {
        Kv::Bf16 => Float::BF16,
        Kv::F16 => Float::F16,
        Kv::F32 => Float::F32,
    });
    Ok(LoadOptions { device: args.device, threads: args.threads, kv, ..LoadOptions::default() })
}
