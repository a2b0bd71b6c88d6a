//! What `roadbed top` shows: what happened between two looks at the server, as rows. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use control::requests::{Requests, ServiceRequests, TimeCount};
use control::status::Status;
use serde::Serialize;

use crate::commands::top_frame::Picture;
use crate::commands::wrap::cut;
use crate::terminal::table;

/// The widest that the name of a service is shown.
const WIDEST_NAME: usize = 32;

/// What happened to one service in an interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) app: String,
    pub(super) service: String,
    /// Requests that were over, each second.
    pub(super) requests_per_second: f64,
    /// Of those, the share that failed or was cut, from 0 to 1; absent where there were none.
    pub(super) error_share: Option<f64>,
    /// How long half of the answers took at most; absent where there were none.
    pub(super) p50_milliseconds: Option<f64>,
    /// How long 99 % took at most.
    pub(super) p99_milliseconds: Option<f64>,
    pub(super) in_flight: u64,
    /// Second attempts and ejections in the interval.
    pub(super) retried: u64,
    pub(super) ejected: u64,
    pub(super) ready: u16,
    pub(super) replicas: u16,
    /// Restarts of its instances, ever.
    pub(super) restarts: u64,
}

/// Rows of all services that are declared, those with most requests first. `before` and `after` are
/// what became of requests, `interval` apart.
pub(super) fn rows(
    status: &Status,
    before: &Requests,
    after: &Requests,
    interval: Duration,
) -> Vec<Row> {
    let [before, after] = [before, after].map(by_service);
    let mut rows = Vec::new();
    for app in &status.apps {
        for service in &app.services {
            let key = (app.app.as_str(), service.service.as_str());
            let nothing = ServiceRequests::default();
            let after = after.get(&key).copied().unwrap_or(&nothing);
            let past = before.get(&key).copied().unwrap_or(&nothing);
            // A proxy that was started anew counts from the beginning.
            let past = match past.answered > after.answered || past.cut > after.cut {
                true => &nothing,
                false => past,
            };
            let (answered, cut) = (after.answered - past.answered, after.cut - past.cut);
            let over = answered + cut;
            let errors = after.failed.saturating_sub(past.failed) + cut;
            let times = difference(&past.times, &after.times);
            let restarts = service.instances.iter();
            rows.push(Row {
                app: app.app.clone(),
                service: service.service.clone(),
                requests_per_second: over as f64 / interval.as_secs_f64().max(1e-3),
                error_share: (over > 0).then(|| errors as f64 / over as f64),
                p50_milliseconds: quantile(&times, 0.5),
                p99_milliseconds: quantile(&times, 0.99),
                in_flight: after.in_flight,
                retried: after.retried.saturating_sub(past.retried),
                ejected: after.ejected.saturating_sub(past.ejected),
                ready: service.ready,
                replicas: service.replicas,
                restarts: restarts.map(|instance| u64::from(instance.restarts)).sum(),
            });
        }
    }
    rows.sort_by(|one, other| {
        other
            .requests_per_second
            .total_cmp(&one.requests_per_second)
    });
    rows
}

type Key<'a> = (&'a str, &'a str);

fn by_service(requests: &Requests) -> BTreeMap<Key<'_>, &ServiceRequests> {
    let services = requests.services.iter();
    services
        .map(|service| ((service.app.as_str(), service.service.as_str()), service))
        .collect()
}

fn difference(before: &[TimeCount], after: &[TimeCount]) -> Vec<TimeCount> {
    let before: BTreeMap<u64, u64> = before
        .iter()
        .map(|time| (time.nanoseconds, time.count))
        .collect();
    let more = after.iter().map(|time| {
        let past = before.get(&time.nanoseconds).copied().unwrap_or_default();
        TimeCount {
            count: time.count.saturating_sub(past),
            ..*time
        }
    });
    more.filter(|time| time.count > 0).collect()
}

/// The time in milliseconds that this share of answers took at most.
fn quantile(times: &[TimeCount], share: f64) -> Option<f64> {
    let total: u64 = times.iter().map(|time| time.count).sum();
    let rank = ((share * total as f64).ceil() as u64).max(1);
    let mut seen = 0;
    let time = times.iter().find(|time| {
        seen += time.count;
        seen >= rank
    })?;
    Some(time.nanoseconds as f64 / 1e6)
}

