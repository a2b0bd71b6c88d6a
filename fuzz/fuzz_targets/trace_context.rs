//! Any value of `traceparent` is a context that reads back as it was written, or none; and what is
//! read is in the value, digit by digit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::telemetry::trace_context::TraceParent;

fuzz_target!(|value: &[u8]| {
    let Some(parent) = TraceParent::parse(value) else {
        return;
    };
    let text = parent.text();
    assert_eq!(TraceParent::parse(&text), Some(parent));
    // The version may be a later one, and other flags are not passed on.
    assert_eq!(text[2..53], value[2..53]);
    assert!(value.starts_with(b"00") || &value[..2] != b"ff");
    assert!(parent.trace != [0; 16] && parent.span != [0; 8]);
});
