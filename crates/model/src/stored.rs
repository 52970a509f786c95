//! What a spec leaves to the file: in which of several forms weights are kept.

use ffai_checkpoint::{Checkpoint, Entry};

use crate::{Branch, LatentMatrices, Mixer, Spec, families::Family, names::Names};

/// Whether MLX wrote the checkpoint, which keeps taps `[channels, kernel, 1]`, norms that are centred in others as they multiply, and
/// some families' weights multiplied with factors of the config.
pub fn is_folded(checkpoint: &Checkpoint) -> bool {
    let taps = |entry: &&Entry| entry.name.ends_with(".conv1d.weight");
    checkpoint.entries().find(taps).is_some_and(|taps| taps.shape.last() == Some(&1))
}

/// Latent attention with matrices as the file has them, joint or split, layer by layer.
pub(crate) fn as_stored(mut spec: Spec, family: &Family, checkpoint: &Checkpoint) -> Spec {
    let names = Names::of(checkpoint.layout(), family, |name| checkpoint.entry(name).is_some());
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        let role = format!("layers.{i}.attn.k_b");
        let split = names.tensor(&role).is_some_and(|tensor| checkpoint.entry(&tensor).is_some());
        for Branch { mixer, .. } in layer.sublayers.iter_mut().flat_map(|s| &mut s.branches) {
            if let Mixer::LatentAttention(attention) = mixer {
                attention.matrices = if split { LatentMatrices::Split } else { LatentMatrices::Joint };
            }
        }
    }
    spec
}

/// Latent attention with matrices in the form that `like`, a spec of the same layers, has.
pub(crate) fn as_in(spec: &mut Spec, like: &Spec) {
    each(spec, like, |own, like| {
        if let (Mixer::LatentAttention(own), Mixer::LatentAttention(like)) = (own, like) {
            own.matrices = like.matrices;
        }
    });
}

/// Value heads of delta nets in the order that they have in `like`, a spec of the same layers.
pub(crate) fn ordered_as(spec: &mut Spec, like: &Spec) {
    each(spec, like, |own, like| {
        if let (Mixer::DeltaNet(own), Mixer::DeltaNet(like)) = (own, like) {
            own.order = like.order;
        }
    });
}

fn each(spec: &mut Spec, like: &Spec, with: impl Fn(&mut Mixer, &Mixer)) {
    let like = like.layers.iter().flat_map(|layer| &layer.sublayers).flat_map(|s| &s.branches);
    let branches = spec.layers.iter_mut().flat_map(|layer| &mut layer.sublayers).flat_map(|s| &mut s.branches);
    branches.zip(like).for_each(|(own, like)| with(&mut own.mixer, &like.mixer));
}
