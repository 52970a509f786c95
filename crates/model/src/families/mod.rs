//! The families: one file each, data only, and the registry.

mod dims;
mod llama;
mod qwen;

use ffai_checkpoint::{Checkpoint, Hparams, Layout};

use crate::{Error, Pairing, Result, Spec, rope_freqs};
pub(crate) use dims::{Defaults, Dims};

/// One architecture: the name in `model_type`, and the function that translates its config.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `model_type` in `config.json`; `general.architecture` in GGUF.
    pub model_type: &'static str,
    /// What people know it as.
    pub title: &'static str,
    /// Config to spec.
    pub spec: fn(&Hparams) -> Result<Spec>,
    /// How llama.cpp's converter leaves the rows of q and k.
    pub gguf_pairing: Pairing,
}

/// Every architecture there is.
pub const FAMILIES: &[Family] = &[
    Family {
        model_type: "llama",
        title: "Llama 2 and 3, SmolLM, Yi",
        spec: llama::spec,
        gguf_pairing: Pairing::Adjacent,
    },
    Family { model_type: "qwen3", title: "Qwen 3", spec: qwen::spec, gguf_pairing: Pairing::Half },
];

/// The spec of a checkpoint.
///
/// # Errors
/// An architecture that no family knows, and every key of the config that is missing, odd or unsupported.
pub fn spec(checkpoint: &Checkpoint) -> Result<Spec> {
    rope_freqs::divide(spec_of(checkpoint.hparams(), checkpoint.layout())?, checkpoint)
}

/// The spec of a config whose weights are in the given layout.
///
/// # Errors
/// As [`spec`].
pub fn spec_of(hp: &Hparams, layout: Layout) -> Result<Spec> {
    let Some(family) = FAMILIES.iter().find(|f| f.model_type == hp.model_type()) else {
        return Err(Error::UnknownArchitecture {
            file: hp.file().to_owned(),
            model_type: hp.model_type().to_owned(),
            supported: FAMILIES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", "),
        });
    };
    let mut spec = (family.spec)(hp)?;
    if layout == Layout::Gguf {
        spec.ropes.iter_mut().for_each(|rope| rope.pairing = family.gguf_pairing);
    }
    Ok(spec)
}
