//! Long bodies through the edge and the mesh, and many connections that only wait.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::process;
use serde_json::json;

use super::{Bench, Measure, progress};
use crate::arguments::{Arguments, Common};
use crate::client::Connection;
use crate::figures::{Figure, Results, Unit};
use crate::platform::{LONG, Platform, Workbench, allow_descriptors, apps};
use crate::processes::{self, Kind};

pub(crate) const BENCH: Bench = Bench {
    name: "bodies",
    runs: 3,
    prepare,
};

const HOST: &str = "trivial.localhost";
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;
/// Requests before anything is measured, so that buffers and connections are there.
const WARM_UP: usize = 200;
/// How long connections wait before the proxy's memory is looked at.
const CALM: Duration = Duration::from_secs(3);
/// Descriptors for other things than the connections.
const SPARE_DESCRIPTORS: usize = 256;

fn prepare(arguments: &mut Arguments) -> Result<Measure, String> {
    let size = arguments.number("--mib", 2048, 1..=1_000_000)? as u64 * 1024 * 1024;
    let connections = arguments.number("--connections", 5000, 1..=1_000_000)?;
    Ok(Box::new(move |common, results| {
        measure(size, connections, common, results)
    }))
}

fn measure(size: u64, connections: usize, common: &Common, results: &mut Results) -> Result<()> {
    allow_descriptors(connections + SPARE_DESCRIPTORS)?;
    let workbench = Workbench::new(common.roadbed.as_deref())?;
    let app = workbench.app_folder("trivial");
    apps::copy_without_builds("trivial", &app)?;
    let directions = [("upload", upload as Transfer), ("download", download)];
    let lines = directions.map(|(name, _)| {
        let growth = format!("{name}: growth of the proxy's peak memory");
        let speed = format!("{name}: through edge and mesh");
        (
            results.add(Figure::new(growth, Unit::Mib)),
            results.add(Figure::new(speed, Unit::MibPerSecond)),
        )
    });
    let per_connection = Figure::new(
        format!("{connections} idle connections: proxy's memory for each"),
        Unit::Kib,
    );
    let per_connection = results.add(per_connection.each_below(16.0));
    for run in 1..=common.runs {
        for ((name, transfer), (growth, speed)) in directions.into_iter().zip(lines) {
            // A home for each: what a proxy has grown to it does not grow again.
            let (platform, proxy) = warm(&workbench, &app)?;
            let before = process::usage(proxy)?.resident;
            processes::reset_peak(proxy)?;
            let start = Instant::now();
            transfer(&platform, size).with_context(|| format!("the {name}"))?;
            let took = start.elapsed();
            let usage = process::usage(proxy)?;
            let grown = usage.peak_resident.saturating_sub(before) as f64 / MIB;
            let rate = size as f64 / MIB / took.as_secs_f64();
            results.push(growth, grown);
            results.push(speed, rate);
            progress(&format!(
                "run {run}: {name} at {rate:.0} MiB/s, proxy's peak grew by {grown:.2} MiB"
            ));
            results.detail(json!({
                "run": run, "what": name, "bytes": size, "seconds": took.as_secs_f64(),
                "resident_before": before, "resident_after": usage.resident,
                "resident_peak": usage.peak_resident,
            }));
        }
        let (platform, proxy) = warm(&workbench, &app)?;
        let before = process::usage(proxy)?.resident;
        let held = hold(&platform, connections)?;
        std::thread::sleep(CALM);
        let after = process::usage(proxy)?.resident;
        let each = (after as f64 - before as f64) / connections as f64 / KIB;
        results.push(per_connection, each);
        progress(&format!("run {run}: {each:.2} KiB for each connection"));
        results.detail(json!({
            "run": run, "what": "idle connections", "connections": connections,
            "resident_before": before, "resident_after": after,
        }));
        still_open(held)?;
    }
    Ok(())
}

/// A platform that has served some requests, and its proxy.
fn warm(workbench: &Workbench, app: &std::path::Path) -> Result<(Platform, u32)> {
    let platform = Platform::new(workbench)?;
    platform.up(app)?;
    let mut connection = Connection::open(platform.edge, LONG)?;
    for path in ["/", "/via/back/"] {
        for _ in 0..WARM_UP {
            let (head, _) = connection.get(HOST, path)?;
            ensure!(
                head.status == 200,
                "{path} is answered with {}",
                head.status
            );
        }
    }
    let proxy = platform.pid(Kind::Proxy)?;
    Ok((platform, proxy))
}

type Transfer = fn(&Platform, u64) -> Result<()>;

fn upload(platform: &Platform, size: u64) -> Result<()> {
    let mut connection = Connection::open(platform.edge, LONG)?;
    connection.send(&format!(
        "POST /via/back/sink HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"
    ))?;
    connection.send_zeros(size)?;
    let head = connection.head()?;
    let mut said = String::new();
    connection.body(head).read_to_string(&mut said)?;
    let all_arrived = head.status == 200 && said.trim() == size.to_string();
    ensure!(all_arrived, "it is answered with {}: {said}", head.status);
    Ok(())
}

fn download(platform: &Platform, size: u64) -> Result<()> {
    let mut connection = Connection::open(platform.edge, LONG)?;
    connection.send(&format!(
        "GET /via/back/bytes?n={size} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
    ))?;
    let head = connection.head()?;
    ensure!(
        head.status == 200 && head.length == size,
        "it is answered with {head:?}"
    );
    let received = io::copy(&mut connection.body(head), &mut io::sink())?;
    ensure!(received == size, "{received} of {size} bytes came");
    Ok(())
}

type Held = Vec<Connection<std::net::TcpStream>>;

/// Opens so many connections, each of which has had one answer and now waits.
fn hold(platform: &Platform, connections: usize) -> Result<Held> {
    let one = || {
        let mut connection = Connection::open(platform.edge, LONG)?;
        let (head, _) = connection.get(HOST, "/")?;
        ensure!(head.status == 200, "it is answered with {}", head.status);
        Ok(connection)
    };
    (0..connections)
        .map(|number| one().with_context(|| format!("connection {number}")))
        .collect()
}

/// Sees to it that all are as good as when they were opened: none was closed to save memory.
fn still_open(mut held: Held) -> Result<()> {
    for (number, connection) in held.iter_mut().enumerate() {
        let answer = connection.get(HOST, "/");
        answer.with_context(|| format!("connection {number} was closed while it waited"))?;
    }
    Ok(())
}
