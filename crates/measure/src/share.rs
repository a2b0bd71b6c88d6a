//! Which part of all requests the candidate gets.

use serde::{Deserialize, Serialize};

/// The part of requests that the candidate gets, each by an independent draw. Both arms get some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Weights", into = "Weights")]
pub struct Share {
    candidate: u32,
    baseline: u32,
}

/// An arm that gets no request cannot be compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("both arms of a comparison need a weight above 0")]
pub struct OneArm;

impl Share {
    /// Half of all requests for each arm. So it is with copies too, where both get every request.
    pub const EVEN: Self = Self {
        candidate: 1,
        baseline: 1,
    };

    /// The share that follows from the weights of a route.
    ///
    /// # Errors
    ///
    /// One of the weights is 0.
    pub fn of_weights(candidate: u32, baseline: u32) -> Result<Self, OneArm> {
        if candidate == 0 || baseline == 0 {
            return Err(OneArm);
        }
        // The same share is equal, however it is written.
        let divisor = greatest_common_divisor(candidate, baseline);
        Ok(Self {
            candidate: candidate / divisor,
            baseline: baseline / divisor,
        })
    }

    /// The candidate's part, above 0 and below 1.
    pub fn of_candidate(self) -> f64 {
        f64::from(self.candidate) / (f64::from(self.candidate) + f64::from(self.baseline))
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// A share as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weights {
    candidate: u32,
    baseline: u32,
}

impl From<Share> for Weights {
    fn from(share: Share) -> Self {
        Self {
            candidate: share.candidate,
            baseline: share.baseline,
        }
    }
}

impl TryFrom<Weights> for Share {
    type Error = OneArm;

    fn try_from(weights: Weights) -> Result<Self, OneArm> {
        Self::of_weights(weights.candidate, weights.baseline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_the_same_however_it_is_written() {
        let share = Share::of_weights(5, 95).unwrap();
        assert_eq!(share, Share::of_weights(50, 950).unwrap());
        assert_eq!(share.of_candidate(), 0.05);
        assert_eq!(Share::of_weights(7, 7), Ok(Share::EVEN));
        let sent = serde_json::to_string(&share).unwrap();
        assert_eq!(serde_json::from_str::<Share>(&sent).unwrap(), share);
    }

    #[test]
    fn an_arm_without_requests_is_refused() {
        assert_eq!(Share::of_weights(0, 1), Err(OneArm));
        assert_eq!(Share::of_weights(1, 0), Err(OneArm));
        let none = serde_json::from_str::<Share>(r#"{"candidate":0,"baseline":1}"#);
        assert!(none.is_err());
        let most = Share::of_weights(u32::MAX, 1).unwrap();
        assert!(most.of_candidate() < 1.0);
    }
}
