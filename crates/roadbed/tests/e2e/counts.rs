//! What status says of requests, next to what their clients know.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::apps::HOST;
use crate::support::processes::kill;
use crate::support::{AppFolder, Machine, free_address, http, until};

/// What status says of the requests to a service.
fn requests(machine: &Machine, service: &str) -> Value {
    let status = machine.status();
    let services = status["apps"][0]["services"].as_array().unwrap();
    let found = services.iter().find(|found| found["service"] == service);
    found.unwrap()["requests"].clone()
}

#[test]
fn requests_through_edge_and_mesh_are_counted_as_their_client_counted_them() {
    let machine = Machine::new();
    machine.up(&AppFolder::pair());
    let counts = |answered: u32, failed: u32, cut: u32| {
        json!({
            "answered": answered, "failed": failed, "cut": cut,
            "refused": 0, "retried": 0, "ejected": 0,
        })
    };
    let nothing = counts(0, 0, 0);
    assert_eq!(requests(&machine, "front"), nothing);
    assert!(!machine.ok(&["status"]).contains("requests:"));

    // The path, its status, how often, whether `back` answers it too, and with a failure.
    let asked = [
        ("/", 200, 5, false, false),
        ("/env?name=NOTHING_OF_THIS_NAME", 404, 3, false, false),
        ("/via/nobody/", 502, 2, false, false),
        ("/via/back/", 200, 7, true, false),
        ("/via/back/via/nobody/", 502, 4, true, true),
    ];
    let (mut front, mut back) = ([0; 2], [0; 2]);
    for (path, status, times, goes_on, fails_there) in asked {
        for _ in 0..times {
            let answer = match status {
                // A GET would be asked of another instance once more.
                502 => http::post(machine.edge, HOST, path, "text/plain", "x"),
                _ => machine.get(HOST, path),
            };
            assert_eq!(answer.status, status, "{path}");
            front[0] += 1;
            front[1] += u32::from(status >= 500);
            back[0] += u32::from(goes_on);
            back[1] += u32::from(fails_there);
        }
    }
    let mut half = TcpStream::connect(machine.edge).unwrap();
    let request = format!("POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf");
    half.write_all(request.as_bytes()).unwrap();
    until("the connection is counted", || {
        machine.status()["server"]["connections"].as_u64() >= Some(1)
    });
    drop(half);

    let front = counts(front[0], front[1], 1);
    let back = counts(back[0], back[1], 0);
    // The proxy sees the end of a connection after its client has made it.
    until("the half request is counted", || {
        requests(&machine, "front")["cut"] != 0
    });
    assert_eq!(requests(&machine, "front"), front);
    assert_eq!(requests(&machine, "back"), back);
    let text = machine.ok(&["status", "pair"]);
    for line in [
        "\n    requests: 21 answered, 6 failed, 1 cut; p50 ",
        "\n    requests: 11 answered, 4 failed; p50 ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn status_does_without_the_numbers_of_a_proxy_that_does_not_answer() {
    let machine = Machine::new();
    machine.up(&AppFolder::pair());
    assert_eq!(machine.get(HOST, "/").status, 200);
    until("the request is counted", || {
        requests(&machine, "front")["answered"] == 1
    });
    let proxy = machine.proxy_pid().unwrap();
    let proxy = rustix::process::Pid::from_raw(proxy.try_into().unwrap()).unwrap();
    let signal = |signal| rustix::process::kill_process(proxy, signal).unwrap();
    signal(rustix::process::Signal::STOP);
    assert_eq!(requests(&machine, "front")["answered"], 1);
    signal(rustix::process::Signal::CONT);
    assert_eq!(machine.get(HOST, "/").status, 200);
    until("requests are counted again", || {
        requests(&machine, "front")["answered"] == 2
    });
}

/// A sample of the page for Prometheus.
fn sample(machine: &Machine, sample: &str) -> Option<f64> {
    let page = http::get(machine.metrics, &machine.metrics.to_string(), "/metrics");
    assert_eq!(page.status, 200);
    let of = |line: &str| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok();
    page.body.lines().find_map(of)
}

#[test]
fn metrics_are_there_after_up_and_without_a_server() {
    let machine = Machine::new();
    let app = AppFolder::pair();
    machine.up(&app);
    for _ in 0..3 {
        assert_eq!(machine.get(HOST, "/via/back/").status, 200);
    }
    let answered = |service: &str| {
        let name = "roadbed_requests_total";
        format!(r#"{name}{{app="pair",service="{service}",code="2xx"}}"#)
    };
    for service in ["front", "back"] {
        until("the requests are counted", || {
            sample(&machine, &answered(service)) == Some(3.0)
        });
    }
    let latency = &machine.status()["apps"][0]["services"][0]["latency"];
    let [p50, p99] = ["p50_microseconds", "p99_microseconds"].map(|of| latency[of].as_u64());
    assert!(p50 > Some(0) && p50 <= p99, "{latency}");
    let metrics = json!([{ "address": machine.metrics.to_string(), "failure": null }]);
    assert_eq!(machine.status()["server"]["metrics"], metrics);
    let elsewhere = free_address().to_string();
    let refused = machine.run(&["up", "--detach", "--metrics", &elsewhere, app.path()]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = format!("with its metrics on {}", machine.metrics);
    assert!(refused.stderr.contains(&told), "{refused:?}");
    kill(machine.server_pid());
    assert_eq!(machine.get(HOST, "/").status, 200);
    until("the request is counted", || {
        sample(&machine, &answered("front")) == Some(4.0)
    });
    until("the server is missed", || {
        sample(&machine, "roadbed_proxy_server_connected") == Some(0.0)
    });
}

#[test]
fn an_address_for_metrics_that_is_taken_is_said_and_stops_nothing() {
    let machine = Machine::new();
    let taken = std::net::TcpListener::bind(machine.metrics).unwrap();
    machine.up(&AppFolder::pair());
    assert_eq!(machine.get(HOST, "/").status, 200);
    let told = format!("\nmetrics: cannot listen on {}: ", machine.metrics);
    let text = machine.ok(&["status"]);
    assert!(text.contains(&told), "{text}");
    drop(taken);
    until("the address is had", || {
        !machine.ok(&["status"]).contains("metrics: ")
    });
    assert!(sample(&machine, "roadbed_proxy_workers") >= Some(1.0));
    let refused = machine.run(&["server", "--metrics", "0.0.0.0:9700"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}
