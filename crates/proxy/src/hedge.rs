//! Two attempts of one request at the same time, at two endpoints: the second begins when the first
//! has waited for long. Exactly one of them may pass on an answer, and the other one is dropped,
//! which ends its connection or stream (Dean and Barroso, "The Tail at Scale").

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::socket::Socket;
use crate::upstream::Endpoint;

/// Which of the attempts of a request at the same time may answer. Of one that is never tried twice
/// at a time this costs a look at a value that is there.
#[derive(Debug, Default)]
pub(crate) struct Race {
    /// There may be a second attempt at the same time.
    is_on: Cell<bool>,
    /// Both are under way, and none has failed.
    are_both: Cell<bool>,
    winner: Cell<Option<(*const Endpoint, Instant)>>,
}

impl Race {
    /// Takes what `endpoint` has to say for the answer, unless another one was before it. It must
    /// be asked before anything is passed on.
    pub(crate) fn wins(&self, endpoint: &Endpoint) -> bool {
        if !self.is_on.get() {
            return true;
        }
        let winner = self.winner.get();
        let (winner, _) = winner.unwrap_or_else(|| {
            let won = (std::ptr::from_ref(endpoint), Instant::now());
            self.winner.set(Some(won));
            won
        });
        std::ptr::eq(winner, endpoint)
    }

    /// Whether another attempt may still have a better answer.
    pub(crate) fn has_other(&self) -> bool {
        self.are_both.get() && self.winner.get().is_none()
    }

    /// Resets `socket`, which leads to `endpoint`, if it is dropped because another attempt was
    /// faster: an end in order would not tell that nobody waits.
    pub(crate) fn cuts<'a>(&'a self, socket: &'a Socket, endpoint: &'a Endpoint) -> Cut<'a> {
        Cut {
            race: self,
            socket,
            endpoint,
        }
    }

    fn winner(&self) -> Option<*const Endpoint> {
        self.winner.get().map(|(winner, _)| winner)
    }
}

/// See [`Race::cuts`].
pub(crate) struct Cut<'a> {
    race: &'a Race,
    socket: &'a Socket,
    endpoint: &'a Endpoint,
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        let winner = self.race.winner();
        if winner.is_some_and(|winner| !std::ptr::eq(winner, self.endpoint)) {
            self.socket.reset_on_close();
        }
    }
}

/// How an attempt has ended, to those that have another one under way.
pub(crate) trait Ended {
    /// There is nothing to wait for any more, whatever the other one does.
    fn is_final(&self) -> bool;
}

/// A second attempt: where it goes, and what it does. None where there can be none.
pub(crate) struct Second<'a, End> {
    pub(crate) endpoint: *const Endpoint,
    pub(crate) attempt: Pin<Box<dyn Future<Output = End> + 'a>>,
}

/// What was seen of a first attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// How long it took, or has taken so far.
    pub(crate) took: Duration,
    /// Another one was faster.
    pub(crate) has_lost: bool,
}

/// Runs `first`, at `endpoint`, and beside it what `begin` gives when the first has waited for
/// `after`; the end of the one that counts. `seen` learns once how long the first has taken, unless
/// it failed.
pub(crate) async fn race<'a, End: Ended>(
    race: &Race,
    (endpoint, mut first): (*const Endpoint, Pin<Box<dyn Future<Output = End> + '_>>),
    after: Option<Duration>,
    begin: impl AsyncFnOnce() -> Option<Second<'a, End>>,
    seen: impl Fn(Seen),
) -> End {
    race.is_on.set(true);
    let started = Instant::now();
    let first_end = |seen: &dyn Fn(Seen)| {
        if let Some((winner, at)) = race.winner.get() {
            let has_lost = winner != endpoint;
            let took = at.saturating_duration_since(started);
            seen(Seen { took, has_lost });
        }
    };
    let is_late = async {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        end = &mut first => {
            first_end(&seen);
            return end;
        }
        () = is_late => {}
    }
    if race.winner().is_some() {
        // Its answer has begun.
        first_end(&seen);
        return first.await;
    }
    let mut runs = Runs {
        race,
        first: Some((endpoint, first)),
        second: None,
        failed: None,
    };
    {
        let mut begin = Box::pin(begin());
        let begun = poll_fn(|cx| {
            // The first goes on meanwhile, and may come to its end.
            if let Poll::Ready(end) = runs.poll_first(cx) {
                return Poll::Ready(Begun::Over(end));
            }
            if race.winner().is_some() {
                return Poll::Ready(Begun::Second(None));
            }
            begin.as_mut().poll(cx).map(Begun::Second)
        });
        match begun.await {
            Begun::Over(end) => {
                first_end(&seen);
                return end;
            }
            Begun::Second(second) => runs.second = second.map(|it| (it.endpoint, it.attempt)),
        }
    }
    race.are_both
        .set(runs.first.is_some() && runs.second.is_some());
    let mut is_told = false;
    poll_fn(|cx| {
        let end = runs.poll(cx);
        if race.winner().is_some() && !std::mem::replace(&mut is_told, true) {
            first_end(&seen);
        }
        end
    })
    .await
}

