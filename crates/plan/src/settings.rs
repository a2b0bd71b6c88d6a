//! The planner's own numbers, in one place.

use std::time::Duration;

/// How many instances beyond `replicas` a service may have while its instances are replaced.
pub(crate) const SURGE: usize = 1;

/// How many instances of one app may be starting at once, so that a machine of few cores is not
/// asked to start hundreds of runtimes in the same second.
pub(crate) const MOST_STARTING: usize = 32;

/// How long a service waits for the services that it uses before it is started anyway: a
/// dependency that is down must not keep its callers from starting.
pub(crate) const START_ORDER_LIMIT: Duration = Duration::from_secs(10);

/// Unasked ends in a row after which an instance of a new release fails its rollout.
pub(crate) const ROLLOUT_STREAK: u32 = 3;

/// Unasked ends in a row from which on users are told of a crash loop.
pub(crate) const CRASH_LOOP_STREAK: u32 = 5;

/// How long an instance must have been ready for its next end not to count as one in a row.
pub(crate) const STABLE: Duration = Duration::from_secs(30);

/// How long a rollout waits for a proxy to connect before it is given up. The server starts its own
/// again and again, so after so long something is broken for good.
pub(crate) const PROXY_LIMIT: Duration = Duration::from_secs(30);

/// How long a listener of a rollout may be one that cannot be opened before it is given up. Long
/// enough for a process that is just leaving to free the port.
pub(crate) const LISTENER_LIMIT: Duration = Duration::from_secs(3);
