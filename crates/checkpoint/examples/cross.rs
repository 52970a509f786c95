//! x
use ffai_checkpoint::*;
use std::path::Path;
fn floats(p: &Path) -> Vec<f32> {
    std::fs::read(p).unwrap().chunks(4).map(|c| f32::from_le_bytes(c.try_into().unwrap())).collect()
}
fn main() {
    let d = Path::new("/tmp/cross");
    let c = Checkpoint::open(&d.join("gg/m.gguf")).unwrap();
    println!("{:?}", c.hparams());
    for e in c.entries() {
        let t = Tensor::dense(e).unwrap();
        let x = floats(&d.join(format!("gg/{}.f32", e.name)));
        println!("{} {:?} {}", t.storage(), t.shape(), t.to_f32() == x);
    }
    let c = Checkpoint::open(&d.join("mlx")).unwrap();
    let (mut same, mut n) = (0, 0);
    for e in c.entries().filter(|e| e.name.ends_with(".weight")) {
        let b = e.name.trim_end_matches(".weight");
        let t =
            Tensor::affine(e, c.entry(&format!("{b}.scales")).unwrap(), c.entry(&format!("{b}.biases")).unwrap(), 256)
                .unwrap();
        let x = floats(&d.join(format!("mlx/{b}.f32")));
        let worst = t.to_f32().iter().zip(&x).map(|(a, b)| (a - b).abs() / b.abs().max(1e-3)).fold(0.0, f32::max);
        n += 1;
        if worst < 1e-5 {
            same += 1
        } else {
            println!("{b} {} {worst}", t.storage());
        }
    }
    println!("{same} of {n}");
    let dirs = CacheDirs { ffai: "/tmp/cross/cache".into(), hub: "/tmp/cross/hub".into() };
    let start = std::time::Instant::now();
    let path = resolve("smollm2", &dirs, &mut |e| eprintln!("{:.1?} {e}", start.elapsed())).unwrap();
    let c = Checkpoint::open(&path).unwrap();
    println!("{:?} {} tensors {:?}", c.hparams(), c.entries().count(), start.elapsed());
    for (k, v) in c.metadata().unwrap().iter() {
        println!("{k} {}", format!("{v:?}").chars().take(80).collect::<String>());
    }
    let mut all = std::collections::BTreeMap::new();
    for e in c.entries() {
        *all.entry(Tensor::dense(e).unwrap().storage().to_string()).or_insert(0) += 1;
    }
    println!("{all:?} {:?}", start.elapsed());
}
