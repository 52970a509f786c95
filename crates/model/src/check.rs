//! The ledger: every tensor of every file is used, or ignored for a named reason, or the checkpoint is refused.

use std::{borrow::Cow, collections::HashMap, fmt, ops::Range, path::PathBuf};

use ffai_checkpoint::{Affine, Checkpoint, Dtype, Entry, Int, Layout, Mode, Module, Quantization, Storage, Tensor};

use crate::{
    Error, Mixer, Result, Shape, Spec, WeightDecl,
    error::storage_name,
    families,
    names::{Found, Names, Source, companion, folded},
    rope_freqs, stored,
};

/// What became of each tensor of a checkpoint, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// One row for each tensor.
    pub rows: Vec<LedgerRow>,
}

impl Ledger {
    /// The rows, and for how many tensors each stands: those that differ only in the number of an expert are one, whose names
    /// have a `*` in its place.
    pub fn folded(&self) -> Vec<(LedgerRow, usize)> {
        let (mut rows, mut known): (Vec<(LedgerRow, usize)>, _) = (Vec::new(), HashMap::new());
        for row in &self.rows {
            let fate = match &row.fate {
                Fate::Used { role, note } => Fate::Used { role: folded(role).into_owned(), note: note.clone() },
                ignored @ Fate::Ignored { .. } => ignored.clone(),
            };
            let tensor = folded(&row.tensor).into_owned();
            let key = (tensor.clone(), row.shape.clone(), row.dtype.clone(), format!("{fate:?}"));
            let at = *known.entry(key).or_insert(rows.len());
            match rows.get_mut(at) {
                Some((same, n)) => (same.bytes, *n) = (same.bytes + row.bytes, *n + 1),
                None => rows.push((LedgerRow { tensor, fate, ..row.clone() }, 1)),
            }
        }
        rows
    }
}

/// What became of one tensor.
#[derive(Clone, Debug)]
pub struct LedgerRow {
    /// The file that holds it.
    pub file: PathBuf,
    /// Its name there.
    pub tensor: String,
    /// Its shape there, outermost first.
    pub shape: Vec<usize>,
    /// Its type there.
    pub dtype: String,
    /// Bytes in the file.
    pub bytes: u64,
    /// Used or ignored.
    pub fate: Fate,
}

/// Used or ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A weight, or a part of one.
    Used {
        /// The role it plays.
        role: String,
        /// Something worth knowing: where the config's default was wrong about it.
        note: Option<String>,
    },
    /// Nothing reads it.
    Ignored {
        /// Why that is right.
        reason: &'static str,
    },
}

/// What is asked of a tensor: the role for messages, and the shape in numbers.
struct Ask {
    role: String,
    /// `[len]`, `[rows, cols]`, or one of these behind the number of experts.
    shape: Vec<usize>,
    /// Which expert of a stack is asked for.
    expert: Option<usize>,
}

impl Ask {
    fn of(decl: &WeightDecl) -> Ask {
        let shape = match decl.shape {
            Shape::Matrix { rows, cols } => vec![rows, cols],
            Shape::Vector { len } => vec![len],
        };
        Ask { role: decl.role.clone(), shape, expert: None }
    }

    fn is_vector(&self) -> bool {
        self.shape.len() == 1 + usize::from(self.expert.is_some())
    }

    fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// A stack may have one global scale for each expert.
    fn own<'e>(&self, global: &'e Entry) -> Result<Cow<'e, Entry>> {
        let Some(expert) = self.expert.filter(|_| global.shape.len() == 1) else { return Ok(Cow::Borrowed(global)) };
        if global.shape.first() != self.shape.first() {
            let ask = Ask { role: self.role.clone(), shape: self.shape[..1].to_vec(), expert: None };
            return Err(wrong_shape(global, &ask, format!("{:?}", global.shape)));
        }
        let size = global.bytes.len() / self.shape[0].max(1);
        let bytes = global.bytes.slice(expert * size..(expert + 1) * size);
        Ok(Cow::Owned(Entry { shape: Vec::new(), bytes, ..global.clone() }))
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shape)
    }
}

/// How many experts a layer has.
fn experts(spec: &Spec, layer: usize) -> usize {
    let experts = |mixer: &Mixer| if let Mixer::Moe(moe) = mixer { Some(moe.experts) } else { None };
    spec.mixers_of(layer).find_map(experts).unwrap_or(0)
}

/// How many heads a layer has whose matrices for heads are stacks.
fn heads(spec: &Spec, layer: usize) -> usize {
    let heads = |mixer: &Mixer| match mixer {
        Mixer::LatentAttention(a) => Some(a.heads),
        Mixer::RgLru(l) => Some(l.heads),
        _ => None,
    };
    spec.mixers_of(layer).find_map(heads).unwrap_or(1)
}

