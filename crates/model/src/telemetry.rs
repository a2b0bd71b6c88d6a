//! What proxies say of single requests, besides counting them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What proxies say of single requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Of which requests there is a line in the access log.
    #[serde(default)]
    pub access_log: AccessLog,
    /// How traces are followed; none where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

impl Telemetry {
    /// Whether nothing is said.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

/// Of which requests there is a line in the access log. Written `off`, `errors`, `all` or as a
/// share, such as `5%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AccessLog {
    /// Of none.
    #[default]
    Off,
    /// Of those that failed, were refused by the proxy, or got no whole answer.
    Errors,
    /// Of this share of all, whatever became of them.
    Sampled(SampledShare),
}

/// A share of requests that is chosen at random, of at least one in a million. Written in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SampledShare {
    /// Requests out of a million.
    millionths: u32,
}

/// A text says no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a share is a number of percent from 0.0001% to 100%, such as 5% or 0.1%")]
pub struct BadShare;

/// A text is no setting of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access log is off, errors, all, or a share of requests such as 5%")]
pub struct BadAccessLog;

const MILLION: u32 = 1_000_000;

impl SampledShare {
    /// All requests.
    pub const ALL: Self = Self {
        millionths: MILLION,
    };

    /// Whether a request is chosen for which `random` was drawn, each number as likely as others.
    pub fn takes(self, random: u32) -> bool {
        (u64::from(random) * u64::from(MILLION)) >> 32 < u64::from(self.millionths)
    }
}

impl FromStr for SampledShare {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let number = text.strip_suffix('%').ok_or(BadShare)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_digits = !whole.is_empty() && whole.len() <= 3 && fraction.len() <= 4;
        if !has_digits || !is_digits(whole) || !is_digits(fraction) || number.ends_with('.') {
            return Err(BadShare);
        }
        // Four digits behind the point are millionths.
        let digits = format!("{whole}{fraction:0<4}");
        match digits.parse() {
            Ok(millionths @ 1..=MILLION) => Ok(Self { millionths }),
            _ => Err(BadShare),
        }
    }
}

impl fmt::Display for SampledShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.millionths / 10_000, self.millionths % 10_000);
        match format!("{fraction:04}").trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            fraction => write!(f, "{whole}.{fraction}%"),
        }
    }
}

impl FromStr for AccessLog {
    type Err = BadAccessLog;

    fn from_str(text: &str) -> Result<Self, BadAccessLog> {
        match text {
            "off" => Ok(Self::Off),
            "errors" => Ok(Self::Errors),
            "all" => Ok(Self::Sampled(SampledShare::ALL)),
            share => share.parse().map(Self::Sampled).map_err(|_| BadAccessLog),
        }
    }
}

impl fmt::Display for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Errors => f.write_str("errors"),
            Self::Sampled(SampledShare::ALL) => f.write_str("all"),
            Self::Sampled(share) => share.fmt(f),
        }
    }
}

/// How traces are followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracing {
    /// Where spans are sent.
    pub collector: Collector,
    /// Which of the traces that begin here are sampled.
    pub share: SampledShare,
}

/// Written as it is shown: where spans are sent, and which share of traces is sampled.
impl fmt::Display for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of traces to {}", self.share, self.collector)
    }
}

/// Where spans are sent by OTLP over HTTP. Written `http://ADDRESS:PORT`, with a path where that is
/// not `/v1/traces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Collector {
    /// Where it listens.
    pub address: SocketAddr,
    path: String,
}

/// A text is no collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a collector is http://ADDRESS:PORT with an IP address, such as http://127.0.0.1:4318; for one \
     elsewhere in TLS, run one on this machine that passes on to it"
)]
pub struct BadCollector;

/// The longest path of a collector, in bytes.
const PATH_BYTES: usize = 255;

impl Collector {
    /// Where spans are posted to.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Collector {
    type Err = BadCollector;

    fn from_str(text: &str) -> Result<Self, BadCollector> {
        let rest = text.strip_prefix("http://").ok_or(BadCollector)?;
        let (address, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = match path {
            "" | "/" => "/v1/traces",
            path => path,
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let address: SocketAddr = address.parse().map_err(|_| BadCollector)?;
        if path.len() > PATH_BYTES || !path.bytes().all(is_plain) || address.port() == 0 {
            return Err(BadCollector);
        }
        Ok(Self {
            address,
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

/// Has a type written as its text on the wire.
macro_rules! as_text {
    ($($type:ty: $error:ty),+) => {$(
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )+};
}

as_text!(AccessLog: BadAccessLog, SampledShare: BadShare, Collector: BadCollector);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_percent() {
        for (text, millionths) in [
            ("100%", MILLION),
            ("5%", 50_000),
            ("0.1%", 1_000),
            ("0.0001%", 1),
            ("012.50%", 125_000),
        ] {
            let share: SampledShare = text.parse().unwrap();
            assert_eq!(share.millionths, millionths, "{text}");
        }
        for text in [
            "",
            "%",
            "5",
            "0%",
            "0.00001%",
            "100.0001%",
            "101%",
            "-1%",
            "+1%",
            "1.%",
            ".5%",
            "1e1%",
            " 5%",
            "5 %",
            "1000%",
        ] {
            assert_eq!(text.parse::<SampledShare>(), Err(BadShare), "{text:?}");
        }
    }

    #[test]
    fn all_are_taken_and_the_least_share_takes_few() {
        assert!(SampledShare::ALL.takes(0) && SampledShare::ALL.takes(u32::MAX));
        let least: SampledShare = "0.0001%".parse().unwrap();
        assert!(least.takes(0) && least.takes(4_294) && !least.takes(4_295));
    }

    #[test]
    fn a_collector_is_an_address_and_a_path() {
        let collector: Collector = "http://127.0.0.1:4318".parse().unwrap();
        assert_eq!(collector.path(), "/v1/traces");
        let collector: Collector = "http://[::1]:9/a/b".parse().unwrap();
        assert_eq!(collector.to_string(), "http://[::1]:9/a/b");
        for text in [
            "127.0.0.1:4318",
            "https://127.0.0.1:4318",
            "http://localhost:4318",
            "http://127.0.0.1",
            "http://127.0.0.1:0",
            "http://127.0.0.1:4318/a b",
            "http://127.0.0.1:4318/\r\nx",
            "http://127.0.0.1:4318?x",
        ] {
            assert_eq!(text.parse::<Collector>(), Err(BadCollector), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_setting_reads_back_as_written(millionths in 1..=MILLION) {
            let log = AccessLog::Sampled(SampledShare { millionths });
            prop_assert_eq!(log.to_string().parse(), Ok(log));
            let json = serde_json::to_string(&log).unwrap();
            prop_assert_eq!(serde_json::from_str::<AccessLog>(&json).unwrap(), log);
        }

        #[test]
        fn any_text_is_a_setting_or_refused(text in "\\PC{0,12}") {
            if let Ok(log) = text.parse::<AccessLog>() {
                prop_assert_eq!(log.to_string().parse(), Ok(log));
            }
            if let Ok(collector) = text.parse::<Collector>() {
                prop_assert_eq!(collector.to_string().parse(), Ok(collector));
            }
        }
    }
}
