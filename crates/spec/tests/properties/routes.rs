//! Routes of any content, and how they are written in a file.

use model::{
    Action, Caller, ExactPath, FieldChanges, FieldName, FieldValue, HostPattern, Matching, Method,
    Mirror, PathChange, PathPattern, PathPrefix, Period, Priority, RateLimit, Redirect,
    RedirectStatus, Retries, Rule, ServiceName, Share, Template, Test, Treatment,
};
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use toml::{Table, Value};

use super::{millis, strings, time};

/// What a rule may be beside its services and its place, which follow from the app.
pub(crate) type Drawn = (
    Matching,
    Treatment,
    Kind,
    Option<(u8, bool, u32)>,
    [Index; 2],
);

/// Where a rule leads.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    One,
    Split(u16, u16),
    Redirect(Redirect),
}

fn path() -> impl Strategy<Value = PathPattern> {
    prop_oneof![
        "(/[a-z0-9._-]{1,5}){0,3}/?".prop_filter_map("climbs", |path| {
            PathPrefix::new(&path).ok().map(PathPattern::Prefix)
        }),
        "(/[a-z0-9]{1,5}){1,3}/?".prop_map(|path| PathPattern::Exact {
            exact: ExactPath::new(&path).unwrap()
        }),
        select(vec!["/{a}", "/u/{id}/x", "/f/{rest...}"]).prop_map(|path| PathPattern::Template {
            template: Template::new(path).unwrap()
        }),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    prop_oneof![
        "[!-~]{0,9}".prop_map(Test::Exact),
        "[!-~]{0,9}".prop_map(Test::Prefix),
        Just(Test::Present),
    ]
}

fn field() -> impl Strategy<Value = FieldName> {
    "y-[a-z]{1,6}".prop_map(|name| FieldName::new(&name).unwrap())
}

fn matching() -> impl Strategy<Value = Matching> {
    let methods = btree_set(select(vec!["GET", "PUT", "QUERY"]), 0..3);
    let tests = || btree_map("[a-z]{1,6}", test(), 0..3);
    (
        path(),
        methods,
        btree_map(field(), test(), 0..3),
        tests(),
        tests(),
    )
        .prop_map(|(path, methods, headers, query, cookies)| Matching {
            // Its own, set when its number is known.
            host: HostPattern::Any,
            path,
            methods: methods
                .into_iter()
                .map(|m| Method::new(m).unwrap())
                .collect(),
            headers,
            query,
            cookies,
            in_clear: false,
        })
}

fn changes() -> impl Strategy<Value = FieldChanges> {
    let value = || "[!-~]{0,9}".prop_map(|text| FieldValue::new(&text).unwrap());
    (
        btree_map(field(), value(), 0..2),
        btree_set("z-[a-z]{1,4}", 0..2),
    )
        .prop_map(|(set, remove)| FieldChanges {
            set,
            add: Default::default(),
            remove: remove
                .iter()
                .map(|name| FieldName::new(name).unwrap())
                .collect(),
        })
}

fn rate_limit() -> impl Strategy<Value = RateLimit> {
    let by = prop_oneof![
        Just(Caller::Address),
        Just(Caller::Route),
        field().prop_map(Caller::Header),
        "[a-z]{1,9}".prop_map(Caller::Cookie),
    ];
    let per = select(vec![Period::Second, Period::Minute, Period::Hour]);
    (1..=1_000_000_u32, per, 1..=1_000_000_u32, by).prop_map(|(requests, per, burst, by)| {
        RateLimit {
            requests: requests.try_into().unwrap(),
            per,
            burst: burst.try_into().unwrap(),
            by,
        }
    })
}

fn treatment() -> impl Strategy<Value = Treatment> {
    let times = (
        option::of(millis(10..=3_600_000)),
        option::of(millis(3_600_001..=86_400_000)),
        option::of(millis(10..=86_400_000)),
    );
    let retries = (
        0..=2_u8,
        select(vec![(true, true), (true, false), (false, true)]),
    );
    let whole = option::of("(/[a-z0-9]{1,5}){1,3}/?");
    (
        whole,
        changes(),
        changes(),
        times,
        option::of(0..1_u64 << 40),
        retries,
        option::of(rate_limit()),
        (select(Priority::ALL.to_vec()), any::<(bool, bool)>()),
    )
        .prop_map(
            |(
                whole,
                request,
                response,
                times,
                body_limit,
                retries,
                rate_limit,
                (priority, flags),
            )| {
                Treatment {
                    rewrite: whole.map(|path| PathChange::Whole(ExactPath::new(&path).unwrap())),
                    request_headers: request,
                    response_headers: response,
                    timeout: times.0,
                    deadline: times.1,
                    idle_timeout: times.2,
                    body_limit,
                    retries: Retries {
                        most: retries.0.try_into().unwrap(),
                        on_reset: retries.1.0,
                        on_status: retries.1.1,
                    },
                    rate_limit,
                    priority,
                    compress: flags.0,
                    security_headers: flags.1,
                }
            },
        )
}

fn redirect() -> impl Strategy<Value = Redirect> {
    let statuses = [301, 302, 307, 308].map(|status| RedirectStatus::try_from(status).unwrap());
    (select(statuses.to_vec()), any::<bool>(), 1..=65_535_u16).prop_map(|(status, https, port)| {
        Redirect {
            status,
            https,
            host: None,
            port: Some(port),
            path: None,
        }
    })
}

pub(crate) fn drawn() -> impl Strategy<Value = Drawn> {
    let kind = prop_oneof![
        Just(Kind::One),
        (1..=1_000_u16, 0..=1_000_u16).prop_map(|(one, other)| Kind::Split(one, other)),
        redirect().prop_map(Kind::Redirect),
    ];
    let mirror = option::of((1..=100_u8, any::<bool>(), 0..=65_536_u32));
    let services = [any::<Index>(), any::<Index>()];
    (matching(), treatment(), kind, mirror, services)
}

/// The rules that were drawn, of services that speak HTTP; none where there are none.
pub(crate) fn rules(drawn: Vec<Drawn>, services: &[ServiceName]) -> Vec<Rule<ServiceName>> {
    if services.is_empty() {
        return Vec::new();
    }
    let numbered = (0..).zip(drawn);
    let rule = |(order, (mut matching, treatment, kind, mirror, [one, other])): (u32, Drawn)| {
        matching.host = HostPattern::new(&format!("*.r{order}.localhost")).unwrap();
        let (one, other) = (one.get(services), other.get(services));
        let is_redirect = matches!(kind, Kind::Redirect(_));
        let action = match kind {
            Kind::Split(weight, more) if one != other => {
                let share = |service: &ServiceName, weight| Share {
                    service: service.clone(),
                    weight,
                };
                Action::Split(vec![share(one, weight), share(other, more)])
            }
            Kind::One | Kind::Split(..) => Action::Upstream(one.clone()),
            Kind::Redirect(redirect) => {
                matching.in_clear = redirect.https;
                Action::Redirect(redirect)
            }
        };
        Rule {
            matching,
            order,
            action,
            treatment: if is_redirect {
                Treatment {
                    security_headers: treatment.security_headers,
                    ..Treatment::default()
                }
            } else {
                treatment
            },
            error_pages: None,
            mirror: mirror
                .filter(|_| !is_redirect)
                .map(|(percent, unsafe_methods, limit)| Mirror {
                    service: other.clone(),
                    percent: percent.try_into().unwrap(),
                    unsafe_methods,
                    body_limit: limit.try_into().unwrap(),
                }),
        }
    };
    numbered.map(rule).collect()
}

fn table<const N: usize>(keys: [(&str, Value); N]) -> Value {
    Value::Table(
        keys.map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect(),
    )
}

fn written_test(test: &Test) -> Value {
    match test {
        Test::Exact(text) => text.clone().into(),
        Test::Prefix(text) => table([("prefix", text.clone().into())]),
        Test::Present => table([("present", true.into())]),
    }
}

fn number(number: impl Into<i64>) -> Value {
    Value::Integer(number.into())
}

fn written_limit(limit: &RateLimit) -> Value {
    let per = match limit.per {
        Period::Second => "second",
        Period::Minute => "minute",
        Period::Hour => "hour",
    };
    let by = match &limit.by {
        Caller::Address => ("by", "address".to_owned()),
        Caller::Route => ("by", "route".to_owned()),
        Caller::Header(name) => ("header", name.to_string()),
        Caller::Cookie(name) => ("cookie", name.clone()),
    };
    table([
        ("requests", number(limit.requests.get())),
        ("per", per.into()),
        ("burst", number(limit.burst.get())),
        (by.0, by.1.into()),
    ])
}

fn written_changes(changes: &FieldChanges) -> Value {
    let set = changes.set.iter();
    let set = set.map(|(name, value)| (name.to_string(), value.as_str().into()));
    table([
        ("set", Value::Table(set.collect())),
        ("remove", strings(&changes.remove)),
    ])
}

/// A rule as it is written in a file.
pub(crate) fn written(rule: &Rule<ServiceName>) -> Value {
    let mut keys: Vec<(&str, Value)> = vec![("host", rule.matching.host.to_string().into())];
    keys.push(match &rule.matching.path {
        PathPattern::Prefix(path) => ("path", path.as_str().into()),
        PathPattern::Exact { exact } => ("exact", exact.as_str().into()),
        PathPattern::Template { template } => ("template", template.to_string().into()),
    });
    if !rule.matching.methods.is_empty() {
        keys.push(("methods", strings(&rule.matching.methods)));
    }
    let tests = |tests: Vec<(String, &Test)>| {
        let tests = tests
            .into_iter()
            .map(|(name, test)| (name, written_test(test)));
        Value::Table(tests.collect())
    };
    let headers = rule.matching.headers.iter();
    let headers = headers
        .map(|(name, test)| (name.to_string(), test))
        .collect();
    let plain = |map: &'_ std::collections::BTreeMap<String, Test>| -> Vec<(String, Test)> {
        map.clone().into_iter().collect()
    };
    let (query, cookies) = (plain(&rule.matching.query), plain(&rule.matching.cookies));
    let of = |list: &'_ [(String, Test)]| -> Vec<(String, Test)> { list.to_vec() };
    for (key, list) in [("query", of(&query)), ("cookies", of(&cookies))] {
        if !list.is_empty() {
            let list = list
                .iter()
                .map(|(name, test)| (name.clone(), test))
                .collect();
            keys.push((key, tests(list)));
        }
    }
    if !rule.matching.headers.is_empty() {
        keys.push(("headers", tests(headers)));
    }
    keys.push(match &rule.action {
        Action::Upstream(service) => ("to", service.as_str().into()),
        Action::Split(shares) => {
            let shares = shares.iter().map(|share| {
                table([
                    ("service", share.service.as_str().into()),
                    ("weight", number(share.weight)),
                ])
            });
            ("to", Value::Array(shares.collect()))
        }
        Action::Redirect(redirect) => {
            let status = ("status", number(u16::from(redirect.status)));
            let port = ("port", number(redirect.port.unwrap_or(1)));
            let redirect = match redirect.https {
                true => table([status, port, ("https", true.into())]),
                false => table([status, port]),
            };
            ("redirect", redirect)
        }
    });
    match rule.action {
        Action::Redirect(_) => {
            keys.push(("security_headers", rule.treatment.security_headers.into()));
        }
        _ => written_treatment(&mut keys, rule),
    }
    let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value));
    Value::Table(keys.collect::<Table>())
}

