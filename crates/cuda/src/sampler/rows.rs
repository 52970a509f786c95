//! What the sampler's kernels are told of each wanted row, in a buffer of a fixed place: launches that were recorded for one step serve
//! all of its shape, whatever the parameters. Lists of tokens have any length, so rows say where theirs are.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};
use ffai_program::{SampleInputs, StepInputs, Want};

use crate::CudaError;
use crate::memory::{Memory, Pinned};

/// Words of `Row` of `sample.cuh`.
pub(crate) const ROW_WORDS: usize = 20;
/// `Entry` of `sample.cuh`: a token and a word that belongs to it.
type Entry = [u32; 2];
/// Entries that there is room for from the start.
const FEW_ENTRIES: usize = 4096;

/// `KIND_*` of `sample.cuh`.
const NONE: u32 = 0;
const BEST: u32 = 1;
const DRAW: u32 = 2;

/// Whether the sample is the best token of the plain logits.
pub(crate) fn is_best(s: &SampleInputs) -> bool {
    s.sampling.temperature <= 0.0 && s.sampling.bias.is_empty() && seen(s).is_empty()
}

/// Seen tokens, where they matter.
fn seen(s: &SampleInputs) -> &[ffai_program::Seen] {
    if s.sampling.has_penalties() { &s.seen } else { &[] }
}

/// The descriptions of a step's wanted rows.
pub(crate) struct SampleRows {
    context: Arc<CudaContext>,
    rows: Both,
    lists: Both,
}

/// Memory of the host and as much of the card's.
struct Both {
    host: Pinned,
    card: Memory,
}

impl Both {
    fn new(context: &Arc<CudaContext>, words: usize) -> Result<Both, CudaError> {
        let host = Pinned::new(context, words * 4)?;
        Ok(Both { host, card: Memory::zeroed(context, "sampling", words * 4)? })
    }
}

/// Where a row's lists are.
#[derive(Clone, Copy, Debug, Default)]
struct Lists {
    biases: (u64, usize),
    seen: (u64, usize),
}

impl SampleRows {
    /// For steps of at most so many wanted rows.
    pub(crate) fn new(context: &Arc<CudaContext>, wanted: usize) -> Result<SampleRows, CudaError> {
        let rows = Both::new(context, wanted * ROW_WORDS)?;
        Ok(SampleRows { context: Arc::clone(context), rows, lists: Both::new(context, FEW_ENTRIES * 2)? })
    }

    /// The first row.
    pub(crate) fn at(&self) -> u64 {
        self.rows.card.at()
    }

    /// Describes the wanted rows over `vocab` logits and sends that to the card. The stream has been awaited since the last time.
    pub(crate) fn set(&mut self, inputs: &StepInputs, vocab: usize, stream: &CudaStream) -> Result<(), CudaError> {
        self.make_room(inputs)?;
        let card = self.lists.card.at();
        let (entries, _) = self.lists.host.words().as_chunks_mut();
        let (rows, _) = self.rows.host.words().as_chunks_mut::<ROW_WORDS>();
        let mut end = 0;
        for (row, wanted) in rows.iter_mut().zip(&inputs.want) {
            let Want::Sample(s) = &wanted.what else {
                *row = [NONE; ROW_WORDS];
                continue;
            };
            let mut list = |made: &mut dyn Iterator<Item = Entry>| {
                let first = end;
                end += write(&mut entries[first..], made);
                (card + 8 * first as u64, end - first)
            };
            let biases = list(&mut s.sampling.bias.iter().map(|(token, bias)| [*token, bias.to_bits()]));
            let seen = list(&mut seen(s).iter().map(|seen| [seen.token, seen.generated]));
            *row = words(s, vocab, Lists { biases, seen });
        }
        self.rows.host.send(&self.rows.card, inputs.want.len() * ROW_WORDS * 4, stream)?;
        if end > 0 { self.lists.host.send(&self.lists.card, end * 8, stream) } else { Ok(()) }
    }

    fn make_room(&mut self, inputs: &StepInputs) -> Result<(), CudaError> {
        let entries = |want: &Want| match want {
            Want::Sample(s) => s.sampling.bias.len() + seen(s).len(),
            Want::Logits => 0,
        };
        let needed = 2 * inputs.want.iter().map(|wanted| entries(&wanted.what)).sum::<usize>();
        if needed > self.lists.host.words().len() {
            self.lists = Both::new(&self.context, needed.next_power_of_two())?;
        }
        Ok(())
    }
}

