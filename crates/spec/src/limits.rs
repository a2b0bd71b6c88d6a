//! Every bound and default of the file, in one place. `docs/spec.md` repeats them for readers.

use std::time::Duration;

/// The least and the most that a key takes, and what stands when it is absent.
pub(crate) struct Bounds<T> {
    pub(crate) least: T,
    pub(crate) most: T,
    pub(crate) usual: T,
}

const fn millis(least: u64, most: u64, usual: u64) -> Bounds<Duration> {
    Bounds {
        least: Duration::from_millis(least),
        most: Duration::from_millis(most),
        usual: Duration::from_millis(usual),
    }
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The largest file that is read, in bytes.
pub(crate) const MOST_BYTES: u64 = 1024 * 1024;
/// How many problems are reported in one run.
pub(crate) const MOST_PROBLEMS: usize = 100;
/// How many services one app may have.
pub(crate) const MOST_SERVICES: usize = 1_000;
/// Paths that an app has packed whatever `.gitignore` says.
pub(crate) const MOST_INCLUDED: usize = 100;
/// How many routes one app may have.
pub(crate) const MOST_ROUTES: usize = 1_000;
/// How many of them may have the same host, path and number of conditions: such are asked one by
/// one.
pub(crate) const MOST_ROUTES_OF_A_PLACE: usize = 64;
/// How many conditions of one kind a route may have.
pub(crate) const MOST_CONDITIONS: usize = 16;
/// The longest name of what a condition is about, in bytes.
pub(crate) const LONGEST_CONDITION: usize = 200;
/// The longest path of a health probe, in bytes.
pub(crate) const LONGEST_PROBE_PATH: usize = 1_024;

/// The longest name of a gRPC service that a probe asks about, in bytes.
pub(crate) const LONGEST_PROBE_SERVICE: usize = 200;

/// `static.cache_control`: browsers ask each time whether what they have is still good.
pub(crate) const CACHE_CONTROL: &str = "no-cache";
/// `replicas`
pub(crate) const REPLICAS: Bounds<u16> = Bounds {
    least: 1,
    most: 100,
    usual: 1,
};
/// How many fields of one kind a route may change.
pub(crate) const MOST_CHANGES: usize = 16;
/// The statuses of redirects.
pub(crate) const REDIRECTS: [u16; 4] = [301, 302, 307, 308];
/// The longest content of a request that `body_limit` can allow, in bytes.
pub(crate) const MOST_BODY: u64 = 1 << 40;
/// The rule of `size::parse`, for editors.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]+([KMG]i)?B$";
/// The most requests of a rate, and the largest burst.
pub(crate) const MOST_REQUESTS: u32 = model::rate_limit::MOST_REQUESTS;
/// The periods of rates, the default first.
pub(crate) const PERIODS: [&str; 3] = ["second", "minute", "hour"];
/// Whose requests are counted together, the default first.
pub(crate) const CALLERS: [&str; 2] = ["address", "route"];
/// `mirror.percent`
pub(crate) const PERCENT: Bounds<u16> = Bounds {
    least: 1,
    most: 100,
    usual: 100,
};
/// The longest content of a request that `mirror.body_limit` can have copied, in bytes.
pub(crate) const MOST_MIRRORED_BODY: u64 = model::mirror::MOST_MIRRORED_BODY as u64;
/// How many routes of an app may have a limit of rates: each may take 1 MiB of the proxy's memory.
pub(crate) const MOST_RATE_LIMITS: usize = 100;
/// `weight` of a service among others
pub(crate) const WEIGHT: Bounds<u16> = Bounds {
    least: 0,
    most: 1_000,
    usual: 1,
};
/// `timeout` of a service
pub(crate) const TIMEOUT: Bounds<Duration> = millis(10, HOUR, 30 * SECOND);
/// `deadline` and `idle_timeout` of a route; without them there is none, and the proxy's own
pub(crate) const WHOLE: Bounds<Duration> = millis(10, 24 * HOUR, 0);
/// `retries` of a route
pub(crate) const RETRIES: Bounds<u16> = Bounds {
    least: 0,
    most: model::retries::MOST_RETRIES as u16,
    usual: 1,
};
/// What `retry_on` names.
pub(crate) const RETRIED: [&str; 2] = ["reset", "status"];
/// `drain`
pub(crate) const DRAIN: Bounds<Duration> = millis(0, HOUR, 30 * SECOND);
/// `health.interval`
pub(crate) const HEALTH_INTERVAL: Bounds<Duration> = millis(100, HOUR, 5 * SECOND);
/// `health.timeout`
pub(crate) const HEALTH_TIMEOUT: Bounds<Duration> = millis(10, 5 * MINUTE, 2 * SECOND);
/// `health.failures`
pub(crate) const HEALTH_FAILURES: Bounds<u16> = Bounds {
    least: 1,
    most: 100,
    usual: 3,
};
/// `health.deadline`
pub(crate) const HEALTH_DEADLINE: Bounds<Duration> = millis(SECOND, HOUR, 30 * SECOND);

/// `overload.latency` of a service; what takes longer than 10 s is no usual answer.
pub(crate) const OVERLOAD_LATENCY: Bounds<Duration> = millis(1, 10 * SECOND, SECOND);

/// `hedge.after` of a service, as a duration
pub(crate) const HEDGE_AFTER: Bounds<Duration> = millis(1, MINUTE, 50);
/// The same as a percentile. One that is lower would send most requests twice.
pub(crate) const HEDGE_PERCENTILES: std::ops::RangeInclusive<u8> = 50..=99;
/// `hedge.calls`
pub(crate) const HEDGE_CALLS: usize = 64;
/// The rule for `hedge.after`, for editors.
pub(crate) const HEDGE_PATTERN: &str =
    "^(p[5-9][0-9]|(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$";

/// `connections.most` of a service
pub(crate) const CONNECTIONS: Bounds<u16> = Bounds {
    least: 1,
    most: 60_000,
    usual: 60_000,
};
/// `connections.waiting`
pub(crate) const WAITING: Bounds<u16> = Bounds {
    least: 0,
    most: 60_000,
    usual: 100,
};
/// `connections.wait`
pub(crate) const CONNECTION_WAIT: Bounds<Duration> = millis(1, 5 * MINUTE, SECOND);
/// `connections.idle`
pub(crate) const CONNECTION_IDLE: Bounds<Duration> = millis(0, HOUR, 30 * SECOND);
/// `connections.lifetime`
pub(crate) const CONNECTION_LIFETIME: Bounds<Duration> = millis(SECOND, 24 * HOUR, HOUR);

/// The ways to choose an instance that have a name, the default first.
pub(crate) const BALANCES: [&str; 3] = ["least-latency", "least-connections", "round-robin"];

/// The priorities of a route, the first to be refused first.
pub(crate) const PRIORITIES: [&str; 3] = ["low", "normal", "high"];

/// The protocols of this version, the default first.
pub(crate) const PROTOCOLS: [&str; 4] = ["http", "http2", "grpc", "tcp"];

/// The rule of `model::names` for editors; `validate` asks the model itself.
pub(crate) const NAME_PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";
/// The longest name, for editors.
pub(crate) const LONGEST_NAME: usize = model::names::LONGEST_NAME;
/// The rule for names of environment variables.
pub(crate) const VARIABLE_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";
/// The rule of `duration::parse`, for editors.
pub(crate) const DURATION_PATTERN: &str = "^(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
