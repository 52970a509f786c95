//! The ledger: every tensor of every file is used, or ignored for a named reason, or the checkpoint is refused.

use std::{collections::HashMap, path::PathBuf};

use ffai_checkpoint::{Affine, Checkpoint, Dtype, Entry, Int, Layout, Mode, Module, Quantization, Storage, Tensor};

use crate::{
    Error, Result, Shape, Spec, WeightDecl,
    error::storage_name,
    families,
    names::{Found, Names, Source, companion},
    rope_freqs,
};

/// What became of each tensor of a checkpoint, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// One row for each tensor.
    pub rows: Vec<LedgerRow>,
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

/// Binds roles one after the other and remembers what was used.
pub(crate) struct Binder<'a> {
    spec: &'a Spec,
    checkpoint: &'a Checkpoint,
    names: Names,
    quantization: Option<Quantization>,
    /// Rows of each weight that the spec declares.
    rows: HashMap<String, usize>,
    used: HashMap<String, Fate>,
}

impl<'a> Binder<'a> {
    pub(crate) fn new(spec: &'a Spec, checkpoint: &'a Checkpoint) -> Result<Self> {
        let family = families::named(spec.family).ok_or_else(|| families::unknown(checkpoint.hparams()))?;
        let names = Names::of(checkpoint.layout(), family, |name| checkpoint.entry(name).is_some());
        let quantization = checkpoint.hparams().quantization()?;
        let rows = spec.weights().into_iter().map(|decl| (decl.role, decl.shape.dims().0)).collect();
        Ok(Binder { spec, checkpoint, names, quantization, rows, used: HashMap::new() })
    }

    pub(crate) fn bind(&mut self, decl: &WeightDecl) -> Result<Tensor> {
        let Some(found) = self.names.find(&decl.role) else { return self.whole(&decl.role, decl) };
        match found.source {
            Source::Whole(_) => self.whole(&found.tensor, decl),
            Source::Rows(..) => self.some_rows(&found, decl),
            Source::PlusOne(_) => self.plus_one(&found.tensor, decl),
        }
    }

    /// The rows of `decl` among those of its neighbours. The tensor must have exactly the rows of all, and each neighbour is
    /// bound in its turn: so every row is used.
    fn some_rows(&mut self, found: &Found, decl: &WeightDecl) -> Result<Tensor> {
        let (rows, cols) = decl.shape.dims();
        let (mut first, mut total, mut roles) = (0, 0, Vec::new());
        for part in &found.parts {
            let rows = self.rows.get(part).copied().unwrap_or(0);
            if *part == decl.role {
                first = total;
            }
            roles.push(format!("{part} [{total}..{}]", total + rows));
            total += rows;
        }
        let whole = WeightDecl { role: roles.join(", "), shape: Shape::Matrix { rows: total, cols } };
        Ok(self.whole(&found.tensor, &whole)?.rows_range(first..first + rows))
    }

    fn plus_one(&mut self, name: &str, decl: &WeightDecl) -> Result<Tensor> {
        let tensor = self.whole(name, decl)?;
        let values = tensor.to_f32().into_iter().map(|value| 1.0 + value).collect();
        Ok(Tensor::from_f32(name, tensor.rows(), tensor.cols(), values))
    }

    fn whole(&mut self, name: &str, decl: &WeightDecl) -> Result<Tensor> {
        let entry = self.entry(name, decl)?;
        match decl.shape {
            Shape::Vector { .. } => self.vector(entry, decl),
            Shape::Matrix { cols, .. } => match companion(name, "scales").and_then(|s| self.checkpoint.entry(&s)) {
                Some(scales) if scales.dtype == Dtype::Int(Int::U8) => self.microscaled(entry, scales, cols, decl),
                Some(scales) => self.affine(entry, scales, cols, decl),
                None => self.plain(entry, decl),
            },
        }
    }

