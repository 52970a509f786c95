//! Weights of random bits in any shape and storage, made when they are asked for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ffai_checkpoint::{Float, Storage, Tensor};
use ffai_model::{Shape, WeightDecl};
use ffai_program::{
    WeightSource,
    conform::{Rng, random_tensor},
};

/// Random weights for a list of declarations: matrices in one storage (plain bf16 where their width is no multiple of its group),
/// vectors around one in f32, those of decays around minus one. The same seed gives the same bits.
pub struct RandomWeights {
    decls: HashMap<String, (usize, WeightDecl)>,
    storage: Storage,
    seed: u64,
    made: RefCell<HashMap<String, Tensor>>,
}

impl RandomWeights {
    /// For the weights of a spec.
    pub fn new(decls: Vec<WeightDecl>, storage: Storage, seed: u64) -> Self {
        let decls = decls.into_iter().enumerate().map(|(i, d)| (d.role.clone(), (i, d))).collect();
        RandomWeights { decls, storage, seed, made: RefCell::default() }
    }

    /// Makes all of them now, on all of the processor: sooner than one by one as they are asked for.
    pub fn make_all(&self) {
        let decls: Vec<_> = self.decls.values().collect();
        let (storage, seed) = (self.storage, self.seed);
        let (next, made) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
        let work = || {
            while let Some((index, decl)) = decls.get(next.fetch_add(1, Ordering::Relaxed)) {
                let tensor = make(storage, seed, *index, decl);
                made.lock().unwrap_or_else(PoisonError::into_inner).insert(decl.role.clone(), tensor);
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        self.made.borrow_mut().extend(made.into_inner().unwrap_or_else(PoisonError::into_inner));
    }

    fn size(&self, decl: &WeightDecl) -> u64 {
        match decl.shape {
            Shape::Vector { len } => len as u64 * 4,
            Shape::Matrix { rows, cols } => {
                let storage = storage_for(self.storage, cols);
                let row = storage.row_bytes(cols).unwrap_or(0);
                rows as u64 * (row + storage.row_scales(cols)) as u64
            }
        }
    }
}

fn storage_for(storage: Storage, cols: usize) -> Storage {
    if cols.is_multiple_of(storage.step()) { storage } else { Storage::Dense(Float::BF16) }
}

fn make(storage: Storage, seed: u64, index: usize, decl: &WeightDecl) -> Tensor {
    let mut rng = Rng(seed.wrapping_add(index as u64));
    let (rows, cols) = decl.shape.dims();
    if decl.role.ends_with(".decay") {
        // States that grow would say nothing about a model.
        let numbers = (0..rows * cols).map(|_| -1.0 + 0.1 * rng.unit()).collect();
        return Tensor::from_f32(&decl.role, rows, cols, numbers);
    }
    match decl.shape {
        Shape::Vector { len } => {
            Tensor::from_f32(&decl.role, 1, len, (0..len).map(|_| 1.0 + 0.1 * rng.unit()).collect())
        }
        Shape::Matrix { rows, cols } => random_tensor(&decl.role, storage_for(storage, cols), rows, cols, &mut rng),
    }
}

impl WeightSource for RandomWeights {
    fn weight(&self, role: &str) -> Option<Tensor> {
        let (index, decl) = self.decls.get(role)?;
        let mut made = self.made.borrow_mut();
        Some(made.entry(role.to_owned()).or_insert_with(|| make(self.storage, self.seed, *index, decl)).clone())
    }

    fn bytes(&self) -> u64 {
        self.decls.values().map(|(_, decl)| self.size(decl)).sum()
    }
}
