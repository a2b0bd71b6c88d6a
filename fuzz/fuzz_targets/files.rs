//! A path names a file below the folder or nothing, whatever its spelling, and a range lies within
//! the file.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use proxy::files::path::wanted;
use proxy::files::range::{Part, part};

fuzz_target!(|bytes: &[u8]| {
    let [length, bytes @ ..] = bytes else { return };
    let length = u64::from(*length);
    if let Part::Bytes(range) = part(bytes, length) {
        assert!(range.start < range.end && range.end <= length);
    }
    let Some(wanted) = wanted(bytes) else { return };
    assert!(bytes.starts_with(b"/"));
    for (place, name) in wanted.path.split(|&byte| byte == b'/').enumerate() {
        if wanted.path.is_empty() {
            assert!(wanted.is_folder);
            break;
        }
        assert!((1..=255).contains(&name.len()));
        assert!(name.iter().all(|&byte| byte >= b' ' && byte != 0x7f));
        assert!(name[0] != b'.' || place == 0 && name == b".well-known");
    }
    if let Ok(text) = std::str::from_utf8(&wanted.path) {
        let mut parts = Path::new(text).components();
        assert!(parts.all(|part| matches!(part, Component::Normal(_))));
    }
});
