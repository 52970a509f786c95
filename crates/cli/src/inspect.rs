//! `ffai inspect`: what a model is.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use anyhow::{Result, ensure};
use ffai::{Description, Fate, Footprint, LoadOptions, measure::Backend};
use serde_json::{Value, json};

use crate::{
    measure::backend,
    plan::{InspectPlan, View},
    progress::LoadProgress,
    units::{bytes, count, table},
};

pub(crate) fn run(plan: &InspectPlan) -> Result<()> {
    let mut progress = LoadProgress::default();
    let model = Description::open(&plan.model, &mut |event| progress.on(&event))?;
    drop(progress);
    let text = match (plan.view, plan.json) {
        (View::Summary, false) => summary(&model, plan)?,
        (View::Summary, true) => pretty(&summary_json(&model, plan)?),
        (View::Spec, false) => model.spec.to_string(),
        (View::Spec, true) => pretty(&serde_json::to_value(&model.spec)?),
        (View::Program, false) => model.program.to_string(),
        (View::Program, true) => pretty(&program_json(&model)),
        (View::Tensors, false) => tensors(&model),
        (View::Tensors, true) => pretty(&tensors_json(&model)),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Weights of one kind: a role without its layer, in one storage.
struct Kind {
    role: String,
    storage: String,
    weights: u64,
    shape: String,
    bytes: u64,
}

fn kinds(model: &Description) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    for (role, tensor) in model.weights.iter() {
        let role = match role.strip_prefix("layers.").and_then(|r| r.split_once('.')) {
            Some((_, rest)) => format!("layers.*.{rest}"),
            None => role.to_owned(),
        };
        let role = match role.split_once(".experts.").and_then(|(at, rest)| Some((at, rest.split_once('.')?.1))) {
            Some((at, name)) => format!("{at}.experts.*.{name}"),
            None => role,
        };
        let (storage, shape) = (tensor.storage().to_string(), format!("{:?}", tensor.shape()));
        let (size, same) =
            (tensor.bytes_len() as u64, |k: &&mut Kind| k.role == role && k.storage == storage && k.shape == shape);
        match kinds.iter_mut().find(same) {
            Some(kind) => (kind.weights, kind.bytes) = (kind.weights + 1, kind.bytes + size),
            None => {
                // Beside the same role in another storage, so that mixtures are seen at a glance.
                let beside = kinds.iter().rposition(|k| k.role == role).map_or(kinds.len(), |i| i + 1);
                kinds.insert(beside, Kind { role, storage, weights: 1, shape, bytes: size });
            }
        }
    }
    kinds
}

/// Memory under the plan that loading would make.
struct Memory {
    context: usize,
    device: String,
    slots: usize,
    footprint: Footprint,
}

/// `cpu` or `cuda:0`: what comes before the details in a backend's name.
fn kind(backend: &dyn Backend) -> String {
    backend.name().split(' ').next().unwrap_or_default().to_owned()
}

fn memory(model: &Description, plan: &InspectPlan) -> Result<Memory> {
    let context = plan.load.context.unwrap_or(model.spec.context);
    let options = LoadOptions { context: Some(context), ..plan.load.clone() };
    ensure!(
        options.snapshots.is_none() || !model.program.slots.is_empty(),
        "--snapshots has no effect: the model has no recurrent layers, whose states could be kept"
    );
    let backend = backend(&options)?;
    let made = model.plan(&options, &*backend);
    let footprint = model.footprint(&*backend, &made);
    Ok(Memory { context, device: kind(&*backend), slots: made.slots, footprint })
}

fn parameters(model: &Description) -> u64 {
    model.weights.iter().map(|(_, t)| t.rows() as u64 * t.cols() as u64).sum()
}

fn summary(model: &Description, plan: &InspectPlan) -> Result<String> {
    let spec = &model.spec;
    let Memory { context, device, slots, footprint: memory } = memory(model, plan)?;
    let capabilities: Vec<String> = model.capabilities()?.iter().map(ToString::to_string).collect();
    let facts = [
        ("model", model.checkpoint.path().display().to_string()),
        ("family", spec.family.to_owned()),
        ("parameters", count(parameters(model))),
        ("layers", spec.layers.len().to_string()),
        ("hidden", spec.hidden.to_string()),
        ("vocabulary", spec.vocab.to_string()),
        ("context", format!("{} tokens", spec.context)),
        ("capabilities", capabilities.join(", ")),
    ];
    let facts: Vec<Vec<String>> = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    let mut rows = vec![["role", "storage", "shape", "weights", "bytes"].map(str::to_owned).to_vec()];
    rows.extend(
        kinds(model).into_iter().map(|k| vec![k.role, k.storage, k.shape, k.weights.to_string(), bytes(k.bytes)]),
    );
    let slots = if slots == 0 { "slots".to_owned() } else { format!("{slots} slots") };
    let needs = [
        ("weights", memory.weights),
        ("keys and values", memory.kv),
        (&slots, memory.slots),
        ("buffers", memory.buffers),
        ("scratch", memory.scratch),
        ("together", memory.total()),
    ];
    let needs: Vec<Vec<String>> = needs.into_iter().map(|(name, n)| vec![format!("  {name}"), bytes(n)]).collect();
    let notes = notes(model);
    Ok(format!(
        "{}\n{}\nmemory for {} of {context} tokens on {device}\n{}{notes}",
        table(&facts, &[]),
        table(&rows, &[3, 4]),
        if plan.load.parallel == 1 { "one sequence".to_owned() } else { format!("{} sequences", plan.load.parallel) },
        table(&needs, &[1])
    ))
}

/// What the ledger has to say besides the plain use of each tensor.
fn notes(model: &Description) -> String {
    let mut notes: BTreeMap<String, usize> = BTreeMap::new();
    for row in &model.weights.ledger().rows {
        match &row.fate {
            Fate::Used { note: Some(note), .. } => *notes.entry(note.clone()).or_default() += 1,
            Fate::Ignored { reason } => *notes.entry(format!("ignored: {reason}")).or_default() += 1,
            Fate::Used { .. } => {}
        }
    }
    let lines: String = notes.into_iter().map(|(note, n)| format!("  {n} tensors: {note}\n")).collect();
    if lines.is_empty() { lines } else { format!("\nnotes (see --tensors)\n{lines}") }
}

fn summary_json(model: &Description, plan: &InspectPlan) -> Result<Value> {
    let spec = &model.spec;
    let Memory { context, device, slots, footprint: memory } = memory(model, plan)?;
    let kinds = kinds(model).into_iter().map(
        |k| json!({"role": k.role, "storage": k.storage, "shape": k.shape, "weights": k.weights, "bytes": k.bytes}),
    );
    Ok(json!({
        "model": model.checkpoint.path().display().to_string(),
        "family": spec.family,
        "parameters": parameters(model),
        "layers": spec.layers.len(),
        "hidden": spec.hidden,
        "vocab": spec.vocab,
        "context": spec.context,
        "capabilities": model.capabilities()?.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "weights": kinds.collect::<Vec<_>>(),
        "memory": {
            "device": device, "context": context, "batch": plan.load.parallel, "weights": memory.weights, "kv": memory.kv, "slots": memory.slots, "slot_count": slots, "buffers": memory.buffers, "scratch": memory.scratch, "total": memory.total(),
        },
    }))
}

fn program_json(model: &Description) -> Value {
    let text = model.program.to_string();
    Value::from(text.lines().collect::<Vec<_>>())
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Used { role, note: None } => role.clone(),
        Fate::Used { role, note: Some(note) } => format!("{role} ({note})"),
        Fate::Ignored { reason } => format!("ignored: {reason}"),
    }
}

fn tensors(model: &Description) -> String {
    let mut rows = vec![["tensor", "type", "shape", "bytes", "role"].map(str::to_owned).to_vec()];
    // Experts of their own names in one row.
    rows.extend(model.weights.ledger().folded().into_iter().map(|(r, n)| {
        let tensor = if n == 1 { r.tensor } else { format!("{} ({n})", r.tensor) };
        vec![tensor, r.dtype, format!("{:?}", r.shape), bytes(r.bytes), fate(&r.fate)]
    }));
    table(&rows, &[3])
}

fn tensors_json(model: &Description) -> Value {
    let rows = model.weights.ledger().rows.iter().map(|r| {
        let (role, note, ignored) = match &r.fate {
            Fate::Used { role, note } => (Some(role), note.clone(), None),
            Fate::Ignored { reason } => (None, None, Some(*reason)),
        };
        json!({
            "file": r.file.display().to_string(), "tensor": r.tensor, "dtype": r.dtype, "shape": r.shape, "bytes": r.bytes,
            "role": role, "note": note, "ignored": ignored,
        })
    });
    Value::from(rows.collect::<Vec<_>>())
}
