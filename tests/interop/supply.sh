#!/usr/bin/env bash
# What the program is made of: bans, licences and sources by cargo-deny (deny.toml), who has read what by cargo-vet
# (supply-chain), the list of parts by CycloneDX's schema (deploy/sbom.py), and the compiler that the parts ask for.
#
#   tests/interop/supply.sh
#
# Needs python3, cargo, and the registries of Rust and Python. Advisories are not checked: their database is in no registry
# (deny.toml). Each tool is also given a case that it has to refuse.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/interop/tools.bash
PATH=$(venv --require-hashes --requirement tests/interop/supply/tools.txt)/bin:$PATH
python=$(venv 'cyclonedx-python-lib[json-validation]==11.12.0')/bin/python
work=$interop/supply
rm -rf "$work"
mkdir -p "$work"
cargo fetch --locked --quiet

cargo deny --locked --offline check bans licenses sources
sed 's/"ISC", //' deny.toml >"$work/deny.toml"
! cargo deny --locked --offline --config "$work/deny.toml" check licenses >"$work/deny.log" 2>&1 ||
    fail "cargo-deny takes a licence that is not in the list"
grep -q 'ISC' "$work/deny.log" || fail "cargo-deny refused something else: $(cat "$work/deny.log")"

# Frozen: neither other people's audits nor anything else is fetched.
cargo vet --locked --frozen ||
    fail "say what was read of these crates in supply-chain/audits.toml, or that nothing was: cargo vet regenerate exemptions --locked --frozen"
cp -r supply-chain "$work/store"
sed -i '/^\[\[exemptions.slab\]\]/,/^$/d' "$work/store/config.toml"
! cargo vet --locked --frozen --store-path "$work/store" >"$work/vet.log" 2>&1 || fail "cargo-vet takes a crate without a note"
grep -q '^ *slab:' "$work/vet.log" || fail "cargo-vet refused something else: $(cat "$work/vet.log")"

"$python" tests/interop/supply/check.py