/// What happened in an interval, for people.
pub(super) fn picture(rows: &[Row], status: &Status, interval: Duration) -> Picture {
    let total: f64 = rows.iter().map(|row| row.requests_per_second).sum();
    let connections = match status.server.connections {
        None => "no proxy is connected".to_owned(),
        Some(1) => "1 connection".to_owned(),
        Some(count) => format!("{count} connections"),
    };
    let summary = format!(
        "{total:.1} requests/s, {connections}; in the last {:.1} s",
        interval.as_secs_f64()
    );
    let table = render(rows);
    let mut lines = table.lines().map(str::to_owned);
    let columns = match rows.is_empty() {
        true => "no app runs; `roadbed up FOLDER` starts one".to_owned(),
        false => lines.next().unwrap_or_default(),
    };
    Picture {
        summary,
        columns,
        services: lines.collect(),
    }
}

/// The rows as a table for people.
fn render(rows: &[Row]) -> String {
    let heads = [
        "SERVICE",
        "REQ/S",
        "ERRORS",
        "P50",
        "P99",
        "IN FLIGHT",
        "RETRIES",
        "READY",
        "RESTARTS",
    ];
    let mut cells = vec![heads.map(str::to_owned).to_vec()];
    for row in rows {
        let name = format!("{}/{}", row.app, row.service);
        let share = |share: f64| format!("{:.1}%", share * 100.0);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        cells.push(vec![
            cut(&name, WIDEST_NAME),
            rate(row.requests_per_second),
            or_none(row.error_share.map(share)),
            or_none(row.p50_milliseconds.map(milliseconds)),
            or_none(row.p99_milliseconds.map(milliseconds)),
            row.in_flight.to_string(),
            row.retried.to_string(),
            format!("{}/{}", row.ready, row.replicas),
            row.restarts.to_string(),
        ]);
    }
    table(&cells)
}

fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        ..100.0 => format!("{rate:.1}"),
        _ => format!("{rate:.0}"),
    }
}

fn milliseconds(time: f64) -> String {
    match time {
        ..10.0 => format!("{time:.2} ms"),
        ..1000.0 => format!("{time:.0} ms"),
        _ => format!("{:.1} s", time / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::screen::Size;

    fn requests(answered: u64, failed: u64, times: &[(u64, u64)]) -> Requests {
        let times = times.iter().map(|&(milliseconds, count)| TimeCount {
            nanoseconds: milliseconds * 1_000_000,
            count,
        });
        Requests {
            services: vec![ServiceRequests {
                app: "shop".into(),
                service: "web".into(),
                answered,
                failed,
                cut: 0,
                in_flight: 3,
                times: times.collect(),
                ..ServiceRequests::default()
            }],
        }
    }

    fn status() -> Status {
        let service = |name: &str| {
            json!({
                "service": name, "replicas": 2, "ready": 2, "protocol": "http", "url": null,
                "uses": {}, "instances": [],
            })
        };
        let app = json!({
            "app": "shop", "folder": "/", "release": 1, "intent": "run",
            "rollout": { "release": 1, "state": "complete", "failure": null, "reverted_to": null },
            "services": [service("idle"), service("web")], "waits": [],
        });
        Status {
            apps: vec![serde_json::from_value(app).unwrap()],
            ..Status::default()
        }
    }

    #[test]
    fn what_happened_in_between_is_shown_and_nothing_of_before() {
        let before = requests(1000, 500, &[(1, 1000)]);
        let after = requests(1100, 505, &[(1, 1050), (80, 50)]);
        let rows = rows(&status(), &before, &after, Duration::from_secs(2));
        assert_eq!([&rows[0].service, &rows[1].service], ["web", "idle"]);
        assert_eq!(rows[0].requests_per_second, 50.0);
        assert_eq!(rows[0].error_share, Some(0.05));
        assert_eq!(rows[0].p50_milliseconds, Some(1.0));
        assert_eq!(rows[0].p99_milliseconds, Some(80.0));
        assert_eq!(
            (rows[1].error_share, rows[1].p99_milliseconds),
            (None, None)
        );
        // The picture in the documentation is this one.
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/observe.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        let mut status = status();
        status.server.connections = Some(12);
        let size = Size {
            columns: 80,
            lines: 24,
        };
        let picture = picture(&rows, &status, Duration::from_secs(2)).lines(size, 0);
        let picture = picture.join("\n") + "\n";
        assert!(
            docs.contains(&picture),
            "docs/observe.md does not have\n{picture}"
        );
    }

    #[test]
    fn a_proxy_that_counts_from_the_beginning_is_no_negative_rate() {
        let before = requests(1000, 500, &[(1, 1000)]);
        let after = requests(10, 0, &[(1, 10)]);
        let rows = rows(&status(), &before, &after, Duration::from_secs(1));
        assert_eq!(rows[0].requests_per_second, 10.0);
        assert_eq!(rows[0].error_share, Some(0.0));
    }
}
