//! What the edge adds to every request, made alike for all requests, so that whole heads can be
//! compared.

/// What is added to a request for `a.test` from this machine, as [`pinned`] leaves it.
pub(crate) const SEEN: &str = "x-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1;proto=http\r\n\
     x-forwarded-proto: http\r\nx-forwarded-port: 80\r\nx-forwarded-host: a.test\r\n\
     x-request-id: 00000000000000000000000000000000\r\n";

/// `received` with names of requests that are all alike, and with one spelling of the host.
pub(crate) fn pinned(received: &str) -> String {
    let mut text = String::with_capacity(received.len());
    for line in received.split_inclusive('\n') {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let value = value.trim_end();
        match name {
            "x-request-id" if value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()) => {
                text.push_str(&line.replace(value, &"0".repeat(32)));
            }
            "x-forwarded-host" => {
                let host = value.to_ascii_lowercase();
                text.push_str(&line.replace(value, host.trim_end_matches(":80")));
            }
            _ => text.push_str(line),
        }
    }
    text
}
