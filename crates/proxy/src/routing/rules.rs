//! What a rule changes in requests and their answers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{FieldChanges, PathPattern, Priority, Retries, Treatment};

use super::Asked;
use super::path_change::PathChange;
use crate::http::gateway_error::GatewayError;
use crate::http::message::{Body, RequestFacts};
use crate::mirror::Mirror;
use crate::rate_limit::Limiter;

/// What is changed in the requests of one rule.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The path that the service sees.
    pub(crate) path: Option<PathChange>,
    /// Fields of the request.
    pub(crate) request: FieldChanges,
    /// Fields of the answer.
    pub(crate) response: FieldChanges,
    /// How long a request waits for the head of its answer.
    pub(crate) timeout: Option<Duration>,
    /// How long it may take, from its head to the end of its answer.
    pub(crate) deadline: Option<Duration>,
    /// The longest silence within content.
    pub(crate) idle: Option<Duration>,
    /// How often it may be tried again.
    pub(crate) retries: Retries,
    /// How many bytes the content of a request may have.
    pub(crate) body_limit: u64,
    /// Which requests are let through.
    limiter: Option<Arc<Limiter>>,
    /// Which are copied.
    pub(crate) mirror: Option<Mirror>,
    /// Which requests are refused first when there are too many.
    pub(crate) priority: Priority,
    /// Answers are compressed for clients that take that.
    pub(crate) compress: bool,
    /// Answers have fields that make browsers careful.
    pub(crate) security: bool,
}

impl Rules {
    /// The changes of a rule for `path`, where it has any.
    pub(crate) fn of(
        path: &PathPattern,
        treatment: &Treatment,
        (limiter, mirror): (Option<Arc<Limiter>>, Option<Mirror>),
    ) -> Option<Self> {
        let rewrite = treatment.rewrite.as_ref();
        let is_plain = *treatment == Treatment::default() && mirror.is_none();
        (!is_plain).then(|| Self {
            path: rewrite.map(|change| PathChange::of(path, change)),
            request: treatment.request_headers.clone(),
            response: treatment.response_headers.clone(),
            timeout: treatment.timeout,
            deadline: treatment.deadline,
            idle: treatment.idle_timeout,
            retries: treatment.retries,
            body_limit: treatment.body_limit.unwrap_or(u64::MAX),
            limiter,
            mirror,
            priority: treatment.priority,
            compress: treatment.compress,
            security: treatment.security_headers,
        })
    }

    /// Why a request of `peer` is refused before any of its content has come, where it is. One of
    /// too much content is one of the rate.
    pub(crate) fn refusal(
        &self,
        asked: &dyn Asked,
        peer: IpAddr,
        body: Body,
    ) -> Option<GatewayError> {
        if let Some(limiter) = &self.limiter
            && let Err(seconds) = limiter.admit(asked, peer)
        {
            return Some(GatewayError::RateLimited(seconds));
        }
        let is_too_large = matches!(body, Body::Length(length) if length > self.body_limit);
        is_too_large.then_some(GatewayError::BodyTooLarge)
    }
}

/// How much content a request may have by these rules; what follows an upgrade is not content.
pub(crate) fn body_limit(rules: Option<&Rules>, facts: RequestFacts) -> u64 {
    match rules {
        Some(rules) if !facts.upgrade => rules.body_limit,
        _ => u64::MAX,
    }
}

/// Which of them are refused first when there are too many.
pub(crate) fn priority(rules: Option<&Rules>) -> Priority {
    rules.map_or_else(Priority::default, |rules| rules.priority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PathPrefix;

    #[test]
    fn a_rule_that_changes_nothing_costs_nothing() {
        let path = PathPattern::Prefix(PathPrefix::root());
        assert!(Rules::of(&path, &Treatment::default(), (None, None)).is_none());
    }
}
