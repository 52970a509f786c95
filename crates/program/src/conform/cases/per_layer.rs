//! Products in place, and queries that turn without keys.

use ffai_model::{Growth, Pairing, Rope};

use super::{Maker, rms};
use crate::{Op, RopeRef, conform::Case};

pub(super) fn cases() -> Vec<Case> {
    [times(), scales(), rotations()].concat()
}

fn times() -> Vec<Case> {
    let case = |(width, all, first): (usize, usize, usize)| {
        let mut m = Maker::new(width);
        let (mut b, [x, by]) = m.builder([("x", width), ("by", all)]);
        b.push("times".to_owned(), Op::Times { x, by, first });
        m.case(format!("times of {width} from {first} of {all}"), b, (x, width), &[&[1, 10]])
    };
    [(1, 1, 0), (7, 30, 23), (64, 200, 64), (100, 300, 17)].into_iter().map(case).collect()
}

fn scales() -> Vec<Case> {
    let case = |width: usize| {
        let mut m = Maker::new(width);
        m.vector("by", 1, 0.7);
        let (mut b, [x]) = m.builder([("x", width)]);
        let by = b.w("by");
        b.push("scale".to_owned(), Op::Scale { x, by });
        m.case(format!("scale of {width}"), b, (x, width), &[&[9]])
    };
    [1, 33, 256].into_iter().map(case).collect()
}

fn rotations() -> Vec<Case> {
    let case = |(seed, (heads, dim)): (usize, (usize, usize))| {
        let mut m = Maker::new(seed);
        let freqs = (0..dim / 2).map(|i| if i % 3 == 2 { 0.0 } else { 100f32.powf(-2.0 * i as f32 / dim as f32) });
        m.ropes.push(Rope::fixed(dim, Pairing::Half, freqs.collect(), 1.0));
        m.vector("norm", dim, 1.0);
        let (mut b, [x]) = m.builder([("x", heads * dim)]);
        let norm = seed.is_multiple_of(2).then(|| rms(b.w("norm")));
        let growth = (seed % 3 == 1).then_some(Growth { beta: 0.3, original: 7.0 });
        b.push("rotate".to_owned(), Op::Rotate { x, dim, norm, rope: (seed != 3).then_some(RopeRef(0)), growth });
        m.case(format!("rotate {heads} heads of {dim}, seed {seed}"), b, (x, heads * dim), &[&[17, 2], &[1, 1]])
    };
    [(1, 8), (3, 20), (5, 64), (2, 6), (4, 256)].into_iter().enumerate().map(case).collect()
}
