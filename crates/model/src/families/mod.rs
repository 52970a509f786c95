//! The families: one file each, data only, and the registry.

mod bamba;
mod cohere2;
mod deepseek;
mod dims;
mod ernie4_5;
mod falcon_h1;
mod gemma;
mod gemma4;
mod glm4;
mod glm4_moe;
mod gpt_oss;
mod granite;
mod granite_hybrid;
mod internlm2;
mod jamba;
mod lfm2;
mod lfm2_moe;
mod llama;
mod mamba;
mod mamba2;
mod mistral;
mod mixtral;
mod nemotron_h;
mod olmo;
mod phi3;
mod phimoe;
mod qwen;
mod qwen_next;
mod recurrent_gemma;
mod seed;
mod smollm3;
mod ssd;
mod starcoder2;
mod table;
mod written;

use ffai_checkpoint::{Checkpoint, Hparams, Layout};

use crate::names::{Row, gguf, hf, pattern};
pub use crate::stored::is_folded;
use crate::{Error, HeadOrder, Mixer, Pairing, Result, Rope, Spec, rope_freqs, stored};
pub(crate) use dims::{Defaults, Dims};
pub use table::table;
pub use written::{HuggingFaceForm, Written, hugging_face_form};

/// One architecture: the name in `model_type`, and the function that translates its config.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What people know it as.
    pub title: &'static str,
    /// Config to spec.
    pub spec: fn(&Hparams) -> Result<Spec>,
    /// `general.architecture` in GGUF, where it is not `model_type`.
    pub gguf_name: Option<&'static str>,
    /// How llama.cpp's converter leaves the rows of q and k.
    pub gguf_pairing: Pairing,
    /// Which key head a value head of a delta net reads in GGUF, where llama.cpp's converter may have sorted the value heads anew.
    pub gguf_heads: HeadOrder,
    /// Whether GGUF files are read. Where llama.cpp names the architecture or its keys in ways that no golden has confirmed, they are
    /// refused rather than guessed at.
    pub in_gguf: bool,
    /// Names in safetensors that are not the usual ones.
    pub hf: &'static [&'static [Row]],
    /// Names in GGUF that are not the usual ones.
    pub gguf: &'static [&'static [Row]],
    /// Tensors that nothing reads, with the reason.
    pub ignored: &'static [(&'static str, &'static str)],
    /// What becomes of a rope once the factors of its frequencies, which GGUF keeps as tensors, are in it.
    pub gguf_rope: fn(Rope) -> Rope,
    /// The spec of a checkpoint whose weights mlx-lm has multiplied with factors of the config, where it does that.
    pub folded: Option<fn(&Hparams) -> Result<Spec>>,
    /// Role patterns of matrices that mlx-lm quantizes otherwise than the rest of a model.
    pub widths: &'static [(&'static str, OwnWidth)],
    /// How the config of a GGUF of this family is written; none where such files are not converted.
    pub written: Option<&'static Written>,
}

/// How mlx-lm quantizes a matrix that it does not treat as the rest of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnWidth {
    /// Never: it is not the weight of a module that can be quantized.
    Plain,
    /// Affine in 8 bits with groups of 64, unless a recipe decides.
    Bits8,
}

/// A router that is no module of its own.
const PLAIN_ROUTER: &[(&str, OwnWidth)] = &[("layers.{i}.moe.router", OwnWidth::Plain)];
/// A router in which rounding would change who is chosen.
const ROUTER_IN_8_BITS: &[(&str, OwnWidth)] = &[("layers.{i}.moe.router", OwnWidth::Bits8)];

impl Family {
    const fn new(model_type: &'static str, title: &'static str, spec: fn(&Hparams) -> Result<Spec>) -> Family {
        let gguf_pairing = Pairing::Half;
        Family {
            model_type,
            title,
            spec,
            gguf_name: None,
            gguf_pairing,
            gguf_heads: HeadOrder::Grouped,
            in_gguf: true,
            hf: &[],
            gguf: &[],
            ignored: &[],
            gguf_rope: |rope| rope,
            folded: None,
            widths: &[],
            written: None,
        }
    }

    /// GGUF has another name for the architecture, which may be that of another family.
    const fn in_gguf_as(self, name: &'static str) -> Family {
        Family { gguf_name: Some(name), ..self }
    }

    /// GGUF keeps the two coordinates of a pair side by side.
    const fn adjacent(self) -> Family {
        Family { gguf_pairing: Pairing::Adjacent, ..self }
    }

    /// GGUF keeps value heads with the same key head apart.
    const fn tiled(self) -> Family {
        Family { gguf_heads: HeadOrder::Tiled, ..self }
    }

