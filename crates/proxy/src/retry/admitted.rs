//! How a request is let in, and from when on it counts among those that wait.

use std::time::Instant;

use model::Priority;

use super::Tries;
#[cfg(test)]
use crate::http::gateway_error::GatewayError;
use crate::http::phases::NoAnswer;
use crate::upstream::{Place, Upstream};

impl Tries {
    /// The request may wait for an answer of `upstream`, and go to an instance as soon as it is its
    /// turn; or there are too many, or its client is `gone` while it waits.
    pub(crate) async fn admit(
        &mut self,
        upstream: &Upstream,
        priority: Priority,
        gone: impl AsyncFnOnce(),
    ) -> Result<(), NoAnswer> {
        let now = Instant::now();
        let place = upstream.admit(priority, now).map_err(NoAnswer::Failed)?;
        self.take(place, now);
        self.pass = upstream.enter(gone).await?;
        Ok(())
    }

    /// The same of a request in simulated time, which does not wait for its turn.
    #[cfg(test)]
    pub(crate) fn admit_at(
        &self,
        upstream: &Upstream,
        priority: Priority,
        now: Instant,
    ) -> Result<(), GatewayError> {
        self.take(upstream.admit(priority, now)?, now);
        Ok(())
    }

    fn take(&self, place: Option<Place>, now: Instant) {
        if let Some(place) = &place
            && !self.has_content
        {
            place.is_whole(now);
        }
        self.place.replace(place);
    }

    /// All of it has been sent, with its content.
    pub(crate) fn is_whole(&self) {
        if let Some(place) = &*self.place.borrow()
            && self.has_content
        {
            place.is_whole(Instant::now());
        }
    }
}
