//! The K types and MXFP4 against gguf-py, bit for bit, over random valid blocks.

use ffai_checkpoint::Block;
use safetensors::SafeTensors;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/blocks/blocks.safetensors");

#[test]
fn random_blocks_are_the_same_bits_as_in_gguf_py() {
    let bytes = std::fs::read(FILE).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for block in [Block::Q2K, Block::Q3K, Block::Q4K, Block::Q5K, Block::Q6K, Block::Mxfp4] {
        let part = |part: &str| file.tensor(&format!("{block}.{part}")).unwrap();
        let expected: Vec<u32> =
            part("numbers").data().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(part("blocks").shape()[1], block.block_bytes(), "{block}");
        let mut out = vec![0.0; expected.len()];
        block.decode(part("blocks").data(), &mut out);
        let got: Vec<u32> = out.iter().map(|number| number.to_bits()).collect();
        let wrong = got.iter().zip(&expected).position(|(a, b)| a != b && f32::from_bits(a | b) != 0.0);
        assert_eq!(wrong, None, "{block}");
    }
}
