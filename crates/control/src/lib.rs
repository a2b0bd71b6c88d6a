//! The server: keeps what is desired in the store, watches instances and proxies, and brings the
//! one to the other. Drivers and API meet only in the store and in the published status.

mod api;
mod clock;
mod credentials;
mod error_pages;
mod home;
mod instances;
pub mod ports;
mod proxies;
mod reconcile;
mod releases;
mod remembered;
pub mod requests;
mod server;
mod settings;
mod state;
pub mod status;
mod trusted;

pub use api::{
    ApiError, CancelAnswer, DeployAnswer, DeployRequest, KeyChange, MissingAnswer, MissingRequest,
    PathChange, PathContent, PlanAnswer, ReleaseChanges, ReleaseDifference, ReleaseList,
    ReleaseState, ReleaseStatus, RollbackAnswer, RollbackRequest, RoutePlan, ServicePlan,
    ShutdownRequest, file_obstacle, openapi_json,
};
pub use home::{Home, HomeError, HomeLock};
pub use plan::routes::EdgeAddresses;
pub use releases::KeptReleases;
pub use server::{StartError, run};
pub use settings::{DEFAULT_EDGE, DEFAULT_METRICS, LOG_FILTER_VARIABLE, Settings, usual_edge_tls};
