//! What a service may say of balancing and overload, any of it.

use std::time::Duration;

use model::{Balance, Connections, FieldName, HashKey, Hedge, HedgeAfter, Overload, Resilience};
use proptest::prelude::*;
use toml::{Table, Value};

/// How requests are spread and when they are refused.
pub(crate) fn any() -> impl Strategy<Value = Resilience> {
    let key = prop_oneof![
        "[a-z]{1,5}-id".prop_map(|name| HashKey::Header(FieldName::new(&name).unwrap())),
        "[a-zA-Z_.]{1,9}".prop_map(HashKey::Cookie),
        Just(HashKey::ClientAddress),
        Just(HashKey::Path),
    ];
    let balance = prop_oneof![
        Just(Balance::LeastLatency),
        Just(Balance::LeastConnections),
        Just(Balance::RoundRobin),
        (key, proptest::bool::ANY).prop_map(|(key, bounded)| Balance::Hash { key, bounded }),
    ];
    let overload = prop_oneof![
        Just(Overload::Usual),
        Just(Overload::Off),
        (1..=10_000_u64).prop_map(|millis| Overload::Latency(Duration::from_millis(millis))),
    ];
    let millis = |most: u64| (1..=most).prop_map(Duration::from_millis);
    let connections = (
        proptest::option::of((1..=60_000_u32, 0..=60_000_u32, millis(300_000))),
        millis(3_600_000),
        proptest::option::of((1_000..=86_400_000_u64).prop_map(Duration::from_millis)),
    );
    let connections = connections.prop_map(|(queue, idle, lifetime)| {
        let usual = Connections::default();
        let (most, waiting, wait) = match queue {
            Some((most, waiting, wait)) => (Some(most), waiting, wait),
            None => (None, usual.waiting, usual.wait),
        };
        Connections {
            most,
            waiting,
            wait,
            idle,
            lifetime,
        }
    });
    let after = prop_oneof![
        (50..=99_u8).prop_map(HedgeAfter::Percentile),
        (1..=60_000_u64).prop_map(|millis| HedgeAfter::Time(Duration::from_millis(millis))),
    ];
    let calls =
        proptest::collection::vec("/[a-z]{1,5}\\.[A-Z][a-z]{0,5}/([A-Z][a-z]{0,5}|\\*)", 0..3);
    let hedge = (after, calls).prop_map(|(after, calls)| Hedge { after, calls });
    let all = (balance, overload, connections, proptest::option::of(hedge));
    all.prop_map(|(balance, overload, connections, hedge)| Resilience {
        balance,
        overload,
        connections,
        hedge,
    })
}

/// What a service may say that does not speak gRPC.
pub(crate) fn without_calls(mut resilience: Resilience) -> Resilience {
    if let Some(hedge) = &mut resilience.hedge {
        hedge.calls.clear();
    }
    resilience
}

/// The keys of a service that declare it.
pub(crate) fn written(resilience: &Resilience) -> Vec<(&'static str, Value)> {
    let balance = match &resilience.balance {
        Balance::LeastLatency => "least-latency".into(),
        Balance::LeastConnections => "least-connections".into(),
        Balance::RoundRobin => "round-robin".into(),
        Balance::Hash { key, bounded } => {
            let (key, value) = match key {
                HashKey::Header(name) => ("header", name.as_str().into()),
                HashKey::Cookie(name) => ("cookie", name.as_str().into()),
                HashKey::ClientAddress => ("client_address", true.into()),
                HashKey::Path => ("path", true.into()),
            };
            let bounded = ("bounded".to_owned(), Value::Boolean(*bounded));
            Value::Table(Table::from_iter([(key.to_owned(), value), bounded]))
        }
    };
    let overload = match resilience.overload {
        Overload::Usual => None,
        Overload::Off => Some(("refuse", Value::Boolean(false))),
        Overload::Latency(latency) => Some(("latency", super::time(latency))),
    };
    let table =
        |(key, value): (&str, Value)| Value::Table(Table::from_iter([(key.to_owned(), value)]));
    let overload = overload.map(|overload| ("overload", table(overload)));
    let Connections {
        most,
        waiting,
        wait,
        idle,
        lifetime,
    } = resilience.connections;
    let mut connections = Table::from_iter([("idle".to_owned(), super::time(idle))]);
    if let Some(most) = most {
        connections.insert("most".to_owned(), i64::from(most).into());
        connections.insert("waiting".to_owned(), i64::from(waiting).into());
        connections.insert("wait".to_owned(), super::time(wait));
    }
    if let Some(lifetime) = lifetime {
        connections.insert("lifetime".to_owned(), super::time(lifetime));
    }
    let hedge = resilience.hedge.as_ref().map(|hedge| {
        let after = match hedge.after {
            HedgeAfter::Percentile(percent) => format!("p{percent}").into(),
            HedgeAfter::Time(time) => super::time(time),
        };
        let mut table = Table::from_iter([("after".to_owned(), after)]);
        if !hedge.calls.is_empty() {
            let calls = hedge.calls.iter().map(|call| call.as_str().into());
            table.insert("calls".to_owned(), Value::Array(calls.collect()));
        }
        ("hedge", Value::Table(table))
    });
    std::iter::once(("connections", Value::Table(connections)))
        .chain(hedge)
        .chain(std::iter::once(("balance", balance)))
        .chain(overload)
        .collect()
}
