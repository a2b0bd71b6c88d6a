//! Decisions about endpoints: which one a request goes to, which one gets none for a while, and
//! what may be tried twice. Pure: time and chance are arguments, so that the same ones give the
//! same decisions. Who asks holds the state, `worker::Upstream` and `worker::Endpoint`.

mod average;
mod budget;
mod eject;
mod hedging;
mod limiter;
mod member;
mod pick;
mod policy;
mod random;
#[cfg(test)]
mod simulation;
mod slow_start;
mod sticky;
mod subset;
mod waiting;

pub(crate) use self::budget::Budget;
pub(crate) use self::eject::Fleet;
pub(crate) use self::hedging::Hedging;
pub(crate) use self::limiter::{Allowed, Limiter, Overloaded};
pub(crate) use self::member::Member;
pub(crate) use self::pick::{Candidates, Fitness, Load};
pub(crate) use self::policy::{Chooser, Policy};
pub(crate) use self::random::Random;
pub(crate) use self::slow_start::Entering;
pub(crate) use self::sticky::digest;
pub(crate) use self::subset::Subset;
pub(crate) use self::waiting::Since;
