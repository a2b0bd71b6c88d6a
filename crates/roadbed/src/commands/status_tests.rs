//! What users see of a status, as goldens.

use std::collections::BTreeMap;

use control::status::{
    ExitStatus, FailureStatus, MetricsStatus, ProxyStatus, RolloutStatus, RouteStatus, WaitStatus,
};

use super::*;

fn instance(name: &str, state: InstanceState) -> InstanceStatus {
    InstanceStatus {
        instance: name.into(),
        release: 1,
        state,
        state_time: 0,
        address: "127.0.0.1:20001".into(),
        pid: Some(4321),
        restarts: 0,
        crash_loop: false,
        probe_failure: None,
        last_exit: None,
    }
}

fn service(name: &str, instances: Vec<InstanceStatus>) -> ServiceStatus {
    ServiceStatus {
        service: name.into(),
        replicas: 2,
        ready: 1,
        protocol: "http".into(),
        requests: (name == "web").then_some(RequestCounts {
            answered: 1204,
            failed: 3,
            cut: 0,
            refused: 0,
            retried: 12,
            ejected: 1,
        }),
        latency: (name == "web").then_some(Latency {
            p50_microseconds: 1234,
            p99_microseconds: 31_000,
        }),
        url: (name == "web").then(|| "http://shop.localhost:8080/".into()),
        uses: BTreeMap::new(),
        instances,
    }
}

fn app() -> AppStatus {
    let mut crashing = instance("shop.web.1.2", InstanceState::Restarting);
    (crashing.pid, crashing.restarts, crashing.crash_loop) = (None, 7, true);
    crashing.last_exit = Some(ExitStatus {
        message: "exited with code 1".into(),
        at: 0,
        last_lines: vec![],
    });
    let long = "a-service-with-a-name-of-forty-characters";
    AppStatus {
        app: "shop".into(),
        folder: "/srv/shop".into(),
        release: 1,
        intent: AppIntent::Run,
        rollout: RolloutStatus {
            release: 1,
            state: RolloutPhase::Complete,
            failure: None,
            reverted_to: None,
        },
        services: vec![
            service(
                long,
                vec![instance(&format!("shop.{long}.1.1"), InstanceState::Ready)],
            ),
            service(
                "web",
                vec![instance("shop.web.1.1", InstanceState::Draining), crashing],
            ),
        ],
        routes: vec![
            RouteStatus {
                route: "shop.localhost/api GET".into(),
                url: Some("http://shop.localhost:8080/api".into()),
                leads_to: "web".into(),
            },
            RouteStatus {
                route: "*.shop.localhost/a/path/that/is/so/long/that/it/does/not/fit/into/one/line/of/a/terminal".into(),
                url: None,
                leads_to: "a redirect".into(),
            },
        ],
        waits: vec![WaitStatus {
            service: Some("web".into()),
            instance: Some("shop.web.1.2".into()),
            reason: "crash loop (7 ends in a row): exited with code 1; restarting soon".into(),
        }],
    }
}

fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS, "{line:?}");
    }
}

#[test]
fn an_app_with_everything_fits_the_terminal() {
    let text = render_app(&app(), 200_000);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn a_failed_rollout_is_told_with_its_evidence() {
    let mut app = app();
    app.services.truncate(1);
    app.waits.clear();
    app.rollout.release = 2;
    app.rollout.state = RolloutPhase::Failed;
    app.rollout.failure = Some(FailureStatus {
        service: Some("web".into()),
        instance: Some("shop.web.2.1".into()),
        message: "exited with code 3, 3 times in a row".into(),
        last_lines: vec!["panicked at main.rs:3".into(), "x".repeat(200)],
    });
    let text = render_app(&app, 200_000);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn the_server_says_how_far_its_proxies_are() {
    let proxy = |generation| ProxyStatus {
        pid: 9,
        generation: Some(generation),
    };
    let status = ServerState {
        server: ServerStatus {
            version: "0.1.0".into(),
            pid: 77,
            home: "/var/lib/roadbed".into(),
            edge: "127.0.0.1:8080".into(),
            edge_tls: "127.0.0.1:8443".into(),
            trusted_hops: "none".into(),
            generation: 12,
            proxies: vec![proxy(12), proxy(11)],
            connections: Some(41),
            metrics: vec![MetricsStatus {
                address: "127.0.0.1:9700".into(),
                failure: Some("Address already in use (os error 98)".into()),
            }],
            access_log: "5%".into(),
            traces: Some("10% of traces to http://127.0.0.1:4318/v1/traces".into()),
            trouble: Some("the disk is full".into()),
        },
        apps: Vec::new(),
    };
    let text = render(&status);
    fits(&text);
    insta::assert_snapshot!(text);
}

#[test]
fn times_have_the_unit_that_suits_them() {
    for (time, shown) in [
        (7, "7 µs"),
        (999, "999 µs"),
        (1000, "1.0 ms"),
        (9949, "9.9 ms"),
        (9950, "10 ms"),
        (50_400, "50 ms"),
        (999_499, "999 ms"),
        (999_500, "1.0 s"),
        (65_536_000, "65.5 s"),
        (4_194_304_000, "4194 s"),
    ] {
        assert_eq!(microseconds(time), shown);
    }
}
