//! What idle connections cost.

use std::net::TcpStream;

use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::{Builder, Setup, free_address};

#[test]
fn each_of_5_000_idle_connections_costs_less_than_16_kib() {
    const CONNECTIONS: usize = 5000;
    let backend = Backend::echo("web");
    let mesh = free_address();
    let builder = Builder::generation(1)
        .mesh(mesh, "web")
        .http("web", &[backend.address]);
    let setup = Setup::serving(&builder.0, &[]);
    raise_limit();
    let mut first: Vec<_> = (0..10).map(|_| Client::connect(mesh)).collect();
    first
        .iter_mut()
        .for_each(|client| drop(client.get("x", "/")));
    let before = setup.proxy.resident();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        // Each has served a request, so that nothing may stay behind from it.
        let mut client = Client::connect(mesh);
        assert_eq!(client.get("x", "/").status, 200);
        clients.push(client.stream);
    }
    let _held: Vec<TcpStream> = clients;
    let bytes = setup.proxy.resident().saturating_sub(before) * 1024 / CONNECTIONS as u64;
    assert!(bytes < 16 * 1024, "{bytes} bytes for each idle connection");
}

pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
}