fn written_treatment(keys: &mut Vec<(&str, Value)>, rule: &Rule<ServiceName>) {
    let treatment = &rule.treatment;
    if let Some(PathChange::Whole(path)) = &treatment.rewrite {
        keys.push(("rewrite", table([("path", path.as_str().into())])));
    }
    keys.push((
        "request_headers",
        written_changes(&treatment.request_headers),
    ));
    keys.push((
        "response_headers",
        written_changes(&treatment.response_headers),
    ));
    for (key, duration) in [
        ("timeout", treatment.timeout),
        ("deadline", treatment.deadline),
        ("idle_timeout", treatment.idle_timeout),
    ] {
        keys.extend(duration.map(|duration| (key, time(duration))));
    }
    keys.extend(
        treatment
            .body_limit
            .map(|limit| ("body_limit", format!("{limit}B").into())),
    );
    keys.extend(
        treatment
            .rate_limit
            .as_ref()
            .map(|limit| ("rate_limit", written_limit(limit))),
    );
    keys.push(("priority", treatment.priority.name().into()));
    keys.push(("compress", treatment.compress.into()));
    keys.push(("security_headers", treatment.security_headers.into()));
    keys.push(("retries", number(treatment.retries.most.get())));
    let on = [
        ("reset", treatment.retries.on_reset),
        ("status", treatment.retries.on_status),
    ];
    let on = on
        .into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| name);
    keys.push(("retry_on", strings(on)));
    if let Some(mirror) = &rule.mirror {
        let mirror = table([
            ("service", mirror.service.as_str().into()),
            ("percent", number(mirror.percent.get())),
            ("unsafe_methods", mirror.unsafe_methods.into()),
            ("body_limit", format!("{}B", mirror.body_limit.get()).into()),
        ]);
        keys.push(("mirror", mirror));
    }
}
