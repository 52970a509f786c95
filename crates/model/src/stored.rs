//! What a spec leaves to the file: in which of several forms weights are kept.

use ffai_checkpoint::Checkpoint;

use crate::{Branch, LatentMatrices, Mixer, Spec, families::Family, names::Names};

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
