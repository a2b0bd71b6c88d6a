//! What the integration tests start.

fn main() {}