/// Writes a list such that entries of one token stand together in the order they had; gives how many there are.
fn write(to: &mut [Entry], entries: &mut dyn Iterator<Item = Entry>) -> usize {
    let mut count = 0;
    for (place, entry) in to.iter_mut().zip(entries) {
        *place = entry;
        count += 1;
    }
    let written = &mut to[..count];
    if !written.is_sorted_by_key(|[token, _]| *token) {
        written.sort_by_key(|[token, _]| *token);
    }
    count
}

/// `Row` of `sample.cuh`.
fn words(s: &SampleInputs, vocab: usize, lists: Lists) -> [u32; ROW_WORDS] {
    let sampling = &s.sampling;
    let halves = |word: u64| [word as u32, (word >> 32) as u32];
    let all = sampling.top_p >= 1.0;
    let top_k = if sampling.top_k >= vocab { 0 } else { sampling.top_k as u32 };
    let min_p = if sampling.min_p <= 0.0 { f32::NEG_INFINITY } else { sampling.min_p.ln() };
    let long = [sampling.seed, s.position, lists.biases.0, lists.seen.0, (1.0 - f64::from(sampling.top_p)).to_bits()];
    let short = [
        lists.biases.1 as u32,
        lists.seen.1 as u32,
        top_k,
        u32::from(!all),
        if sampling.temperature <= 0.0 { BEST } else { DRAW },
        sampling.temperature.to_bits(),
        min_p.to_bits(),
        sampling.repetition_penalty.to_bits(),
        sampling.presence_penalty.to_bits(),
        sampling.frequency_penalty.to_bits(),
    ];
    let mut row = [0; ROW_WORDS];
    let words = long.into_iter().flat_map(halves).chain(short);
    row.iter_mut().zip(words).for_each(|(to, word)| *to = word);
    row
}

#[cfg(test)]
mod tests {
    use ffai_program::{Sampling, Seen};

    use super::*;

    #[test]
    fn entries_of_a_token_stand_together_in_their_order() {
        let mut to = [[0; 2]; 8];
        let count = write(&mut to, &mut [[5, 1], [2, 9], [5, 0], [2, 3]].into_iter());
        assert_eq!(to[..count], [[2, 9], [2, 3], [5, 1], [5, 0]]);
    }

    #[test]
    fn a_row_says_what_is_on_and_what_is_off() {
        let on = Sampling { top_k: 7, top_p: 0.5, min_p: 1.0, seed: 1 << 40 | 3, ..Sampling::default() };
        let inputs = SampleInputs { sampling: on, seen: Vec::new(), position: 9 };
        let row = words(&inputs, 100, Lists { biases: (1 << 33, 2), seen: (16, 0) });
        assert_eq!(row[..8], [3, 256, 9, 0, 0, 2, 16, 0]);
        assert_eq!(f64::from_bits(u64::from(row[9]) << 32 | u64::from(row[8])), 0.5);
        assert_eq!((row[10], row[11], row[12], row[13], row[14]), (2, 0, 7, 1, DRAW));
        assert_eq!(row[15..].iter().map(|w| f32::from_bits(*w)).collect::<Vec<_>>(), [1.0, 0.0, 1.0, 0.0, 0.0]);
        let off = SampleInputs { sampling: Sampling { top_k: 100, ..Sampling::greedy() }, ..inputs };
        let row = words(&off, 100, Lists::default());
        assert_eq!((row[12], row[13], row[14], f32::from_bits(row[16])), (0, 0, BEST, f32::NEG_INFINITY));
    }

    #[test]
    fn the_best_token_needs_no_more_unless_something_changes_the_logits() {
        let greedy = |sampling: Sampling, seen: &[Seen]| {
            is_best(&SampleInputs { sampling, seen: seen.to_vec(), ..SampleInputs::default() })
        };
        let one = [Seen { token: 0, generated: 1 }];
        assert!(greedy(Sampling::greedy(), &one));
        assert!(greedy(Sampling { presence_penalty: 1.0, ..Sampling::greedy() }, &[]));
        assert!(!greedy(Sampling { presence_penalty: 1.0, ..Sampling::greedy() }, &one));
        assert!(!greedy(Sampling { bias: vec![(0, 1.0)], ..Sampling::greedy() }, &[]));
        assert!(!greedy(Sampling::default(), &[]));
    }
}
