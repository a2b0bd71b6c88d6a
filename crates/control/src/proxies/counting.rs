//! Asking the proxies what became of requests. It goes past the reconciler, whose work does not
//! depend on the numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use model::UpstreamId;
use proxy::protocol::{Counts, MetricsListener};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

/// How long proxies may take to answer. Of one that takes longer, what it said before is shown.
const LONGEST_ANSWER: Duration = Duration::from_millis(500);

/// The questions and what each connected proxy has answered.
pub(crate) struct Counting {
    /// The number of the newest question, which links put to their proxies.
    asked: watch::Sender<u64>,
    /// Held while a question is open: there is one at a time.
    turn: Mutex<()>,
    links: watch::Sender<BTreeMap<u64, Answer>>,
}

/// What one proxy last answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// To which question; 0 before any.
    pub(super) question: u64,
    pub(super) upstreams: BTreeMap<UpstreamId, Counts>,
    pub(super) connections: u64,
    /// Where it shows what it measures.
    pub(super) metrics: Option<MetricsListener>,
}

/// What all proxies together counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) upstreams: BTreeMap<UpstreamId, Counts>,
    /// How many connections clients have open; none where no proxy has answered.
    pub(crate) connections: Option<u64>,
    /// Where the proxies show what they measure.
    pub(crate) metrics: Vec<MetricsListener>,
}

impl Counting {
    pub(super) fn new() -> Self {
        Self {
            asked: watch::channel(0).0,
            turn: Mutex::default(),
            links: watch::channel(BTreeMap::new()).0,
        }
    }

    /// Asks all proxies, and returns what they say of a moment after this call. Whoever asks while
    /// a question is open shares the next one with all others who do.
    pub(crate) async fn ask(&self) -> Counted {
        let before = *self.asked.borrow();
        let turn = self.turn.lock().await;
        // A question that was put after this call is answered by now, or its time is over.
        if *self.asked.borrow() == before {
            let question = before + 1;
            let mut links = self.links.subscribe();
            self.asked.send_replace(question);
            let all = |links: &BTreeMap<u64, Answer>| {
                links.values().all(|answer| answer.question >= question)
            };
            if timeout(LONGEST_ANSWER, links.wait_for(all)).await.is_err() {
                tracing::warn!("a proxy does not say what it counted");
            }
        }
        drop(turn);
        self.total()
    }

    fn total(&self) -> Counted {
        let mut total = Counted::default();
        let links = self.links.borrow();
        for answer in links.values().filter(|answer| answer.question > 0) {
            *total.connections.get_or_insert(0) += answer.connections;
            for (id, counts) in &answer.upstreams {
                *total.upstreams.entry(id.clone()).or_default() += counts;
            }
            total.metrics.extend(answer.metrics.clone());
        }
        total
    }

    /// A proxy is connected. What comes out says when to ask it: whenever the number has grown.
    pub(super) fn join(&self, link: u64) -> watch::Receiver<u64> {
        self.links
            .send_modify(|links| drop(links.insert(link, Answer::default())));
        let mut asked = self.asked.subscribe();
        // The newest question may be open still, and then it waits for this proxy too.
        if *asked.borrow() > 0 {
            asked.mark_changed();
        }
        asked
    }

    /// A proxy is connected no more.
    pub(super) fn leave(&self, link: u64) {
        self.links.send_modify(|links| drop(links.remove(&link)));
    }

    /// A proxy has answered a question.
    pub(super) fn answered(&self, link: u64, answer: Answer) {
        self.links.send_modify(|links| {
            if let Some(known) = links.get_mut(&link) {
                *known = answer;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn web() -> UpstreamId {
        "shop/web".to_owned().try_into().unwrap()
    }

    fn counts(answered: u64) -> Counts {
        Counts {
            answered,
            ..Counts::default()
        }
    }

    /// An answer to a question, with so many requests.
    fn answer(question: u64, answered: u64, connections: u64) -> Answer {
        Answer {
            question,
            upstreams: BTreeMap::from([(web(), counts(answered))]),
            connections,
            metrics: None,
        }
    }

    /// A proxy that answers each question with as many requests as it was asked questions.
    fn proxy(counting: &Arc<Counting>, link: u64, connections: u64) {
        let (mut asked, counting) = (counting.join(link), Arc::clone(counting));
        tokio::spawn(async move {
            let mut times = 0;
            while asked.changed().await.is_ok() {
                let question = *asked.borrow_and_update();
                times += 1;
                counting.answered(link, answer(question, times, connections));
            }
        });
    }

    #[tokio::test]
    async fn what_all_proxies_counted_is_added_up() {
        let counting = Arc::new(Counting::new());
        assert_eq!(counting.ask().await, Counted::default());
        proxy(&counting, 1, 3);
        proxy(&counting, 2, 4);
        for times in 1..4 {
            let counted = counting.ask().await;
            assert_eq!(counted.upstreams[&web()], counts(2 * times));
            assert_eq!(counted.connections, Some(7));
        }
    }

    #[tokio::test]
    async fn a_silent_proxy_costs_a_moment_and_keeps_what_it_said_before() {
        let counting = Arc::new(Counting::new());
        let _asked = counting.join(1);
        let start = std::time::Instant::now();
        assert_eq!(counting.ask().await, Counted::default());
        assert!(start.elapsed() >= LONGEST_ANSWER);
        counting.answered(1, answer(1, 5, 2));
        let counted = counting.ask().await;
        assert_eq!(counted.upstreams[&web()], counts(5));
        counting.leave(1);
        assert_eq!(counting.ask().await, Counted::default());
    }

    #[tokio::test]
    async fn those_who_ask_while_a_question_is_open_share_the_next() {
        let counting = Arc::new(Counting::new());
        let mut asked = counting.join(1);
        let ask = |counting: &Arc<Counting>| {
            let counting = Arc::clone(counting);
            tokio::spawn(async move { counting.ask().await })
        };
        let first = ask(&counting);
        asked.changed().await.unwrap();
        let others = [ask(&counting), ask(&counting), ask(&counting)];
        // They wait for their turn before the answer to the first question is there.
        tokio::task::yield_now().await;
        for question in 1..=2 {
            assert_eq!(*asked.borrow_and_update(), question);
            counting.answered(1, answer(question, question, 0));
            if question == 1 {
                asked.changed().await.unwrap();
            }
        }
        assert_eq!(first.await.unwrap().upstreams[&web()].answered, 1);
        for other in others {
            assert_eq!(other.await.unwrap().upstreams[&web()].answered, 2);
        }
        assert!(!asked.has_changed().unwrap());
    }
}
