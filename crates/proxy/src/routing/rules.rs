//! What a rule changes in requests and their answers.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{ErrorPages, FieldChanges, PageText, PathPattern, Priority, Retries, Treatment};

use super::Asked;
use super::path_change::PathChange;
use crate::http::gateway_error::GatewayError;
use crate::http::manner::Manner;
use crate::http::message::{Body, RequestFacts};
use crate::http::request_id::RequestId;
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
    /// What is shown in place of errors.
    pub(crate) pages: Option<Pages>,
    /// Some of that stands in place of answers of services.
    pub(crate) replaces_answers: bool,
}

/// What some routes of an app show in place of errors.
pub(crate) type Pages = Rc<ErrorPages<PageText>>;

impl Rules {
    /// The changes of a rule for `path`, where it has any.
    pub(crate) fn of(
        path: &PathPattern,
        treatment: &Treatment,
        (limiter, mirror): (Option<Arc<Limiter>>, Option<Mirror>),
        pages: Option<Pages>,
    ) -> Option<Self> {
        let rewrite = treatment.rewrite.as_ref();
        let is_plain = *treatment == Treatment::default() && mirror.is_none() && pages.is_none();
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
            replaces_answers: pages.as_ref().is_some_and(|pages| pages.replace_answers()),
            pages,
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

/// The manner of an answer of the proxy itself to a request of these rules, which is called `id` and
/// came in TLS or not.
pub(crate) fn manner<'a>(
    rules: Option<&'a Rules>,
    id: Option<&'a RequestId>,
    is_secure: bool,
) -> Manner<'a> {
    Manner {
        id,
        careful: rules
            .filter(|rules| rules.security)
            .map(|rules| &rules.response),
        pages: rules.and_then(|rules| rules.pages.as_deref()),
        is_secure,
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
        assert!(Rules::of(&path, &Treatment::default(), (None, None), None).is_none());
    }
}
