//! What idle connections cost, and what it costs to measure.

use std::net::TcpStream;
use std::time::Duration;

use model::{Balance, Protocol};

use crate::metrics::get;
use crate::support::backend::Backend;
use crate::support::client::Client;
use crate::support::{Builder, Setup, free_address, upstream_id};

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

#[test]
fn a_thousand_services_of_ten_instances_are_measured_in_less_than_150_mib() {
    const SERVICES: usize = 1000;
    const INSTANCES: usize = 10;
    let backend = Backend::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let (edge, metrics) = (free_address(), free_address());
    let endpoints = [backend.address; INSTANCES];
    let mut builder = Builder::generation(1).edge(edge);
    for number in 0..SERVICES {
        let (name, limit) = (format!("s{number}"), Duration::from_secs(5));
        builder = builder.upstream(&name, Protocol::Http, limit, &endpoints);
        let upstream = builder.0.upstreams.get_mut(&upstream_id(&name)).unwrap();
        upstream.resilience.balance = Balance::RoundRobin;
        builder = builder.route(&format!("{name}.test"), "/", &name);
    }
    let setup = Setup::serving(&builder.0, &[&format!("metrics={metrics}")]);
    let mut clients = [0, 1].map(|_| Client::connect(edge));
    for number in 0..SERVICES {
        for client in &mut clients {
            for _ in 0..INSTANCES {
                assert_eq!(client.get(&format!("s{number}.test"), "/").status, 200);
            }
        }
    }
    // What is asked for twice costs no more.
    for _ in 0..2 {
        let page = get(metrics, "/metrics");
        let of = |name: &str| {
            page.text()
                .lines()
                .filter(|line| line.starts_with(name))
                .count()
        };
        let counted = of("roadbed_endpoint_response_seconds_count{");
        assert_eq!(counted, SERVICES * INSTANCES);
        assert_eq!(of("roadbed_route_response_head_seconds_count{"), SERVICES);
        assert_eq!(of("roadbed_release_response_seconds_count{"), SERVICES);
    }
    let resident = setup.proxy.resident();
    assert!(resident < 150 * 1024, "{resident} KiB");
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
