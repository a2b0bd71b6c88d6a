//! What `roadbed top` sees when it looks at the server.

use std::time::Instant;

use control::requests::Requests;

use crate::api_client::ApiClient;
use crate::failure::Failure;

/// What became of requests until a moment.
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) requests: Requests,
}

/// Looks at what became of requests until now.
pub(super) async fn look(client: &ApiClient) -> Result<Look, Failure> {
    let requests = client.get("/v1/requests").await?;
    Ok(Look {
        at: Instant::now(),
        requests,
    })
}