    fn entry(&self, name: &str, decl: &WeightDecl) -> Result<&'a Entry> {
        self.checkpoint.entry(name).ok_or_else(|| Error::MissingTensor {
            path: self.checkpoint.path().to_owned(),
            tensor: name.to_owned(),
            role: decl.role.clone(),
            expected: decl.shape.to_string(),
        })
    }

    fn vector(&mut self, entry: &Entry, decl: &WeightDecl) -> Result<Tensor> {
        if !matches!(entry.dtype, Dtype::Float(_)) {
            return Err(wrong_type(entry, decl, "f32, f16 or bf16"));
        }
        expect_shape(entry, decl)?;
        self.mark(&entry.name, decl, None);
        Ok(Tensor::dense(entry)?)
    }

    fn plain(&mut self, entry: &Entry, decl: &WeightDecl) -> Result<Tensor> {
        if !matches!(entry.dtype, Dtype::Float(_) | Dtype::Block(_)) {
            return Err(wrong_type(
                entry,
                decl,
                "f32, f16, bf16, an MLX quantization with .scales, or one of Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K and MXFP4 of GGUF; use a version in one of these",
            ));
        }
        expect_shape(entry, decl)?;
        let tensor = Tensor::dense(entry)?;
        let note = self.compare_config(entry, None)?;
        self.mark(&entry.name, decl, note);
        Ok(tensor)
    }

    fn affine(&mut self, entry: &Entry, scales: &Entry, cols: usize, decl: &WeightDecl) -> Result<Tensor> {
        let name = companion(&entry.name, "biases").unwrap_or_default();
        let biases = self.entry(&name, decl)?;
        let tensor = Tensor::affine(entry, scales, biases, cols)?;
        self.quantized(entry, [Some(scales), Some(biases)], tensor, decl)
    }

    /// The modes of MLX without biases have scales of bytes.
    fn microscaled(&mut self, entry: &Entry, scales: &Entry, cols: usize, decl: &WeightDecl) -> Result<Tensor> {
        let global = companion(&entry.name, "global_scale").and_then(|name| self.checkpoint.entry(&name));
        let tensor = Tensor::microscaled(entry, scales, global, cols)?;
        self.quantized(entry, [Some(scales), global], tensor, decl)
    }

    fn quantized(
        &mut self,
        entry: &Entry,
        parts: [Option<&Entry>; 2],
        tensor: Tensor,
        decl: &WeightDecl,
    ) -> Result<Tensor> {
        let (rows, _) = decl.shape.dims();
        if tensor.rows() != rows {
            return Err(wrong_shape(entry, decl, format!("[{}, {}]", tensor.rows(), tensor.cols())));
        }
        let note = self.compare_config(entry, Some(tensor.storage()))?;
        self.mark(&entry.name, decl, note);
        parts.into_iter().flatten().for_each(|part| self.mark(&part.name, decl, None));
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

    fn mark(&mut self, tensor: &str, decl: &WeightDecl, note: Option<String>) {
        let fate = Fate::Used { role: decl.role.clone(), note };
        // A tensor may play several roles: one norm before two branches.
        if let Some(Fate::Used { role, .. }) = self.used.get_mut(tensor) {
            if *role != decl.role {
                *role = format!("{role}, {}", decl.role);
            }
            return;
        }
        self.used.insert(tensor.to_owned(), fate);
    }

    /// The fate of what nothing used.
    fn unread(&self, entry: &Entry) -> Option<Fate> {
        if self.checkpoint.layout() == Layout::Gguf && entry.name == rope_freqs::NAME && !self.spec.ropes.is_empty() {
            let note = Some("the frequencies of the rope are divided by it".to_owned());
            return Some(Fate::Used { role: rope_freqs::ROLE.to_owned(), note });
        }
        let head = self.names.tensor("head").unwrap_or_default();
        let is_head = entry.name == head
            || ["scales", "biases", "global_scale"]
                .iter()
                .any(|part| companion(&head, part).as_ref() == Some(&entry.name));
        if self.spec.head.tied && is_head {
            return Some(Fate::Ignored { reason: "the head is tied to the embedding" });
        }
        self.names.ignored(&entry.name).map(|reason| Fate::Ignored { reason })
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

fn expect_shape(entry: &Entry, decl: &WeightDecl) -> Result<()> {
    let ok = match decl.shape {
        Shape::Matrix { rows, cols } => entry.shape == [rows, cols],
        Shape::Vector { len } => entry.shape == [len],
    };
    if ok { Ok(()) } else { Err(wrong_shape(entry, decl, format!("{:?}", entry.shape))) }
}

fn wrong_shape(entry: &Entry, decl: &WeightDecl, got: String) -> Error {
    Error::Shape {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        role: decl.role.clone(),
        expected: decl.shape.to_string(),
        got,
    }
}

fn wrong_type(entry: &Entry, decl: &WeightDecl, expected: &'static str) -> Error {
    Error::Type {
        file: entry.file.to_path_buf(),
        tensor: entry.name.clone(),
        role: decl.role.clone(),
        expected,
        got: entry.dtype.to_string(),
    }
}
