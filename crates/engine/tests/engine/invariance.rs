//! On a backend whose arithmetic does not depend on the batch, neither batch nor chunks nor pages change a bit.

use ffai_checkpoint::{Float, Storage, Tensor};
use ffai_engine::{Engine, EngineOptions, LogitRows, Request};
use ffai_model::{Activation, Attention, Head, Layer, Mlp, Norm, Pairing, Rope, Spec};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{Backend, Plan, Program, Reference, Sampling, lower};
use proptest::prelude::*;

use crate::fake::{generated, run};

const VOCAB: usize = 29;
const CONTEXT: usize = 24;

fn spec() -> Spec {
    let norm = Norm::rms(1e-5);
    let attention = Attention {
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        qkv_bias: false,
        out_bias: false,
        keys: ffai_model::Keys::Own,
        v_norm: None,
        qk_norm: None,
        rope: Some(0),
        growth: None,
        cap: None,
        scale: 0.5,
        window: None,
        sinks: false,
        gated: false,
    };
    let mlp = Mlp { inner: 12, act: Activation::Silu, gated: true, bias: false };
    let windowed = Attention { window: Some(5), ..attention };
    let layer = |attention: Attention| Layer::pre_norm(norm, [attention.into(), mlp.clone().into()]);
    Spec {
        family: "toy",
        hidden: 16,
        vocab: VOCAB,
        context: CONTEXT,
        embed_scale: 1.0,
        per_layer: None,
        ropes: vec![Rope::fixed(4, Pairing::Half, vec![1.0, 0.1], 1.0)],
        layers: vec![layer(attention), layer(windowed)],
        final_norm: norm,
        head: Head { tied: false, bias: false, scale: 1.0, cap: None },
    }
}

fn engine(plan: Plan, chunk: usize) -> Engine {
    let program = lower(&spec());
    let mut rng = Rng(5);
    let mut random = |role: &str, (rows, cols): (usize, usize)| match rows {
        1 => Tensor::from_f32(role, 1, cols, (0..cols).map(|_| 1.0 + 0.3 * rng.unit()).collect()),
        _ => random_tensor(role, Storage::Dense(Float::F32), rows, cols, &mut rng),
    };
    let weights = program.weights.iter().map(|w| (w.role.clone(), random(&w.role, w.shape.dims()))).collect();
    let executable = Reference.compile(&program, &Bag(weights), &plan, &mut |_| {}).expect("a toy model");
    Engine::new(executable, &program, plan, EngineOptions { chunk, ..EngineOptions::default() })
        .expect("a plan with room")
}

fn alone(program: &Program) -> Engine {
    engine(Plan::new(program, 1, CONTEXT, CONTEXT), CONTEXT)
}

fn request() -> impl Strategy<Value = Request> {
    let tokens = prop::collection::vec(0..VOCAB as u32, 1..12);
    (tokens, 1..10usize, prop::bool::ANY, 0..99u64).prop_map(|(tokens, max_tokens, is_greedy, seed)| Request {
        sampling: if is_greedy { Sampling::greedy() } else { Sampling { seed, ..Sampling::default() } },
        max_tokens: Some(max_tokens),
        ..Request::new(tokens)
    })
}

/// Plans of all sorts that hold at least one sequence of the context.
fn any_plan() -> impl Strategy<Value = Plan> {
    (1..9usize, 1..5usize, 1..5usize, 1..7usize, 0..30usize).prop_map(|(rows, wanted, seqs, page_tokens, spare)| Plan {
        rows,
        wanted,
        seqs,
        context: CONTEXT,
        page_tokens,
        pages: vec![
            CONTEXT.div_ceil(page_tokens) + spare,
            ((rows + 4).div_ceil(page_tokens) + 1 + spare).min(CONTEXT.div_ceil(page_tokens) + spare),
        ],
        slots: 0,
        deterministic: false,
        rounding: ffai_program::Rounding::Exact,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn any_batch_and_chunk_gives_the_tokens_of_a_request_alone(
        requests in prop::collection::vec(request(), 1..6),
        plan in any_plan(),
        chunk in 1..9usize,
    ) {
        let mut together = engine(plan, chunk);
        let ids: Vec<_> = requests.iter().map(|r| together.submit(r.clone()).expect("fits")).collect();
        let events = run(&mut together);
        for (request, id) in requests.into_iter().zip(ids) {
            let mut single = alone(&lower(&spec()));
            let only = single.submit(request).expect("fits");
            prop_assert_eq!(generated(&events, id), generated(&run(&mut single), only));
        }
    }

    #[test]
    fn any_chunks_give_the_same_bits_of_logits(
        tokens in prop::collection::vec(0..VOCAB as u32, 2..CONTEXT),
        cut in 1..CONTEXT,
        plan in any_plan(),
    ) {
        let cut = cut.min(tokens.len() - 1);
        let mut whole = alone(&lower(&spec()));
        let session = whole.open(None).expect("room");
        let expected = whole.logits(session, &tokens, LogitRows::All).expect("fits");

        let mut pieces = engine(plan, 3);
        let session = pieces.open(None).expect("room");
        let mut logits = pieces.logits(session, &tokens[..cut], LogitRows::All).expect("fits");
        let rest = pieces.logits(session, &tokens[cut..], LogitRows::All).expect("fits");
        logits.extend(rest);
        prop_assert_eq!(bits(&logits), bits(&expected));
        prop_assert_eq!(bits(&pieces.logits(session, &[], LogitRows::Last).expect("fits")), bits(&expected[expected.len() - 1..]));
    }
}

fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|l| l.to_bits()).collect()).collect()
}