/// What has become of the beginning of a second attempt.
enum Begun<'a, End> {
    Second(Option<Second<'a, End>>),
    /// The first came to its end before.
    Over(End),
}

type Running<'a, End> = (*const Endpoint, Pin<Box<dyn Future<Output = End> + 'a>>);

/// Those that are under way.
struct Runs<'r, 'a, 'b, End> {
    race: &'r Race,
    first: Option<Running<'a, End>>,
    second: Option<Running<'b, End>>,
    /// How the one has ended that has failed.
    failed: Option<End>,
}

impl<End: Ended> Runs<'_, '_, '_, End> {
    /// Lets the first go on; its end, if nothing else is under way.
    fn poll_first(&mut self, cx: &mut std::task::Context<'_>) -> Poll<End> {
        match &mut self.first {
            Some((_, first)) => first.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Lets both go on until one has answered, or none can.
    fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<End> {
        if let Some((_, first)) = &mut self.first
            && let Poll::Ready(end) = first.as_mut().poll(cx)
        {
            self.first = None;
            self.race.are_both.set(false);
            if end.is_final() || self.second.is_none() {
                self.second = None;
                return Poll::Ready(end);
            }
            self.failed = Some(end);
        }
        self.drop_the_loser();
        if let Some((_, second)) = &mut self.second
            && let Poll::Ready(end) = second.as_mut().poll(cx)
        {
            self.second = None;
            self.race.are_both.set(false);
            if end.is_final() {
                self.first = None;
                return Poll::Ready(end);
            }
            if self.first.is_none() {
                // What the first has met is what its request is told.
                return Poll::Ready(self.failed.take().unwrap_or(end));
            }
        }
        self.drop_the_loser();
        Poll::Pending
    }

    fn drop_the_loser(&mut self) {
        if let Some(winner) = self.race.winner() {
            self.first.take_if(|(endpoint, _)| *endpoint != winner);
            self.second.take_if(|(endpoint, _)| *endpoint != winner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Reporter;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// How an attempt ends, and whose it is.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum End {
        Answered(usize),
        Failed(usize),
        OutOfTime(usize),
    }

    impl Ended for End {
        fn is_final(&self) -> bool {
            !matches!(self, Self::Failed(_))
        }
    }

    /// What one does, and after how many turns.
    #[derive(Debug, Clone, Copy)]
    struct Plan {
        begins: u32,
        /// Nothing before another attempt is begun.
        waits: bool,
        goes_on: u32,
        end: fn(usize) -> End,
    }

    fn endpoints() -> [Rc<Endpoint>; 2] {
        let (to, _) = tokio::sync::mpsc::unbounded_channel();
        [1_u16, 2].map(|number| {
            let wanted = model::Endpoint {
                address: ([127, 0, 0, 1], number).into(),
                protocol: model::Protocol::Http,
                tls: None,
            };
            let instance = format!("app.web.1.{number}").parse().unwrap();
            let upstream = "app/web".to_owned().try_into().unwrap();
            let to = to.clone();
            Endpoint::new(upstream, instance, &wanted, Reporter { worker: 0, to })
        })
    }

    async fn turns(count: u32) {
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
    }

    /// What clients were told, piece by piece, and by which attempt.
    type Told = RefCell<Vec<usize>>;

    async fn attempt(
        (race, is_late): (&Race, &Cell<bool>),
        (at, number): (&Endpoint, usize),
        plan: Plan,
        told: &Told,
    ) -> End {
        while plan.waits && !is_late.get() {
            turns(1).await;
        }
        turns(plan.begins).await;
        if matches!((plan.end)(number), End::Answered(_)) {
            if !race.wins(at) {
                std::future::pending::<()>().await;
            }
            told.borrow_mut().push(number);
            turns(plan.goes_on).await;
            told.borrow_mut().push(number);
        }
        (plan.end)(number)
    }

    /// How a race ends, what was told, and what was seen of the first.
    fn run(plans: [Plan; 2], dials: u32, is_there: bool) -> (End, Vec<usize>, Vec<bool>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(async {
            let (own, told, seen) = (Race::default(), Told::default(), RefCell::default());
            let [one, two] = endpoints();
            let is_late = Cell::new(false);
            let of = (&own, &is_late);
            let first = Box::pin(attempt(of, (&one, 0), plans[0], &told));
            let begin = async || {
                is_late.set(true);
                turns(dials).await;
                is_there.then(|| Second {
                    endpoint: Rc::as_ptr(&two),
                    attempt: Box::pin(attempt(of, (&two, 1), plans[1], &told)),
                })
            };
            let note = |it: Seen| RefCell::<Vec<bool>>::borrow_mut(&seen).push(it.has_lost);
            let at_once = Some(Duration::ZERO);
            let end = race(&own, (Rc::as_ptr(&one), first), at_once, begin, note).await;
            (end, told.take(), seen.take())
        })
    }

    fn any_plan() -> impl Strategy<Value = Plan> {
        let end = prop_oneof![
            3 => Just(End::Answered as fn(usize) -> End),
            2 => Just(End::Failed as fn(usize) -> End),
            1 => Just(End::OutOfTime as fn(usize) -> End),
        ];
        (0_u32..12, any::<bool>(), 0_u32..6, end).prop_map(|(begins, waits, goes_on, end)| Plan {
            begins,
            waits,
            goes_on,
            end,
        })
    }

    proptest! {
        #[test]
        fn an_answer_is_of_one_attempt_and_whole(
            one in any_plan(), two in any_plan(), dials in 0_u32..6, is_there: bool,
        ) {
            let (end, told, seen) = run([one, two], dials, is_there);
            match end {
                End::Answered(by) => {
                    prop_assert_eq!(told, vec![by; 2]);
                    prop_assert_eq!(seen, vec![by == 1]);
                }
                // Nothing was told that would have to be taken back.
                End::Failed(_) | End::OutOfTime(_) => {
                    prop_assert!(told.is_empty() && seen.is_empty());
                }
            }
            if let End::Failed(_) = end {
                prop_assert!(matches!((one.end)(0), End::Failed(_)));
            }
        }
    }

    #[test]
    fn one_that_fails_leaves_the_other_its_time() {
        let fails = |begins| Plan {
            begins,
            waits: true,
            goes_on: 0,
            end: End::Failed,
        };
        let answers = |begins| Plan {
            begins,
            waits: true,
            goes_on: 3,
            end: End::Answered,
        };
        assert_eq!(run([fails(20), answers(50)], 0, true).0, End::Answered(1));
        assert_eq!(run([answers(50), fails(2)], 0, true).0, End::Answered(0));
        assert_eq!(run([fails(50), fails(2)], 0, true).0, End::Failed(0));
        assert_eq!(run([fails(20), fails(90)], 0, true).0, End::Failed(0));
        let late = Plan {
            begins: 20,
            waits: true,
            goes_on: 0,
            end: End::OutOfTime,
        };
        assert_eq!(run([late, answers(90)], 0, true).0, End::OutOfTime(0));
    }
}
