//! The words of the project as types: names, the validated app, what is desired, what is
//! observed, and the snapshot that a proxy serves from.
//!
//! Nothing here does IO, reads a clock or knows a file format. A value of these types is valid:
//! whoever builds one (the spec, the store, the wire) goes through a checked constructor.

pub mod app;
pub mod command;
pub mod credentials;
pub mod desired;
pub mod digest;
pub mod error_pages;
pub mod fields;
pub mod file_path;
pub mod host;
pub mod instance;
pub mod mirror;
pub mod names;
pub mod network;
pub mod observed;
pub mod paths;
pub mod plan;
pub mod rate_limit;
pub mod resilience;
pub mod retries;
pub mod routing;
pub mod secret;
pub mod snapshot;
pub mod static_files;
pub mod telemetry;
pub mod time;
pub mod treatment;

pub use app::{App, CertificateFiles, Exposure, Health, Probe, Protocol, Service, ServiceTls};
pub use command::Command;
pub use credentials::Credentials;
pub use desired::{
    Changes, Desired, Ended, Failure, Intent, Release, ReleaseFiles, Rollout, RolloutState,
};
pub use digest::{BadDigest, Digest};
pub use error_pages::{BadErrorStatus, ErrorPage, ErrorPages, ErrorStatus, PageText};
pub use fields::{BadFieldName, BadFieldValue, FieldName, FieldValue};
pub use file_path::{BadFilePath, FilePath};
pub use host::Host;
pub use instance::{Exit, ExitCause, InstanceId};
pub use mirror::{BadMirror, Mirror, MirroredBody, Percent};
pub use names::{AppName, NameError, ServiceName, VolumeName};
pub use network::{BadNetwork, Network, TrustedHops};
pub use observed::{
    Asked, Hold, InstanceRecord, ListenerFailure, ObservedApp, ObservedInstance, Phase, ProbeState,
    ProcessState,
};
pub use paths::{BadTemplate, ExactPath, PathPrefix, Segment, Template};
pub use plan::{Plan, Step, Wait};
pub use rate_limit::{Caller, Period, RateLimit, RequestCount};
pub use resilience::{
    Balance, Connections, HashKey, Hedge, HedgeAfter, Overload, Priority, Resilience,
};
pub use retries::{BadRetryCount, Retries, RetryCount};
pub use routing::{
    Action, BadHostPattern, HostPattern, Matching, Method, PathPattern, Rule, Share, Test,
};
pub use secret::Secret;
pub use snapshot::{
    Authority, AuthorityId, Certificate, CertificateId, Endpoint, EndpointTls, Generation,
    Listener, ListenerId, ListenerRole, Route, Snapshot, SnapshotDelta, StaleGeneration, Upstream,
    UpstreamId,
};
pub use static_files::{ServedFiles, StaticFiles, Work};
pub use telemetry::{AccessLog, Collector, SampledShare, Telemetry, Tracing};
pub use time::Timestamp;
pub use treatment::{FieldChanges, PathChange, Redirect, RedirectStatus, Treatment};
