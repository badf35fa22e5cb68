//! The words that come into an input whole: `tests/fuzz/words.dict`, in libFuzzer's format.

/// Returns the words of a dictionary.
pub(super) fn words(text: &str) -> Vec<Vec<u8>> {
    let quoted = text.lines().filter_map(|line| {
        let line = line.trim().strip_prefix('"')?;
        line.strip_suffix('"')
    });
    quoted.map(unescaped).collect()
}

/// Returns the bytes of a word, in which `\\`, `\"` and `\xAB` are escapes.
fn unescaped(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let (byte, left) = match (first, after) {
            (b'\\', [b'x', high, low, left @ ..]) => (hex(*high) << 4 | hex(*low), left),
            (b'\\', [escaped, left @ ..]) => (*escaped, left),
            (byte, left) => (*byte, left),
        };
        bytes.push(byte);
        rest = left;
    }
    bytes
}

fn hex(digit: u8) -> u8 {
    let value = char::from(digit).to_digit(16).unwrap();
    u8::try_from(value).unwrap()
}

#[test]
fn a_word_may_have_escapes() {
    let text = "# words\n\"a\\x0d\\x0Ab\"\n\n\"\\\\\\\"\"\n";
    assert_eq!(words(text), [b"a\r\nb".to_vec(), b"\\\"".to_vec()]);
}
