//! Whether one of two arms that share requests, the candidate, is worse than the other, the
//! baseline: a sequential comparison that may be watched and stopped at any time.
//!
//! Workers of a proxy count requests by arm in a [`Batch`] for each short interval and each
//! [`Share`](crate::Share). What they hand over is merged and given to a [`Comparison`], whose
//! [`Judgement`] says WORSE, NOT-WORSE, UNDECIDED or NO-DATA, in numbers. It has counts and no
//! clock: what time it is, and how long an interval was, changes nothing.
//!
//! What holds, with the declared α, however often somebody looks and whatever load does meanwhile:
//!
//! - If the arm of a request changes nothing, it is WORSE with a probability of at most α, ever.
//! - If the candidate is beyond a margin, it is NOT-WORSE with a probability of at most α, ever.
//!
//! It rests on two things. The arm of each request is drawn independently with the share that its
//! batch says. And thresholds are quantiles of *earlier* batches, both arms together, so a batch is
//! judged by what was fixed before it; within a batch there is no order and none is needed.

mod arms;
mod batch;
mod comparison;
mod evidence;
mod judgement;
mod lanes;
mod plot;
mod sentence;
mod settings;
mod table;

pub use arms::{Arms, Names};
pub use batch::{ArmBatch, Batch, Latencies};
pub use comparison::{Comparison, MOST_SHARES};
pub use judgement::{ArmTotals, Found, Interval, Judgement, LaneJudgement, Reason, Verdict};
pub use lanes::Lane;
pub use plot::svg;
pub use sentence::sentence;
pub use settings::{Margins, Settings, UnsoundSetting};
pub use table::table;
