//! Any text is an app or has problems that can be shown: reading it never panics or hangs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = spec::parse("roadbed.toml", text) {
        assert!(!problems.problems.is_empty());
        assert!(!problems.render(false).contains('\u{1b}'));
    }
});