    /// The family before a golden has confirmed its GGUF files: they are refused.
    pub const fn not_in_gguf(self) -> Family {
        Family { in_gguf: false, ..self }
    }

    const fn with_factors_of_gguf(self, gguf_rope: fn(Rope) -> Rope) -> Family {
        Family { gguf_rope, ..self }
    }

    const fn folded_by_mlx(self, folded: fn(&Hparams) -> Result<Spec>) -> Family {
        Family { folded: Some(folded), ..self }
    }

    const fn names(self, hf: &'static [&'static [Row]], gguf: &'static [&'static [Row]]) -> Family {
        Family { hf, gguf, ..self }
    }

    fn is_in_gguf_as(&self, architecture: &str) -> bool {
        self.in_gguf && self.gguf_name.unwrap_or(self.model_type) == architecture
    }

    /// How mlx-lm quantizes the matrix with this role, where it has a rule of its own.
    pub fn own_width(&self, role: &str) -> Option<OwnWidth> {
        let pattern = pattern(role);
        self.widths.iter().find(|(own, _)| *own == pattern).map(|(_, width)| *width)
    }

    const fn quantizing(self, widths: &'static [(&'static str, OwnWidth)]) -> Family {
        Family { widths, ..self }
    }

    const fn written(self, written: &'static Written) -> Family {
        Family { written: Some(written), ..self }
    }

    const fn ignoring(self, ignored: &'static [(&'static str, &'static str)]) -> Family {
        Family { ignored, ..self }
    }
}

