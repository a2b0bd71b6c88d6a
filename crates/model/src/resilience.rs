//! How requests are spread over the instances of a service, and what is refused when it has too
//! much to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fields::FieldName;

/// What a service declares of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resilience {
    /// Which instance a request goes to.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub balance: Balance,
    /// When requests are refused.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub overload: Overload,
    /// How many requests are with its instances at a time, and how long connections are kept.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub connections: Connections,
    /// When a request that waits is sent a second time, to another instance.
    #[serde(default, skip_serializing_if = "is_usual")]
    pub hedge: Option<Hedge>,
}

impl Resilience {
    /// Whether all of it is as it is where nothing is declared.
    pub fn is_usual(&self) -> bool {
        is_usual(self)
    }
}

fn is_usual<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Which instance of a service a request goes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Of two that chance names, the one that is expected to answer sooner.
    #[default]
    LeastLatency,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// One after the other.
    RoundRobin,
    /// The same one for requests that are alike.
    Hash {
        /// What they are alike in.
        key: HashKey,
        /// Another one if it has a quarter more to do than the average.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        bounded: bool,
    },
}

/// What requests are alike in that go to the same instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The value of a field.
    Header(FieldName),
    /// The value of a cookie.
    Cookie(String),
    /// The address that they come from.
    ClientAddress,
    /// The path, without the query.
    Path,
}

/// When requests to a service are refused because it has too much to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overload {
    /// When answers take far longer than they have to, and come near the service's timeout.
    #[default]
    Usual,
    /// When they take longer than this on average.
    Latency(Duration),
    /// Never.
    Off,
}

/// How many requests are with the instances of a service at a time, and how long the connections to
/// them are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// So many requests, or connections of TCP; any number where it is not said.
    #[serde(default)]
    pub most: Option<u32>,
    /// So many more wait for their turn.
    pub waiting: u32,
    /// For so long.
    pub wait: Duration,
    /// How long a connection waits for its next request.
    pub idle: Duration,
    /// How old one becomes at most, in use or not; any age where it is not said.
    #[serde(default)]
    pub lifetime: Option<Duration>,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            most: None,
            waiting: 100,
            wait: Duration::from_secs(1),
            idle: Duration::from_secs(30),
            lifetime: None,
        }
    }
}

/// When a request that waits for its answer is sent a second time, to another instance. The answer
/// that comes first is the one that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hedge {
    /// After which wait.
    pub after: HedgeAfter,
    /// Calls of gRPC for which that is harmless, as paths: `/package.Service/Method`, or
    /// `/package.Service/*` for all of a service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

impl Hedge {
    /// Whether it is harmless to do the call with this path twice.
    pub fn has_call(&self, path: &str) -> bool {
        self.calls.iter().any(|call| match call.strip_suffix('*') {
            Some(service) => path.starts_with(service),
            None => path == call,
        })
    }
}

/// After which wait a request is sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HedgeAfter {
    /// After this one.
    Time(Duration),
    /// After the one that so many percent of the requests of the last while did not have to wait.
    Percentile(u8),
}

/// Which requests are refused first when there are too many.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// These.
    Low,
    /// All others.
    #[default]
    Normal,
    /// These last.
    High,
}

impl Priority {
    /// All of them, the first to be refused first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }

    /// Whether it is what requests have that nothing is said of.
    pub fn is_usual(&self) -> bool {
        is_usual(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_not_written_and_the_rest_survives() {
        let usual = serde_json::to_string(&Resilience::default()).unwrap();
        assert_eq!(usual, "{}");
        let declared = Resilience {
            balance: Balance::Hash {
                key: HashKey::Header(FieldName::new("x-user").unwrap()),
                bounded: true,
            },
            overload: Overload::Latency(Duration::from_millis(250)),
            connections: Connections {
                most: Some(10),
                lifetime: Some(Duration::from_secs(600)),
                ..Connections::default()
            },
            hedge: Some(Hedge {
                after: HedgeAfter::Percentile(95),
                calls: vec!["/shop.Catalog/Get".to_owned()],
            }),
        };
        let written = serde_json::to_string(&declared).unwrap();
        assert_eq!(
            serde_json::from_str::<Resilience>(&written).unwrap(),
            declared
        );
    }

    #[test]
    fn calls_are_named_whole_or_by_their_service() {
        let hedge = Hedge {
            after: HedgeAfter::Time(Duration::from_millis(20)),
            calls: vec!["/shop.Catalog/Get".into(), "/shop.Search/*".into()],
        };
        for (path, expected) in [
            ("/shop.Catalog/Get", true),
            ("/shop.Catalog/GetAll", false),
            ("/shop.Catalog/Put", false),
            ("/shop.Search/Find", true),
            ("/shop.Searcher/Find", false),
        ] {
            assert_eq!(hedge.has_call(path), expected, "{path}");
        }
    }
}
