//! How the instances of each release of a service have answered. It is counted where an answer
//! begins, for each attempt, and not by which instance it was: those of a release come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::UpstreamId;

use super::counters::class;
use super::histogram::Histogram;
use super::page::Page;
use super::sample::Kind;
use super::services::labels_and;
use super::totals::CLASSES;
use crate::limits::PAST_RELEASES;

/// What one release has had to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReleaseTotals {
    /// Answers that began, by the first digit of their status, 1 to 5.
    pub(crate) by_class: [u64; 5],
    /// Times from the end of a request to the head of its answer.
    pub(crate) response: Histogram,
}

/// The numbers of all releases of all services.
pub(crate) type Releases = BTreeMap<(UpstreamId, u64), ReleaseTotals>;

/// The releases of one service, as one worker counts them.
#[derive(Debug, Default)]
pub(crate) struct ReleaseCounters(Vec<(u64, ReleaseTotals)>);

impl ReleaseCounters {
    /// Requests may go to instances of these releases from now on. Numbers of those before are kept
    /// for the last few, on all workers for the same ones.
    pub(crate) fn lead_to(&mut self, releases: &BTreeSet<u64>) {
        for release in releases {
            if !self.0.iter().any(|(number, _)| number == release) {
                self.0.push((*release, ReleaseTotals::default()));
            }
        }
        self.0.sort_unstable_by_key(|(number, _)| *number);
        let past = self
            .0
            .iter()
            .filter(|(number, _)| !releases.contains(number));
        let mut surplus = past.count().saturating_sub(PAST_RELEASES);
        self.0.retain(|(number, _)| {
            let is_kept = surplus == 0 || releases.contains(number);
            surplus -= usize::from(!is_kept);
            is_kept
        });
    }

    /// An instance of `release` has begun to answer so; `took` is how long that took, where it says
    /// something.
    pub(crate) fn answered(&mut self, release: u64, status: u16, took: Option<Duration>) {
        let mut all = self.0.iter_mut();
        // One that is not there has had no instance for long, and this was one of its last requests.
        if let Some((_, totals)) = all.find(|(number, _)| *number == release) {
            totals.by_class[class(status)] += 1;
            if let Some(took) = took {
                totals.response.record(took);
            }
        }
    }

    /// The numbers now, of each release.
    pub(crate) fn read(&self) -> impl Iterator<Item = &(u64, ReleaseTotals)> {
        self.0.iter()
    }
}

impl std::ops::AddAssign<&Self> for ReleaseTotals {
    fn add_assign(&mut self, other: &Self) {
        for (total, more) in self.by_class.iter_mut().zip(other.by_class) {
            *total += more;
        }
        self.response.merge(&other.response);
    }
}

/// Writes the families of releases.
pub(super) fn write(page: &mut Page, releases: &Releases) {
    let help = "Answers of a release's instances that began, by the first digit of their status.";
    page.family("roadbed_release_responses_total", Kind::Counter, help);
    for ((id, release), totals) in releases {
        let release = release.to_string();
        for (class, count) in CLASSES.iter().zip(totals.by_class) {
            let [app, service, release] = labels_and(id, ("release", &release));
            page.sample(&[app, service, release, ("code", *class)], count);
        }
    }
    let help =
        "Time from the end of a request, as it was sent to an instance, to its answer's head.";
    page.family("roadbed_release_response_seconds", Kind::Histogram, help);
    for ((id, release), totals) in releases {
        let release = release.to_string();
        let labels = labels_and(id, ("release", &release));
        page.histogram(&labels, &totals.response);
    }
}

#[cfg(test)]
mod tests {
    use super::super::page::Form;
    use super::*;

    fn numbers(counters: &ReleaseCounters) -> Vec<u64> {
        counters.read().map(|(number, _)| *number).collect()
    }

    #[test]
    fn a_release_keeps_its_numbers_until_some_others_are_past_too() {
        let mut counters = ReleaseCounters::default();
        counters.lead_to(&[1].into());
        counters.answered(1, 200, Some(Duration::from_millis(3)));
        counters.answered(1, 503, None);
        counters.answered(9, 200, None);
        counters.lead_to(&[1, 2].into());
        counters.lead_to(&[2].into());
        let (_, totals) = counters.read().next().unwrap();
        assert_eq!(totals.by_class, [0, 1, 0, 0, 1]);
        assert_eq!(totals.response.count(), 1);
        for next in 3..50 {
            counters.lead_to(&[2, next].into());
        }
        // The second was in use all the time.
        let last: Vec<u64> = (49 - PAST_RELEASES as u64..=49).collect();
        assert_eq!(numbers(&counters), [&[2], &last[..]].concat());
    }

    #[test]
    fn each_release_has_its_answers_and_times() {
        let mut totals = ReleaseTotals {
            by_class: [0, 2, 0, 0, 1],
            ..ReleaseTotals::default()
        };
        totals.response.record(Duration::from_secs(1));
        let other = totals.clone();
        totals += &other;
        let id: UpstreamId = "shop/web".to_owned().try_into().unwrap();
        let mut page = Page::new(Form::Text);
        write(&mut page, &[((id, 7), totals)].into());
        let page = String::from_utf8(page.finish()).unwrap();
        let of = r#"{app="shop",service="web",release="7""#;
        for line in [
            format!(r#"roadbed_release_responses_total{of},code="2xx"}} 4"#),
            format!(r#"roadbed_release_response_seconds_bucket{of},le="0.512"}} 0"#),
            format!(r#"roadbed_release_response_seconds_bucket{of},le="1.024"}} 2"#),
            format!("roadbed_release_response_seconds_sum{of}}} 2"),
        ] {
            assert!(page.lines().any(|have| have == line), "{line}\n{page}");
        }
    }
}