/// Every architecture there is.
pub const FAMILIES: &[Family] = &[
    Family::new("llama", "Llama 2 and 3, SmolLM, Yi", llama::spec).adjacent().written(&llama::WRITTEN),
    Family::new("qwen2", "Qwen 2 and 2.5", qwen::qwen2).written(&qwen::QWEN2),
    Family::new("qwen3", "Qwen 3", qwen::qwen3).written(&qwen::QWEN3),
    Family::new("mistral", "Mistral 7B, Nemo, Small", mistral::mistral).in_gguf_as("llama"),
    Family::new("ministral3", "Ministral 3", mistral::ministral3).adjacent().in_gguf_as("mistral3"),
    Family::new("mistral3", "Mistral 3 (text)", mistral::mistral3)
        .adjacent()
        .ignoring(hf::TOWERS)
        .written(&mistral::MINISTRAL3),
    Family::new("seed_oss", "Seed-OSS", seed::spec).names(&[], &[gguf::NORM_AFTER_ATTENTION]).written(&seed::WRITTEN),
    Family::new("smollm3", "SmolLM 3", smollm3::spec).adjacent().written(&smollm3::WRITTEN),
    Family::new("phi3", "Phi 3, 3.5 and 4", phi3::spec).names(phi3::HF, phi3::GGUF).written(&phi3::WRITTEN),
    Family::new("granite", "Granite 3", granite::granite)
        .adjacent()
        .quantizing(granite::WIDTHS)
        .written(&granite::WRITTEN),
    Family::new("internlm2", "InternLM 2 and 2.5", internlm2::spec)
        .adjacent()
        .names(internlm2::HF, &[])
        .written(&internlm2::WRITTEN),
    Family::new("olmo2", "OLMo 2", olmo::olmo2).names(olmo::HF, &[]).written(&olmo::OLMO2),
    Family::new("olmo3", "OLMo 3", olmo::olmo3).in_gguf_as("olmo2").names(olmo::HF, &[]),
    Family::new("glm4", "GLM 4", glm4::spec).adjacent().names(glm4::HF, glm4::GGUF).written(&glm4::WRITTEN),
    Family::new("ernie4_5", "ERNIE 4.5", ernie4_5::spec).adjacent().written(&ernie4_5::WRITTEN),
    Family::new("lfm2", "LFM2", lfm2::spec).names(lfm2::HF, lfm2::GGUF).written(&lfm2::WRITTEN),
    Family::new("lfm2_moe", "LFM2 (mixtures)", lfm2_moe::spec)
        .in_gguf_as("lfm2moe")
        .names(lfm2_moe::HF, lfm2::GGUF)
        .quantizing(ROUTER_IN_8_BITS)
        .written(&lfm2_moe::WRITTEN),
    Family::new("jamba", "Jamba", jamba::spec)
        .names(jamba::HF, jamba::GGUF)
        .quantizing(ROUTER_IN_8_BITS)
        .written(&jamba::WRITTEN),
    Family::new("qwen3_next", "Qwen 3 Next", qwen_next::next)
        .in_gguf_as("qwen3next")
        .names(qwen_next::HF_NEXT, qwen_next::GGUF_NEXT)
        .ignoring(qwen_next::IGNORED)
        .written(&qwen_next::NEXT),
    Family::new("qwen3_5_text", "Qwen 3.5 (text)", qwen_next::dense)
        .in_gguf_as("qwen35")
        .tiled()
        .names(qwen_next::HF, qwen_next::GGUF)
        .ignoring(qwen_next::IGNORED)
        .written(&qwen_next::DENSE),
    Family::new("qwen3_5", "Qwen 3.5 (text part)", qwen_next::dense)
        .in_gguf_as("qwen35")
        .tiled()
        .names(qwen_next::HF, qwen_next::GGUF)
        .ignoring(qwen_next::IGNORED),
    Family::new("qwen3_5_moe_text", "Qwen 3.5 (mixtures, text)", qwen_next::mixture)
        .in_gguf_as("qwen35moe")
        .tiled()
        .names(qwen_next::HF, qwen_next::GGUF)
        .ignoring(qwen_next::IGNORED)
        .written(&qwen_next::MIXTURE),
    Family::new("qwen3_5_moe", "Qwen 3.5 (mixtures, text part)", qwen_next::mixture)
        .in_gguf_as("qwen35moe")
        .tiled()
        .names(qwen_next::HF, qwen_next::GGUF)
        .ignoring(qwen_next::IGNORED),
    Family::new("mamba", "Mamba", mamba::mamba).names(mamba::HF, mamba::GGUF).written(&mamba::WRITTEN),
    Family::new("falcon_mamba", "Falcon Mamba", mamba::falcon).in_gguf_as("mamba").names(mamba::HF, mamba::GGUF),
    Family::new("mamba2", "Mamba 2", mamba2::spec).names(mamba2::HF, mamba2::GGUF).written(&mamba2::WRITTEN),
    Family::new("starcoder2", "StarCoder 2", starcoder2::spec).names(starcoder2::HF, &[]).written(&starcoder2::WRITTEN),
    Family::new("cohere2", "Command R7B and A", cohere2::spec)
        .adjacent()
        .names(cohere2::HF, cohere2::GGUF)
        .written(&cohere2::WRITTEN),
    Family::new("gemma", "Gemma", gemma::gemma).names(gemma::HF_1, &[]).written(&gemma::WRITTEN_1),
    Family::new("gemma2", "Gemma 2", gemma::gemma2).names(gemma::HF, &[]).written(&gemma::WRITTEN_2),
    Family::new("gemma3_text", "Gemma 3 (text)", gemma::gemma3).in_gguf_as("gemma3").names(gemma::HF, &[]),
    Family::new("gemma3", "Gemma 3 (text part)", gemma::gemma3)
        .names(gemma::HF, &[])
        .ignoring(hf::TOWERS)
        .written(&gemma::WRITTEN_3),
    Family::new("gemma4_text", "Gemma 4 (text)", gemma4::spec)
        .in_gguf_as("gemma4")
        .names(gemma4::HF, gemma4::GGUF)
        .ignoring(gemma4::IGNORED)
        .quantizing(ROUTER_IN_8_BITS),
    Family::new("gemma4", "Gemma 4 (text part)", gemma4::spec)
        .names(gemma4::HF, gemma4::GGUF)
        .ignoring(gemma4::IGNORED)
        .quantizing(ROUTER_IN_8_BITS)
        .written(&gemma4::WRITTEN),
    Family::new("recurrent_gemma", "RecurrentGemma", recurrent_gemma::spec)
        .not_in_gguf()
        .names(recurrent_gemma::HF, &[]),
    Family::new("mixtral", "Mixtral", mixtral::spec).in_gguf_as("llama").names(mixtral::HF, &[]),
    Family::new("qwen2_moe", "Qwen 1.5 and 2 (mixtures)", qwen::qwen2_moe)
        .in_gguf_as("qwen2moe")
        .written(&qwen::QWEN2_MOE),
    Family::new("qwen3_moe", "Qwen 3 (mixtures)", qwen::qwen3_moe)
        .in_gguf_as("qwen3moe")
        .quantizing(ROUTER_IN_8_BITS)
        .written(&qwen::QWEN3_MOE),
    Family::new("deepseek_v3", "DeepSeek V3 and R1", deepseek::spec)
        .adjacent()
        .in_gguf_as("deepseek2")
        .names(deepseek::HF, deepseek::GGUF)
        .ignoring(hf::MORE_TOKENS)
        .quantizing(deepseek::WIDTHS)
        .written(&deepseek::WRITTEN),
    Family::new("gpt_oss", "gpt-oss", gpt_oss::spec)
        .in_gguf_as("gpt-oss")
        .names(gpt_oss::HF, gpt_oss::GGUF)
        .quantizing(ROUTER_IN_8_BITS)
        .written(&gpt_oss::WRITTEN),
    Family::new("olmoe", "OLMoE", olmo::olmoe).written(&olmo::OLMOE),
    Family::new("granitemoe", "Granite 3 (mixtures)", granite::granitemoe)
        .adjacent()
        .names(granite::HF_MOE, &[])
        .quantizing(granite::WIDTHS)
        .written(&granite::WRITTEN_MOE),
    Family::new("bamba", "Bamba", bamba::spec).not_in_gguf().names(bamba::HF, &[]),
    Family::new("falcon_h1", "Falcon H1", falcon_h1::spec)
        .in_gguf_as("falcon-h1")
        .names(falcon_h1::HF, falcon_h1::GGUF)
        .folded_by_mlx(falcon_h1::in_mlx),
    Family::new("nemotron_h", "Nemotron H, Nemotron 3 Nano", nemotron_h::spec)
        .names(nemotron_h::HF, nemotron_h::GGUF)
        .ignoring(nemotron_h::IGNORED)
        .quantizing(PLAIN_ROUTER),
    Family::new("granitemoehybrid", "Granite 4", granite_hybrid::spec)
        .adjacent()
        .in_gguf_as("granitehybrid")
        .names(granite_hybrid::HF, granite_hybrid::GGUF)
        .quantizing(granite_hybrid::WIDTHS),
    Family::new("phimoe", "Phi 3.5 MoE", phimoe::spec)
        .names(phimoe::HF, &[])
        .with_factors_of_gguf(phimoe::by_short_factors)
        .written(&phimoe::WRITTEN),
    Family::new("glm4_moe", "GLM 4.5 and 4.6", glm4_moe::spec)
        .in_gguf_as("glm4moe")
        .names(glm4_moe::HF, glm4_moe::GGUF)
        .ignoring(hf::MORE_TOKENS)
        .quantizing(PLAIN_ROUTER)
        .written(&glm4_moe::WRITTEN),
];

