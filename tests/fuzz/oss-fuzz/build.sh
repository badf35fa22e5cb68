#!/bin/bash -eu
# Builds the fuzz targets for OSS-Fuzz: one program with all targets, and beside it a script for each, by which OSS-Fuzz
# starts it as if it were a program of its own, with the corpus and the words of the target.
#
# Differs from tests/fuzz/run.sh in the compiler, which is OSS-Fuzz's nightly one, and in AddressSanitizer, which that
# compiler has: RUSTFLAGS asks for it. The coverage pass applies to the dependencies too.
cd "$SRC/scopegate"

export RUSTFLAGS="${RUSTFLAGS:-} --cfg fuzzing --cfg fuzzing_libfuzzer \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=3 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares"
# The flags of OSS-Fuzz for C and C++ are for code that its own engine is linked with; bolero brings libFuzzer as source.
unset CFLAGS CXXFLAGS

# With --target, what runs at build time is compiled without these flags.
host=$(rustc --version --verbose | sed -n 's/^host: //p')
program=$(cargo test --locked --lib --no-run --target "$host" --message-format json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
cp "$program" "$OUT/scopegate_targets"

# The name of each target, and the path of the test that runs it: tests/fuzz/run.sh finds them in the same way.
grep -rl --include=fuzz.rs 'crate::fuzz::' src | sort | while read -r file; do
    module=$(sed 's|^src/||; s|\.rs$||; s|/|::|g' <<<"$file")
    grep -o 'check("[a-z0-9_]*"' "$file" | cut -d'"' -f2 | while read -r name; do
        cat >"$OUT/${name}_fuzzer" <<SCRIPT
#!/bin/sh
# LLVMFuzzerTestOneInput: by this word OSS-Fuzz knows a target.
here=\$(cd "\$(dirname "\$0")" && pwd)
BOLERO_LIBFUZZER_ARGS="\$*" exec "\$here/scopegate_targets" --exact "$module::$name" --nocapture --test-threads 1
SCRIPT
        chmod +x "$OUT/${name}_fuzzer"
        zip --quiet --junk-paths --recurse-paths "$OUT/${name}_fuzzer_seed_corpus.zip" "tests/fuzz/corpus/$name"
        cp tests/fuzz/words.dict "$OUT/${name}_fuzzer.dict"
    done
done
