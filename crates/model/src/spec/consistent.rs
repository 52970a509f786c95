//! What the layers of a spec ask of each other, where a config that gives layers sizes of their own can contradict itself.

use super::{Attention, Keys, Mixer, Spec};

impl Spec {
    /// The first contradiction: the key of a config that is most likely to blame, and what would have to hold.
    pub(crate) fn contradiction(&self) -> Option<(&'static str, String)> {
        (0..self.layers.len()).find_map(|layer| {
            let own = self.attention(layer).and_then(|own| self.odd_attention(layer, own));
            own.or_else(|| self.odd_latent(layer))
        })
    }

    /// A latent attention turns the last coordinates of each head, all of them.
    fn odd_latent(&self, layer: usize) -> Option<(&'static str, String)> {
        let latent =
            |mixer: &Mixer| if let Mixer::LatentAttention(a) = mixer { Some((a.rope, a.turned)) } else { None };
        let (rope, turned) = self.mixers_of(layer).find_map(latent)?;
        let width = self.ropes.get(rope).map_or(turned, |rope| rope.width);
        (width != turned)
            .then(|| ("partial_rotary_factor", format!("1 or nothing, as all {turned} of qk_rope_head_dim turn")))
    }

    fn odd_attention(&self, layer: usize, own: &Attention) -> Option<(&'static str, String)> {
        let turned = own.rope.and_then(|rope| self.ropes.get(rope)).map_or(0, |rope| rope.width);
        if turned > own.head_dim {
            return Some(("head_dim", format!("at least {turned} in layer {layer}, as wide as what its rope turns")));
        }
        let Keys::OfLayer(of) = own.keys else { return None };
        let alike = |of: &Attention| (of.kv_heads, of.head_dim, of.window) == (own.kv_heads, own.head_dim, own.window);
        let kept = of < layer && self.attention(of).is_some_and(alike);
        let rule = format!("layer {layer} like layer {of}, whose keys it uses: as many key heads, as wide");
        (!kept).then_some(("num_kv_shared_layers", rule))
    }
}
