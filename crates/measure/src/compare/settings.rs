//! What is declared of a comparison.

use serde::{Deserialize, Serialize};

/// What is declared of a comparison. [`Default`] is for canaries of services in general.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Declared", into = "Declared")]
pub struct Settings {
    declared: Declared,
}

/// How much slower the candidate may be and still be NOT-WORSE: 0.1 is 10 %. A quantile without a
/// margin is watched for WORSE and need not be shown to be NOT-WORSE.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margins {
    /// Of the median.
    pub p50: Option<f64>,
    /// Of what 1 request in 10 exceeds.
    pub p90: Option<f64>,
    /// Of what 1 request in 100 exceeds.
    pub p99: Option<f64>,
    /// Of what 1 request in 1,000 exceeds.
    pub p999: Option<f64>,
    /// Of errors, as a part of all requests: 0.005 is one more in 200.
    pub errors: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    alpha: f64,
    margins: Margins,
    least_requests: u64,
}

/// A setting with which no comparison would say anything.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum UnsoundSetting {
    /// The chance of a false verdict.
    #[error("the chance of a false verdict has to be between 0.000001 and 0.2, and is {0}")]
    Alpha(f64),
    /// The margin of a latency.
    #[error("a margin of latency has to be between 0.02 and 4 (2 % and 400 %), and is {0}")]
    Margin(f64),
    /// The margin of errors.
    #[error("the margin of errors has to be between 0.0001 and 0.5 of all requests, and is {0}")]
    ErrorMargin(f64),
    /// No quantile has a margin.
    #[error("no quantile has a margin, so NOT-WORSE would say nothing of latency")]
    NoMargin,
    /// How many requests there have to be.
    #[error("each arm needs at least one request for a verdict")]
    NoRequests,
}

impl Settings {
    /// Settings that were checked: the chance of a false verdict, the margins, and how many requests
    /// of each arm have to end before there is anything to say for the candidate.
    ///
    /// # Errors
    ///
    /// What no comparison can do with.
    pub fn new(alpha: f64, margins: Margins, least_requests: u64) -> Result<Self, UnsoundSetting> {
        if !(1e-6..=0.2).contains(&alpha) {
            return Err(UnsoundSetting::Alpha(alpha));
        }
        let latencies = margins.latencies();
        let is_sound = |margin: &f64| (0.02..=4.0).contains(margin);
        if let Some(margin) = latencies.into_iter().flatten().find(|m| !is_sound(m)) {
            return Err(UnsoundSetting::Margin(margin));
        }
        if latencies.iter().all(Option::is_none) {
            return Err(UnsoundSetting::NoMargin);
        }
        if !(0.0001..=0.5).contains(&margins.errors) {
            return Err(UnsoundSetting::ErrorMargin(margins.errors));
        }
        if least_requests == 0 {
            return Err(UnsoundSetting::NoRequests);
        }
        let declared = Declared {
            alpha,
            margins,
            least_requests,
        };
        Ok(Self { declared })
    }

    /// The chance of a false verdict, of each kind.
    pub fn alpha(&self) -> f64 {
        self.declared.alpha
    }

    /// How much worse is not worse.
    pub fn margins(&self) -> Margins {
        self.declared.margins
    }

    /// How many requests of each arm have to end.
    pub fn least_requests(&self) -> u64 {
        self.declared.least_requests
    }

    /// The logarithm of the evidence that a verdict needs.
    pub(super) fn log_needed(&self) -> f64 {
        -self.alpha().ln()
    }
}

impl Margins {
    /// Those of quantiles, in the order of the quantiles.
    pub(super) fn latencies(&self) -> [Option<f64>; 4] {
        [self.p50, self.p90, self.p99, self.p999]
    }
}

impl Default for Margins {
    fn default() -> Self {
        Self {
            p50: Some(0.1),
            p90: Some(0.1),
            p99: Some(0.25),
            p999: None,
            errors: 0.005,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let declared = Declared {
            alpha: 0.01,
            margins: Margins::default(),
            least_requests: 100,
        };
        Self { declared }
    }
}

impl From<Settings> for Declared {
    fn from(settings: Settings) -> Self {
        settings.declared
    }
}

impl TryFrom<Declared> for Settings {
    type Error = UnsoundSetting;

    fn try_from(declared: Declared) -> Result<Self, UnsoundSetting> {
        Self::new(declared.alpha, declared.margins, declared.least_requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        let Declared {
            alpha,
            margins,
            least_requests,
        } = Settings::default().into();
        assert_eq!(
            Settings::new(alpha, margins, least_requests),
            Ok(Settings::default())
        );
        let sent = serde_json::to_string(&Settings::default()).unwrap();
        let read: Settings = serde_json::from_str(&sent).unwrap();
        assert_eq!(read, Settings::default());
    }

    #[test]
    fn what_says_nothing_is_refused() {
        let margins = Margins::default();
        for alpha in [0.0, -1.0, 0.5, f64::NAN] {
            assert!(Settings::new(alpha, margins, 1).is_err(), "{alpha}");
        }
        for margin in [0.0, -0.1, 5.0, f64::NAN] {
            let p90 = Some(margin);
            let of_latency = Margins { p90, ..margins };
            assert!(Settings::new(0.05, of_latency, 1).is_err(), "{margin}");
            let of_errors = Margins {
                errors: margin,
                ..margins
            };
            assert!(Settings::new(0.05, of_errors, 1).is_err(), "{margin}");
        }
        let none = Margins {
            p50: None,
            p90: None,
            p99: None,
            ..margins
        };
        assert_eq!(Settings::new(0.05, none, 1), Err(UnsoundSetting::NoMargin));
        assert_eq!(
            Settings::new(0.05, margins, 0),
            Err(UnsoundSetting::NoRequests)
        );
    }
}
