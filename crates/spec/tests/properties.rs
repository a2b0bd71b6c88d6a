//! What holds for any text, and for any app.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use model::{
    App, AppName, CertificateFiles, Command, Exposure, FilePath, Health, Host, PathPrefix, Probe,
    Protocol, Service, ServiceName, ServiceTls, VolumeName, Work,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::FileFailurePersistence;
use toml::{Table, Value};

#[path = "properties/resilience.rs"]
mod resilience;

const VALID: &str = include_str!("valid/everything.toml");

/// Parses `text`; whatever comes out has to be sound.
fn check(text: &str) {
    let Err(problems) = spec::parse("roadbed.toml", text) else {
        return;
    };
    assert!((1..=100).contains(&problems.problems.len()), "{problems}");
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in &problems.problems {
        assert!(
            !problem.message.contains(char::is_control),
            "{:?}",
            problem.message
        );
        let line = lines[problem.line - 1].trim_end_matches('\r');
        assert!(
            problem.column <= line.chars().count() + 1,
            "{problem:?} in {line:?}"
        );
    }
    let by_place = |problem: &spec::Problem| (problem.line, problem.column);
    assert!(problems.problems.is_sorted_by_key(by_place));
    assert!(!problems.render(false).contains('\u{1b}'));
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(Index, String),
    Remove(Index, usize),
    Copy(Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        "\\PC{0,4}",
        select(vec![
            "\"", "'", "\"\"\"", "[", "]", "{", "}", "=", ".", "\n", "\r", "#", "$", "${"
        ])
        .prop_map(str::to_owned),
        select(vec![
            "-1",
            "1e9",
            "true",
            "1979-05-27",
            "\"../x\"",
            "[[services]]",
            "\0",
            "é"
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        (any::<Index>(), piece).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<Index>(), 1..30_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), any::<Index>(), 1..60_usize)
            .prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for edit in edits {
        let end = text.len() + 1;
        match edit {
            Edit::Insert(at, piece) => {
                let at = at.index(end);
                text.splice(at..at, piece.chars());
            }
            Edit::Remove(at, length) => {
                let at = at.index(end);
                text.drain(at..(at + length).min(text.len()));
            }
            Edit::Copy(from, to, length) => {
                let from = from.index(end);
                let copy = text[from..(from + length).min(text.len())].to_vec();
                let to = to.index(end);
                text.splice(to..to, copy);
            }
        }
    }
    text.into_iter().collect()
}

/// Names in which no variable of `env` below can hide.
fn name() -> impl Strategy<Value = String> {
    "[a-z]([a-z0-9-]{0,8}[a-z0-9])?"
        .prop_filter("a reserved variable", |name| !name.starts_with("roadbed"))
}

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn command() -> impl Strategy<Value = Command> {
    let program = select(vec![
        "./web",
        "python3",
        "/usr/bin/env",
        "bin/../web",
        "$BIN/web",
    ]);
    let piece = prop_oneof![
        "[ -#%-{}~é\t\n]{0,6}",
        Just("$$".into()),
        Just("${PORT}".into())
    ];
    let word = vec(piece, 0..3).prop_map(|pieces| pieces.concat());
    let word = word.prop_filter("an operator", |word: &String| !word.contains('&'));
    (program, vec(word, 0..4)).prop_map(|(program, mut words)| {
        words.insert(0, program.to_owned());
        Command::new(words).unwrap()
    })
}

fn file() -> impl Strategy<Value = FilePath> {
    "/?[a-zé .]{1,8}/[a-z]{1,5}\\.pem"
        .prop_filter_map("leaves the folder", |path| FilePath::new(path).ok())
}

/// The certificate of a service's host, where the service has one.
fn certificate() -> impl Strategy<Value = Option<CertificateFiles>> {
    option::of(
        (file(), file()).prop_map(|(certificate, key)| CertificateFiles { certificate, key }),
    )
}

/// How the instances of a service are verified, where they are.
fn tls() -> impl Strategy<Value = Option<ServiceTls>> {
    let host = name().prop_map(|name| Host::new(&format!("{name}.internal")).unwrap());
    option::of((file(), host).prop_map(|(authority, name)| ServiceTls { authority, name }))
}

fn health(protocol: Protocol) -> impl Strategy<Value = Health> {
    let http = "/[!\"$-~]{0,20}".prop_map(|path| Probe::Http { path });
    let http = http.prop_map(move |probe| match protocol.is_http() {
        true => probe,
        false => Probe::Tcp,
    });
    let grpc = "[a-z.A-Z]{0,9}".prop_map(move |service| match protocol {
        Protocol::Grpc => Probe::Grpc { service },
        _ => Probe::Tcp,
    });
    let probe = prop_oneof![
        http,
        grpc,
        Just(Probe::Tcp),
        command().prop_map(Probe::Command)
    ];
    (
        probe,
        1..=100_u16,
        millis(100..=3_600_000),
        millis(10..=300_000),
        millis(1_000..=3_600_000),
    )
        .prop_map(|(probe, failures, interval, timeout, deadline)| {
            let timeout = timeout.min(interval);
            Health {
                probe,
                interval,
                timeout,
                failures,
                deadline: deadline.max(timeout),
            }
        })
}

fn service() -> impl Strategy<Value = Service> {
    let protocol = select(vec![
        Protocol::Http,
        Protocol::Http2,
        Protocol::Grpc,
        Protocol::Tcp,
    ]);
    let path = "/[a-z]{0,5}".prop_map(|path| PathPrefix::new(&path).unwrap());
    let env = btree_map("[A-Z][A-Z_]{0,5}_X", "[^\0]{0,8}", 0..3);
    let volumes = btree_set(name().prop_map(|name| VolumeName::new(name).unwrap()), 0..3);
    let basics = (command(), option::of(command()), 1..=100_u16, env, volumes);
    let times = (millis(10..=3_600_000), millis(0..=3_600_000));
    let exposure = option::of((path, certificate()));
    let spoken = (protocol, tls());
    let all = (spoken, basics, exposure, times, resilience::any());
    all.prop_flat_map(|(spoken, basics, exposure, times, resilience)| {
        let (run, build, replicas, env, volumes) = basics;
        let (protocol, tls) = spoken;
        health(protocol).prop_map(move |health| Service {
            work: Work::Run(run.clone()),
            build: build.clone(),
            replicas,
            uses: BTreeSet::new(),
            // The host is the service's own, set when its name is known.
            expose: exposure
                .clone()
                .filter(|_| protocol.is_http())
                .map(|(path, certificate)| Exposure {
                    host: Host::new("localhost").unwrap(),
                    path,
                    certificate,
                    compress: false,
                    security_headers: false,
                }),
            env: env.clone(),
            health,
            protocol,
            tls: tls.clone(),
            timeout: match protocol {
                Protocol::Tcp => Duration::from_secs(30),
                _ => times.0,
            },
            resilience: match protocol {
                Protocol::Tcp => model::Resilience::default(),
                Protocol::Grpc => resilience.clone(),
                Protocol::Http | Protocol::Http2 => resilience::without_calls(resilience.clone()),
            },
            drain: times.1,
            volumes: volumes.clone(),
        })
    })
}

#[path = "properties/routes.rs"]
mod routes;

#[path = "properties/error_pages.rs"]
mod error_pages;

fn app() -> impl Strategy<Value = App> {
    let services = btree_map(name(), (service(), vec(any::<Index>(), 0..3)), 1..5);
    let drawn = vec(routes::drawn(), 0..4);
    let include = btree_set(name(), 0..3);
    let drawn = (name(), services, drawn, error_pages::drawn(), include);
    drawn.prop_map(|(app, written, drawn, pages, include)| {
        let names: Vec<ServiceName> = written
            .keys()
            .map(|name| ServiceName::new(name.as_str()).unwrap())
            .collect();
        let services = written.into_iter().map(|(name, (mut service, uses))| {
            service.uses = uses.iter().map(|index| index.get(&names).clone()).collect();
            if let Some(exposure) = &mut service.expose {
                exposure.host = Host::new(&format!("{name}.localhost")).unwrap();
            }
            (ServiceName::new(name).unwrap(), service)
        });
        let services: BTreeMap<ServiceName, Service> = services.collect();
        let of_http = services
            .iter()
            .filter(|(_, service)| service.protocol.is_http());
        let of_http: Vec<_> = of_http.map(|(name, _)| name.clone()).collect();
        App {
            name: AppName::new(app).unwrap(),
            routes: routes::rules(drawn, &of_http),
            services,
            error_pages: pages,
            include: include
                .into_iter()
                .map(|name| FilePath::new(name).unwrap())
                .collect(),
        }
    })
}

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Value {
    Value::Array(
        items
            .into_iter()
            .map(|item| Value::String(item.to_string()))
            .collect(),
    )
}

fn time(duration: Duration) -> Value {
    Value::String(format!(
        "{}s{}ms",
        duration.as_secs(),
        duration.subsec_millis()
    ))
}

/// Writes a command as one line or as a list, both of which have to mean the same.
fn written_command(command: &Command, as_line: bool) -> Value {
    let words = command.words();
    match shlex::try_join(words.iter().map(String::as_str)) {
        Ok(line) if as_line => Value::String(line),
        _ => strings(words),
    }
}

fn written_health(health: &Health, as_line: bool) -> Table {
    let probe = match &health.probe {
        Probe::Http { path } => ("path", Value::String(path.clone())),
        Probe::Tcp => ("tcp", Value::Boolean(true)),
        Probe::Grpc { service } => ("grpc", Value::String(service.clone())),
        Probe::Command(command) => ("command", written_command(command, as_line)),
    };
    let rest = [
        ("interval", time(health.interval)),
        ("timeout", time(health.timeout)),
        ("failures", Value::Integer(health.failures.into())),
        ("deadline", time(health.deadline)),
    ];
    std::iter::once(probe)
        .chain(rest)
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn written_service(service: &Service, as_line: bool) -> Table {
    let env = service
        .env
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()));
    let mut keys = vec![
        (
            "run",
            written_command(service.work.command().unwrap(), as_line),
        ),
        ("replicas", Value::Integer(service.replicas.into())),
        ("uses", strings(&service.uses)),
        ("env", Value::Table(env.collect())),
        (
            "health",
            Value::Table(written_health(&service.health, as_line)),
        ),
        ("protocol", service.protocol.name().into()),
        ("drain", time(service.drain)),
        ("volumes", strings(&service.volumes)),
    ];
    if service.protocol.is_http() {
        keys.extend(resilience::written(&service.resilience));
    }
    if let Some(build) = &service.build {
        keys.push(("build", written_command(build, as_line)));
    }
    if service.protocol.is_http() {
        keys.push(("timeout", time(service.timeout)));
    }
    if let Some(Exposure {
        host,
        path,
        certificate,
        ..
    }) = &service.expose
    {
        let mut expose = BTreeMap::from([("host", host.as_str()), ("path", path.as_str())]);
        if let Some(files) = certificate {
            expose.insert("certificate", files.certificate.as_str());
            expose.insert("key", files.key.as_str());
        }
        keys.push(("expose", Value::try_from(expose).unwrap()));
    }
    if let Some(ServiceTls { authority, name }) = &service.tls {
        let tls = BTreeMap::from([("authority", authority.as_str()), ("name", name.as_str())]);
        keys.push(("tls", Value::try_from(tls).unwrap()));
    }
    keys.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn written(app: &App, as_line: bool) -> String {
    let services = app
        .services
        .iter()
        .map(|(name, service)| (name.to_string(), written_service(service, as_line).into()));
    let routes = app.routes.iter().map(routes::written);
    let file = Table::from_iter([
        ("app".to_owned(), app.name.as_str().into()),
        ("include".to_owned(), strings(app.include.iter())),
        ("routes".to_owned(), Value::Array(routes.collect())),
        ("services".to_owned(), Value::Table(services.collect())),
        (
            "error_pages".to_owned(),
            error_pages::written(&app.error_pages, as_line),
        ),
    ]);
    toml::to_string(&file).unwrap()
}

/// Failing cases are kept beside this file, to be tried first from then on.
fn config() -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("regressions");
    ProptestConfig {
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_text_is_an_app_or_has_problems(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn text_of_the_letters_of_toml_is_an_app_or_has_problems(
        text in "([a-z.\"'\\[\\]{}=,#$ \\n\\r\\\\0-9-]|app|services|run|health|uses){0,60}",
    ) {
        check(&text);
    }

    #[test]
    fn a_damaged_app_is_an_app_or_has_problems(edits in vec(edit(), 1..6)) {
        check(&apply(VALID, &edits));
    }

    #[test]
    fn an_app_that_is_written_reads_back(app in app(), as_line in any::<bool>()) {
        let text = written(&app, as_line);
        match spec::parse("roadbed.toml", &text) {
            Ok(read) => prop_assert_eq!(read, app),
            Err(problems) => prop_assert!(false, "{}\n{}", text, problems.render(false)),
        }
    }
}

#[test]
fn limits_hold_and_cost_little() {
    let declared = |count: usize| -> String {
        let services = (0..count).map(|n| format!("[services.s{n}]\nrun = \"./s\"\n"));
        "app = \"many\"\n".to_owned() + &services.collect::<String>()
    };
    assert_eq!(
        spec::parse("f", &declared(1_000)).unwrap().services.len(),
        1_000
    );
    let problems = spec::parse("f", &declared(1_001)).unwrap_err();
    assert_eq!(
        (problems.problems.len(), problems.problems[0].line),
        (1, 2 * 1_001)
    );

    let large = "#".repeat(1024 * 1024);
    let problems = spec::parse("f", &format!("{large}#")).unwrap_err();
    assert!(
        problems.problems[0].message.contains("1024 KiB"),
        "{problems:?}"
    );

    // Files that would be slow if some step took quadratic time, each near the size limit.
    let head = "app = \"a\"\n[services.a]\nrun = \"./a\"\n";
    let unknown: String = (0..60_000).map(|n| format!("key{n} = 1\n")).collect();
    let uses: String = (0..60_000).map(|n| format!("\"service-{n}\",")).collect();
    for text in [
        format!("{head}{unknown}"),
        format!("{head}uses = [{uses}]\n"),
        format!("{head}uses = [{}]\n", "\"a\",".repeat(200_000)),
        "\n=".repeat(500_000),
        "[".repeat(1_000_000),
        "a.".repeat(500_000),
        "a={".repeat(300_000),
        format!("app = \"{}\"", "é".repeat(500_000)),
        format!("app = \"{}\"", "\\u0000".repeat(170_000)),
        "services.".to_owned() + &"x".repeat(1_000_000) + " = 1",
    ] {
        let start = Instant::now();
        check(&text);
        // Each takes about a second in a debug build, and would take minutes in quadratic time.
        let beginning: String = text.chars().take(60).collect();
        assert!(start.elapsed() < Duration::from_secs(30), "{beginning:?}");
    }
}