/// Binds roles one after the other and remembers what was used.
pub(crate) struct Binder<'a> {
    spec: &'a Spec,
    checkpoint: &'a Checkpoint,
    names: Names,
    quantization: Option<Quantization>,
    /// Rows of each weight that the spec declares, numbers of vectors.
    rows: HashMap<String, usize>,
    used: HashMap<String, Fate>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(spec: &'a Spec, checkpoint: &'a Checkpoint) -> Result<Self> {
        let family = families::named(spec.family).ok_or_else(|| families::unknown(checkpoint.hparams()))?;
        let names = Names::of(checkpoint.layout(), family, |name| checkpoint.entry(name).is_some());
        let quantization = checkpoint.hparams().quantization()?;
        let rows = |shape: Shape| match shape {
            Shape::Matrix { rows, .. } => rows,
            Shape::Vector { len } => len,
        };
        let rows = spec.weights().into_iter().map(|decl| (decl.role, rows(decl.shape))).collect();
        Ok(Binder { spec, checkpoint, names, quantization, rows, used: HashMap::new() })
    }

    pub(crate) fn bind(&mut self, decl: &WeightDecl) -> Result<Tensor> {
        let ask = Ask::of(decl);
        let has = |name: &str| self.checkpoint.entry(name).is_some();
        let Some(found) = self.names.find(&decl.role, has) else { return self.whole(&decl.role, &ask) };
        match found.source {
            Source::Whole(_) | Source::Former(_) => self.whole(&found.tensor, &ask),
            Source::Rows(..) => self.some_rows(&found, &ask),
            Source::Grouped(..) => self.grouped_rows(&found, &ask),
            Source::PlusOne(_) => self.changed(&found.tensor, &ask, |value| 1.0 + value),
            Source::Centred(_) if stored::is_folded(self.checkpoint) => self.whole(&found.tensor, &ask),
            Source::Centred(_) => self.changed(&found.tensor, &ask, |value| 1.0 + value),
            Source::OverRoot(_) => {
                let root = (ask.cols() as f32).sqrt();
                self.changed(&found.tensor, &ask, |value| value / root)
            }
            Source::Ones => Ok(Tensor::from_f32(&decl.role, 1, ask.cols(), vec![1.0; ask.cols()])),
            Source::Stack(..) => self.of_stack(&found, &ask),
            Source::Turns(..) => self.in_turn(&found, &ask),
            Source::Columns(..) => self.columns(&found, &ask),
            Source::Heads(_) => self.of_heads(&found, &ask),
            Source::Forgetting(_) => {
                self.changed(&found.tensor, &ask, |value| -8.0 * (value.max(0.0) + (-value.abs()).exp().ln_1p()))
            }
            Source::MinusExp(_) => self.changed(&found.tensor, &ask, |value| -value.exp()),
            Source::Squeezed(..) | Source::Flat(_) => self.reshaped(&found, &ask),
        }
    }

    /// The rows of `ask` among those of its neighbours, and how many all have.
    fn part(&self, found: &Found, ask: &Ask) -> (Range<usize>, usize, String) {
        let (mut first, mut total, mut roles) = (0, 0, Vec::new());
        for part in &found.parts {
            let rows = self.rows.get(part).copied().unwrap_or(0);
            if *part == ask.role {
                first = total;
            }
            roles.push(format!("{} [{total}..{}]", folded(part), total + rows));
            total += rows;
        }
        let own = if ask.is_vector() { ask.cols() } else { ask.rows() };
        (first..first + own, total, roles.join(", "))
    }

    /// The tensor must have exactly the rows of all its parts, and each is bound in its turn: so every row is used.
    fn some_rows(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let (rows, total, role) = self.part(found, ask);
        if ask.is_vector() {
            let whole = self.whole(&found.tensor, &Ask { role, shape: vec![total], expert: None })?;
            return Ok(Tensor::from_f32(&found.tensor, 1, rows.len(), whole.to_f32()[rows].to_vec()));
        }
        let whole = Ask { role, shape: vec![total, ask.cols()], expert: None };
        Ok(self.whole(&found.tensor, &whole)?.rows_range(rows))
    }

    /// As [`Binder::some_rows`], or the whole, of plain numbers in a shape that has ones in it, or in any shape.
    fn reshaped(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let mut whole = Ask { role: ask.role.clone(), shape: ask.shape.clone(), expert: None };
        let mut rows = 0..ask.rows();
        if !found.parts.is_empty() {
            let (own, total, role) = self.part(found, ask);
            (rows, whole.role, whole.shape[0]) = (own, role, total);
        }
        let entry = self.entry(&found.tensor, &whole)?;
        let counts = |shape: &[usize]| match found.source {
            Source::Flat(_) => vec![shape.iter().fold(1, |all: usize, n| all.saturating_mul(*n))],
            _ => shape.iter().copied().filter(|n| *n != 1).collect::<Vec<_>>(),
        };
        if !matches!(entry.dtype, Dtype::Float(_)) {
            return Err(wrong_type(entry, &whole, "f32, f16 or bf16"));
        }
        if counts(&entry.shape) != counts(&whole.shape) {
            return Err(wrong_shape(entry, &whole, format!("{:?}", entry.shape)));
        }
        self.mark(&found.tensor, &whole, None);
        let tensor = Tensor::dense(&Entry { shape: whole.shape, ..entry.clone() })?;
        Ok(if ask.is_vector() { tensor } else { tensor.rows_range(rows) })
    }

    /// As [`Binder::some_rows`], for rows that come in a group for each key head.
    fn grouped_rows(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let (rows, total, role) = self.part(found, ask);
        let groups = found.groups(self.spec);
        let whole = Ask { role, shape: vec![total, ask.cols()], expert: None };
        Ok(self.whole(&found.tensor, &whole)?.comb(rows.start / groups, rows.len() / groups, total / groups))
    }

    /// One expert's weight of the stack of all. The stack must have as many as the layer, and each is bound in its turn.
    fn of_stack(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let [layer, Some(expert)] = found.indices else { return self.whole(&found.tensor, ask) };
        let experts = layer.map_or(0, |layer| experts(self.spec, layer));
        let (mut rows, mut total, mut role) = self.part(found, ask);
        if ask.is_vector() {
            // Each expert's numbers are one row of the stack.
            (rows, total) = (0..1, 1);
        }
        if found.parts.len() == 1 {
            role = folded(&ask.role).into_owned();
        }
        let shape = if ask.is_vector() { vec![experts, ask.cols()] } else { vec![experts, total, ask.cols()] };
        let stack = self.whole(&found.tensor, &Ask { role, shape, expert: Some(expert) })?;
        let at = expert * total;
        Ok(stack.rows_range(at + rows.start..at + rows.end))
    }

    /// One of the stack of all experts: its name, its role in messages, its number and that of the experts; and how many roles
    /// take turns in it, and which of them is asked for.
    fn turn(&self, found: &Found, ask: &Ask) -> (String, [usize; 4]) {
        let [layer, expert] = found.indices;
        let experts = layer.map_or(0, |layer| experts(self.spec, layer));
        let turn = found.parts.iter().position(|part| *part == ask.role).unwrap_or(0);
        let roles: Vec<_> = found.parts.iter().map(|part| folded(part)).collect();
        (roles.join(", in turn "), [expert.unwrap_or(0), experts, turn, found.parts.len()])
    }

    /// As [`Binder::of_stack`], of rows or numbers that take turns.
    fn in_turn(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let (role, [expert, experts, turn, turns]) = self.turn(found, ask);
        let own = |width: usize| [turns * width].into_iter();
        let (shape, rows): (Vec<_>, _) = if ask.is_vector() {
            (std::iter::once(experts).chain(own(ask.cols())).collect(), 1)
        } else {
            (std::iter::once(experts).chain(own(ask.rows())).chain([ask.cols()]).collect(), turns * ask.rows())
        };
        let stack = self.whole(&found.tensor, &Ask { role, shape, expert: Some(expert) })?;
        let one = stack.rows_range(expert * rows..(expert + 1) * rows);
        if !ask.is_vector() {
            return Ok(one.comb(turn, 1, turns));
        }
        let numbers: Vec<f32> = one.to_f32().into_iter().skip(turn).step_by(turns).collect();
        Ok(Tensor::from_f32(&found.tensor, 1, numbers.len(), numbers))
    }

    /// Columns that take turns, as rows: a copy.
    fn columns(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let (role, [expert, experts, turn, turns]) = self.turn(found, ask);
        let (rows, cols) = (turns * ask.rows(), ask.cols());
        let stack = Ask { role, shape: vec![experts, cols, rows], expert: Some(expert) };
        let one = self.whole(&found.tensor, &stack)?.rows_range(expert * cols..(expert + 1) * cols);
        let entry = self.entry(&found.tensor, ask)?;
        one.columns(turn, turns).ok_or_else(|| wrong_type(entry, ask, "f32, f16 or bf16"))
    }

    /// The matrices of all heads.
    fn of_heads(&mut self, found: &Found, ask: &Ask) -> Result<Tensor> {
        let heads = found.indices[0].map_or(1, |layer| heads(self.spec, layer));
        let shape = vec![heads, ask.rows() / heads, ask.cols()];
        self.whole(&found.tensor, &Ask { role: ask.role.clone(), shape, expert: None })
    }

    /// A copy with each number changed.
    fn changed(&mut self, name: &str, ask: &Ask, change: impl Fn(f32) -> f32) -> Result<Tensor> {
        let tensor = self.whole(name, ask)?;
        let values = tensor.to_f32().into_iter().map(change).collect();
        Ok(Tensor::from_f32(name, tensor.rows(), tensor.cols(), values))
    }

    fn whole(&mut self, name: &str, ask: &Ask) -> Result<Tensor> {
        let entry = self.entry(name, ask)?;
        if ask.is_vector() {
            return self.vector(entry, ask);
        }
        if let Some(module) = name.strip_suffix("_blocks") {
            return self.blocks(entry, &format!("{module}_scales"), ask);
        }
        match companion(name, "scales").and_then(|s| self.checkpoint.entry(&s)) {
            Some(scales) if scales.dtype == Dtype::Int(Int::U8) => self.microscaled(entry, scales, ask),
            Some(scales) => self.affine(entry, scales, ask),
            None => self.plain(entry, ask),
        }
    }

    fn entry(&self, name: &str, ask: &Ask) -> Result<&'a Entry> {
        self.checkpoint.entry(name).ok_or_else(|| Error::MissingTensor {
            path: self.checkpoint.path().to_owned(),
            tensor: name.to_owned(),
            role: ask.role.clone(),
            expected: ask.to_string(),
        })
    }

    fn vector(&mut self, entry: &Entry, ask: &Ask) -> Result<Tensor> {
        if !matches!(entry.dtype, Dtype::Float(_)) {
            return Err(wrong_type(entry, ask, "f32, f16 or bf16"));
        }
        expect_shape(entry, ask)?;
        self.mark(&entry.name, ask, None);
        Ok(Tensor::dense(entry)?)
    }

    fn plain(&mut self, entry: &Entry, ask: &Ask) -> Result<Tensor> {
        if !matches!(entry.dtype, Dtype::Float(_) | Dtype::Block(_)) {
            return Err(wrong_type(
                entry,
                ask,
                "f32, f16, bf16, an MLX quantization with .scales, or one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K and MXFP4 of GGUF; use a version in one of these",
            ));
        }
        expect_shape(entry, ask)?;
        let tensor = Tensor::dense(entry)?;
        let note = self.compare_config(entry, None)?;
        self.mark(&entry.name, ask, note);
        Ok(tensor)
    }

    /// MXFP4 in bytes, which no config describes.
    fn blocks(&mut self, entry: &Entry, scales: &str, ask: &Ask) -> Result<Tensor> {
        let scales = self.entry(scales, ask)?;
        let tensor = Tensor::mxfp4_blocks(entry, scales)?;
        self.quantized(entry, [Some(scales), None], tensor, ask)
    }

    fn affine(&mut self, entry: &Entry, scales: &Entry, ask: &Ask) -> Result<Tensor> {
        let name = companion(&entry.name, "biases").unwrap_or_default();
        let biases = self.entry(&name, ask)?;
        let tensor = Tensor::affine(entry, scales, biases, ask.cols())?;
        self.quantized(entry, [Some(scales), Some(biases)], tensor, ask)
    }

    /// The modes of MLX without biases have scales of bytes.
    fn microscaled(&mut self, entry: &Entry, scales: &Entry, ask: &Ask) -> Result<Tensor> {
        let global = companion(&entry.name, "global_scale").and_then(|name| self.checkpoint.entry(&name));
        let own = global.map(|global| ask.own(global)).transpose()?;
        let tensor = Tensor::microscaled(entry, scales, own.as_deref(), ask.cols())?;
        self.quantized(entry, [Some(scales), global], tensor, ask)
    }

    fn quantized(&mut self, entry: &Entry, parts: [Option<&Entry>; 2], tensor: Tensor, ask: &Ask) -> Result<Tensor> {
        if tensor.shape() != ask.shape {
            return Err(wrong_shape(entry, ask, format!("{:?}", tensor.shape())));
        }
        let note = self.compare_config(entry, Some(tensor.storage()))?;
        self.mark(&entry.name, ask, note);
        parts.into_iter().flatten().for_each(|part| self.mark(&part.name, ask, None));
        Ok(tensor)
    }

    /// An entry for the module must agree with the tensors; a default that does not is worth a note, for the shapes decide.
    fn compare_config(&self, entry: &Entry, got: Option<Storage>) -> Result<Option<String>> {
        let (Some(config), Some(module)) = (&self.quantization, entry.name.strip_suffix(".weight")) else {
            return Ok(None);
        };
        let same = |module: Module| match (module, got) {
            (Module::Plain, None) => true,
            (Module::Quantized(p), Some(Storage::Affine(Affine { bits, group, .. }))) => {
                (p.mode, p.bits, p.group) == (Mode::Affine, bits, group)
            }
            (Module::Quantized(p), Some(Storage::Microscaled(micro))) => p.mode == Mode::Microscaled(micro),
            _ => false,
        };
        let own = config.modules.get(module).copied();
        let said = own.unwrap_or(Module::Quantized(config.default));
        if same(said) || (own.is_none() && got.is_none()) {
            return Ok(None);
        }
        if own.is_none() {
            return Ok(Some(format!("the config's default is {}, the shapes say {}", show(said), storage_name(got))));
        }
        Err(Error::QuantizationContradicts {
            file: entry.file.to_path_buf(),
            module: module.to_owned(),
            expected: show(said),
            got: storage_name(got),
        })
    }

    fn mark(&mut self, tensor: &str, ask: &Ask, note: Option<String>) {
        // A tensor may play several roles: one norm before two branches.
        if let Some(Fate::Used { role, .. }) = self.used.get_mut(tensor) {
            if *role != ask.role {
                *role = format!("{role}, {}", ask.role);
            }
            return;
        }
        self.used.insert(tensor.to_owned(), Fate::Used { role: ask.role.clone(), note });
    }

    /// The fate of what nothing used.
    fn unread(&self, entry: &Entry) -> Option<Fate> {
        let factors = rope_freqs::NAMES.contains(&entry.name.as_str());
        if self.checkpoint.layout() == Layout::Gguf && factors && !self.spec.ropes.is_empty() {
            let note = Some("the frequencies of the rope are divided by it".to_owned());
            return Some(Fate::Used { role: "rope_freqs".to_owned(), note });
        }
        let head = self.names.tensor("head").unwrap_or_default();
        let is_head = entry.name == head
            || ["scales", "biases", "global_scale"]
                .iter()
                .any(|part| companion(&head, part).as_ref() == Some(&entry.name));
        if self.spec.head.tied && is_head {
            return Some(Fate::Ignored { reason: "the head is tied to the embedding" });
        }
        self.names.ignored(&entry.name, self.spec.layers.len()).map(|reason| Fate::Ignored { reason })
    }

    pub(crate) fn finish(mut self) -> Result<Ledger> {
        let mut rows = Vec::new();
        let mut unread = Vec::new();
        for entry in self.checkpoint.entries() {
            match self.used.remove(&entry.name).or_else(|| self.unread(entry)) {
                Some(fate) => rows.push(row(entry, fate)),
                None => unread.push(entry),
            }
        }
        match unread.first() {
            None => Ok(Ledger { rows }),
            Some(first) => Err(Error::UnreadTensor {
                file: first.file.to_path_buf(),
                tensor: first.name.clone(),
                shape: format!("{:?}", first.shape),
                family: self.spec.family,
                more: if unread.len() > 1 { format!(" (and {} more)", unread.len() - 1) } else { String::new() },
            }),
        }
    }
}

fn show(module: Module) -> String {
    match module {
        Module::Plain => "plain".to_owned(),
        Module::Quantized(p) => match p.mode {
            Mode::Affine => format!("affine {}-bit g{}", p.bits, p.group),
            Mode::Microscaled(micro) => micro.to_string(),
        },
    }
}

fn row(entry: &Entry, fate: Fate) -> LedgerRow {
    LedgerRow {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        shape: entry.shape.clone(),
        dtype: entry.dtype.to_string(),
        bytes: entry.bytes.len() as u64,
        fate,
    }
}

fn expect_shape(entry: &Entry, ask: &Ask) -> Result<()> {
    if entry.shape == ask.shape { Ok(()) } else { Err(wrong_shape(entry, ask, format!("{:?}", entry.shape))) }
}

fn wrong_shape(entry: &Entry, ask: &Ask, got: String) -> Error {
    Error::Shape {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        role: ask.role.clone(),
        expected: ask.to_string(),
        got,
    }
}

fn wrong_type(entry: &Entry, ask: &Ask, expected: &'static str) -> Error {
    Error::Type {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        role: ask.role.clone(),
        expected,
        got: entry.dtype.to_string(),
    }
}