/// The family of that `model_type`, or of that name in GGUF.
pub fn named(model_type: &str) -> Option<&'static Family> {
    let own = FAMILIES.iter().find(|family| family.model_type == model_type);
    own.or_else(|| FAMILIES.iter().find(|family| family.gguf_name == Some(model_type)))
}

pub(crate) fn unknown(hp: &Hparams) -> Error {
    Error::UnknownArchitecture {
        file: hp.file().to_owned(),
        model_type: hp.model_type().to_owned(),
        supported: FAMILIES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", "),
    }
}

/// The spec of a checkpoint.
///
/// # Errors
/// An architecture that no family knows, and every key of the config that is missing, odd or unsupported.
pub fn spec(checkpoint: &Checkpoint) -> Result<Spec> {
    let spec = spec_of(checkpoint.hparams(), checkpoint.layout())?;
    let family = named(spec.family).ok_or_else(|| unknown(checkpoint.hparams()))?;
    let spec = match family.folded {
        Some(folded) if is_folded(checkpoint) => Spec { family: family.model_type, ..folded(checkpoint.hparams())? },
        _ => stored::as_stored(spec, family, checkpoint),
    };
    if checkpoint.layout() != Layout::Gguf {
        return Ok(spec);
    }
    let spec = rope_freqs::divide(spec, checkpoint)?;
    Ok(Spec { ropes: spec.ropes.into_iter().map(family.gguf_rope).collect(), ..spec })
}

/// The spec of a config whose weights are in the given layout.
///
/// # Errors
/// As [`spec`].
pub fn spec_of(hp: &Hparams, layout: Layout) -> Result<Spec> {
    let family = named(hp.model_type()).ok_or_else(|| unknown(hp))?;
    if layout == Layout::Gguf && !family.is_in_gguf_as(hp.model_type()) {
        return Err(Error::NotInGguf { file: hp.file().to_owned(), model_type: family.model_type });
    }
    let mut spec = Spec { family: family.model_type, ..(family.spec)(hp)? };
    if let Some((key, expected)) = spec.contradiction() {
        return Err(hp.invalid(key, expected).into());
    }
    if layout == Layout::Gguf {
        spec.ropes.iter_mut().for_each(|rope| rope.pairing = family.gguf_pairing);
        let branches = spec.layers.iter_mut().flat_map(|layer| &mut layer.sublayers).flat_map(|s| &mut s.branches);
        for branch in branches {
            if let Mixer::DeltaNet(net) = &mut branch.mixer {
                net.order = family.gguf_heads;
            }
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_whose_gguf_files_no_golden_confirms_is_refused_there() {
        let family = Family::new("plain", "Plain 1", llama::spec);
        assert!(family.is_in_gguf_as("plain"));
        assert!(!family.not_in_gguf().is_in_gguf_as("plain"));
        assert!(!family.in_gguf_as("other").is_in_gguf_as("plain"));
    }
}
