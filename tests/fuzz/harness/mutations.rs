//! The engine of `cargo test`: the corpus of a target, then mutations of it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bolero::bolero_engine::input::Bytes;
use bolero::bolero_engine::{driver, panic};
use bolero::{Engine, Test};

use super::dictionary;

/// The number of mutations of each target: all targets together take less than a minute.
const MUTATIONS: &str = "SCOPEGATE_FUZZ_MUTATIONS";
const MUTATIONS_BY_DEFAULT: usize = 400;

/// The seed of the mutations.
const SEED: &str = "SCOPEGATE_TEST_SEED";
const SEED_BY_DEFAULT: u64 = 1;

const MAX_LENGTH: usize = 4096;

/// The most changes from an input of the corpus to its mutation.
const MAX_CHANGES: usize = 5;

/// The engine for a target of this name.
pub(super) struct Mutations {
    pub(super) target: &'static str,
}

impl<T: Test> Engine<T> for Mutations
where
    T::Value: Debug,
{
    type Output = ();

    fn run(self, mut test: T, options: driver::Options) {
        let seed = setting(SEED).unwrap_or(SEED_BY_DEFAULT);
        let count = setting(MUTATIONS).unwrap_or(MUTATIONS_BY_DEFAULT);
        println!("{SEED}={seed} {MUTATIONS}={count}");
        let corpus = self.corpus();
        let mut mutator = Mutator::new(seed, corpus.clone());
        let mutations = (0..count).map(|_| mutator.mutation());
        panic::set_hook();
        panic::forward_panic(false);
        let failure = corpus
            .into_iter()
            .chain(mutations)
            .find_map(|input| failure(&mut test, input, &options));
        panic::forward_panic(true);
        if let Some(failure) = failure {
            panic!("target \"{}\": {failure}", self.target);
        }
    }
}

impl Mutations {
    /// Returns the inputs of the corpus, in the order of their names.
    fn corpus(&self) -> Vec<Vec<u8>> {
        let folder = fuzz_folder().join("corpus").join(self.target);
        let entries = fs::read_dir(&folder).expect("each target has a corpus");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn setting<N: std::str::FromStr>(name: &str) -> Option<N> {
    env::var(name).ok()?.parse().ok()
}

/// Returns the failure that an input shows, with the smallest such input that was found.
fn failure<T: Test>(test: &mut T, input: Vec<u8>, options: &driver::Options) -> Option<String>
where
    T::Value: Debug,
{
    let error = test.test(&mut Bytes::new(&input, options)).err()?;
    let found = format!("{error}\ninput: {}", input.escape_ascii());
    match test.shrink(input, None, options) {
        Some(smaller) => Some(format!("{found}\n{smaller}")),
        None => Some(found),
    }
}

/// Makes mutations of a corpus.
struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        let words = fs::read_to_string(fuzz_folder().join("words.dict")).unwrap();
        Self {
            state: seed,
            corpus,
            words: dictionary::words(&words),
        }
    }

    fn mutation(&mut self) -> Vec<u8> {
        let mut input = self.one_of_corpus();
        for _ in 0..=self.below(MAX_CHANGES) {
            self.change(&mut input);
        }
        input.truncate(MAX_LENGTH);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let from = self.below(input.len() + 1);
        let length = self.length(input.len() - from);
        let part = from..from + length;
        match self.below(7) {
            0 => drop(input.drain(part)),
            1 => drop(input.splice(part.start..part.start, input[part].to_vec())),
            2 => {
                let other = self.one_of_corpus();
                let start = self.below(other.len() + 1);
                let end = start + self.length(other.len() - start);
                input.splice(part, other[start..end].iter().copied());
            }
            3 | 4 => {
                let word = self.below(self.words.len());
                let replaced = from..from + self.below(2) * length;
                input.splice(replaced, self.words[word].iter().copied());
            }
            5 => input.insert(from, self.byte()),
            _ => match input.get_mut(from) {
                Some(byte) => *byte = self.byte(),
                None => input.push(self.byte()),
            },
        }
    }

    fn one_of_corpus(&mut self) -> Vec<u8> {
        let index = self.below(self.corpus.len());
        self.corpus[index].clone()
    }

    /// Returns a length of at most `limit`: a short one, most of the time.
    fn length(&mut self, limit: usize) -> usize {
        let shorter = if self.below(4) == 0 {
            limit
        } else {
            limit.min(8)
        };
        self.below(shorter + 1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// Returns the next number of SplitMix64, below a bound.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

#[test]
fn a_broken_property_names_the_smallest_input() {
    let broken = std::panic::catch_unwind(|| {
        super::check("target", |input| assert!(!input.contains(&b'%')));
    });
    let message = broken.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("target \"target\""), "{message}");
    assert!(message.contains("input.contains"), "{message}");
}
