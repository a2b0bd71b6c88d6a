//! What a service may say of balancing and overload, any of it.

use std::time::Duration;

use model::{Balance, FieldName, HashKey, Overload, Resilience};
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
    (balance, overload).prop_map(|(balance, overload)| Resilience { balance, overload })
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
    std::iter::once(("balance", balance))
        .chain(overload)
        .collect()
}
