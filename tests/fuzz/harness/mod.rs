//! Runs the fuzz targets of the rooms, which stand in their files `fuzz.rs`.
//!
//! A target is a property of the bytes of an input. `cargo test` checks it for the corpus of the
//! target (`tests/fuzz/corpus/NAME`) and for mutations of the corpus, which a seed determines.
//! `tests/fuzz/run.sh` builds the same targets for libFuzzer, which coverage guides.

mod choices;
#[cfg(not(fuzzing_libfuzzer))]
mod dictionary;
#[cfg(not(fuzzing_libfuzzer))]
mod mutations;

use std::panic::AssertUnwindSafe;

use bolero::TestTarget;

pub(crate) use choices::Choices;

/// Checks a property for the inputs of a target.
pub(crate) fn check(target: &'static str, property: impl Fn(&[u8])) {
    // After a panic the property is only used to find a smaller input that shows it.
    let property = AssertUnwindSafe(property);
    TestTarget::new(engine(target)).for_each(move |input: &[u8]| (*property)(input));
}

#[cfg(fuzzing_libfuzzer)]
fn engine(target: &'static str) -> bolero::DefaultEngine {
    bolero::DefaultEngine::new(bolero::TargetLocation {
        package_name: env!("CARGO_PKG_NAME"),
        manifest_dir: env!("CARGO_MANIFEST_DIR"),
        module_path: module_path!(),
        file: file!(),
        line: line!(),
        item_path: target,
        test_name: None,
    })
}

#[cfg(not(fuzzing_libfuzzer))]
fn engine(target: &'static str) -> mutations::Mutations {
    mutations::Mutations { target }
}
