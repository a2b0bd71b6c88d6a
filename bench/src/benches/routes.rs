//! What it costs to find the route of a request, among one and among ten thousand. No proxy runs:
//! the table of routes is asked directly.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use model::{HostPattern, Matching, PathPattern, PathPrefix, Template};
use proxy::routing::{Asked, Table};

use super::{Bench, Measure, progress};
use crate::arguments::{Arguments, Common};
use crate::figures::{Figure, Results, Unit};

pub(crate) const BENCH: Bench = Bench {
    name: "routes",
    runs: 9,
    prepare,
};

/// How many routes there are in the large tables.
const MANY: usize = 10_000;
/// How often a table is asked in a run.
const QUESTIONS: usize = 500_000;

/// How the routes of a table differ.
#[derive(Clone, Copy)]
enum Kind {
    Host,
    Prefix,
    Template,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Host, "by host"),
    (Kind::Prefix, "by prefix"),
    (Kind::Template, "by template"),
];

fn prepare(_: &mut Arguments) -> Result<Measure, String> {
    Ok(Box::new(measure))
}

fn measure(common: &Common, results: &mut Results) -> Result<()> {
    for (kind, name) in KINDS {
        let cost = results.add(Figure::new(format!("{name}, the only one"), Unit::Micros));
        let ratio = format!("{name}, one of {MANY} / the only one");
        let ratio = results.add(Figure::new(ratio, Unit::Ratio).median_at_most(1.2));
        let in_turn = format!("{name}, each of {MANY} in turn / the only one");
        let in_turn = results.add(Figure::new(in_turn, Unit::Ratio));
        let (one, many) = (table(kind, 1)?, table(kind, MANY)?);
        let first = [request(kind, 0)];
        let all: Vec<_> = (0..MANY).map(|n| request(kind, n)).collect();
        for run in 1..=common.runs {
            let alone = ask(&one, &first)?;
            results.push(cost, alone);
            results.push(ratio, ask(&many, &first)? / alone);
            results.push(in_turn, ask(&many, &all)? / alone);
            progress(&format!("{name}: run {run} of {}", common.runs));
        }
    }
    Ok(())
}

fn table(kind: Kind, count: usize) -> Result<Table<usize>> {
    let mut table = Table::default();
    for n in 0..count {
        let (host, path) = match kind {
            Kind::Host => (
                format!("shop-{n}.test"),
                PathPattern::Prefix(PathPrefix::root()),
            ),
            Kind::Prefix => {
                let prefix = PathPrefix::new(&format!("/api/service-{n}"))?;
                ("shop.test".into(), PathPattern::Prefix(prefix))
            }
            Kind::Template => {
                let template = Template::new(&format!("/api/service-{n}/{{id}}"))?;
                ("shop.test".into(), PathPattern::Template { template })
            }
        };
        let matching = Matching::of(HostPattern::new(&host)?, path);
        table.set(&n.to_string(), &matching, 0, n);
    }
    Ok(table)
}

struct Request {
    host: String,
    path: String,
}

impl Asked for Request {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }
    fn path_and_query(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn method(&self) -> &[u8] {
        b"GET"
    }
    fn any_field(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// What the route of this number is for.
fn request(kind: Kind, n: usize) -> Request {
    let (host, path) = match kind {
        Kind::Host => (format!("shop-{n}.test"), "/orders/17?page=2".to_owned()),
        _ => ("shop.test".into(), format!("/api/service-{n}/17?page=2")),
    };
    Request { host, path }
}

/// The microseconds that one question takes.
fn ask(table: &Table<usize>, requests: &[Request]) -> Result<f64> {
    let mut found = 0;
    let start = Instant::now();
    for request in requests.iter().cycle().take(QUESTIONS) {
        found += usize::from(table.find(black_box(request)).is_some());
    }
    let elapsed = start.elapsed();
    ensure!(found == QUESTIONS, "a route was not found");
    Ok(elapsed.as_secs_f64() * 1e6 / QUESTIONS as f64)
}
