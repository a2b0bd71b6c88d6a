//! How soon a shim starts its program again by itself.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(10);
/// Short, since what a shim starts again by itself is what all traffic waits for.
const LONGEST: Duration = Duration::from_millis(200);
/// A program that lived so long did not die of its start.
const LONG_ENOUGH: Duration = Duration::from_secs(2);

/// The delays of one program's restarts.
#[derive(Debug, Default)]
pub(super) struct Delays {
    last: Option<Duration>,
}

impl Delays {
    /// The delay after a program that lived for `age`.
    pub(super) fn next(&mut self, age: Duration) -> Duration {
        let delay = match self.last {
            Some(last) if age < LONG_ENOUGH => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(delay);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_doubles_while_the_program_dies_young() {
        let mut delays = Delays::default();
        let young: Vec<u128> = (0..7)
            .map(|_| delays.next(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(young, [10, 20, 40, 80, 160, 200, 200]);
        assert_eq!(delays.next(LONG_ENOUGH), FIRST);
        assert_eq!(delays.next(Duration::ZERO), 2 * FIRST);
    }
}
