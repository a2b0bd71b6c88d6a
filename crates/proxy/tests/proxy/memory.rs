//! What idle connections cost, what it costs to measure, and answers that are being compressed.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use model::{Balance, Protocol};
use serde_json::json;

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

/// A service that sends so much text and then nothing more, without an end.
const TEXT: usize = 1 << 19;

fn pausing() -> Backend {
    // Words in no order: encoders have to remember all that they can.
    let mut state = 1_u32;
    let mut text = String::with_capacity(TEXT + 16);
    while text.len() < TEXT {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(&format!("{:x} ", state >> 12));
    }
    text.truncate(TEXT);
    Backend::start(move |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
            connection.send(&text);
        }
    })
}

#[test]
fn an_answer_that_is_being_compressed_costs_what_the_documents_say() {
    // Below the most that are compressed at a time by one worker, which may get all of them.
    const ANSWERS: usize = 20;
    raise_limit();
    for (coding, most) in [("gzip", 1024), ("br", 3072), ("zstd", 3072)] {
        let backend = pausing();
        let edge = free_address();
        let mut builder = Builder::generation(1)
            .edge(edge)
            .http("web", &[backend.address]);
        let rule = json!({"host": "a.test", "path": "/", "upstream": "app/web", "compress": true});
        let rule = serde_json::from_value(rule).unwrap();
        builder.0.routes.insert("web".into(), rule);
        let setup = Setup::serving(&builder.0, &[]);
        let ask = || {
            let mut client = Client::connect(edge);
            // To a client of HTTP/1.0 content comes as it is, without chunks.
            client.send(format!(
                "GET / HTTP/1.0\r\nHost: a.test\r\nAccept-Encoding: {coding}\r\n\r\n"
            ));
            let head = client.head();
            assert!(
                head.contains(&format!("content-encoding: {coding}\r\n")),
                "{head}"
            );
            client
        };
        let read = |client: &mut Client| {
            let mut decoder: Box<dyn Read + '_> = match coding {
                "br" => Box::new(brotli::Decompressor::new(client, 4096)),
                "zstd" => Box::new(zstd::Decoder::new(client).unwrap()),
                _ => Box::new(flate2::read::GzDecoder::new(client)),
            };
            decoder.read_exact(&mut vec![0; TEXT]).unwrap();
        };
        read(&mut ask());
        let before = setup.proxy.resident();
        let mut clients: Vec<Client> = (0..ANSWERS).map(|_| ask()).collect();
        clients.iter_mut().for_each(read);
        let cost = setup.proxy.resident().saturating_sub(before) / ANSWERS as u64;
        eprintln!("{coding}: {cost} KiB for each answer");
        assert!(cost < most, "{coding}: {cost} KiB for each answer");
    }
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
