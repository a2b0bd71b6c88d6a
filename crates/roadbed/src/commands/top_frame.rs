//! What of a picture fits a terminal. Pure.

use crate::commands::wrap::cut;
use crate::screen::{Key, Size};

/// The smallest terminal that a picture fits.
const LEAST: Size = Size {
    columns: 40,
    lines: 6,
};
/// Lines that are not of services: what there is in all, one without text, the columns' names, and
/// the keys.
const OTHER_LINES: usize = 4;

/// A picture that may have more lines than there is room for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Picture {
    /// What there is in all.
    pub(super) summary: String,
    /// The names of columns.
    pub(super) columns: String,
    /// A line for each service.
    pub(super) services: Vec<String>,
}

impl Picture {
    /// Its lines from the service with the number `first` on, as many as fit.
    pub(super) fn lines(&self, size: Size, first: usize) -> Vec<String> {
        if size.columns < LEAST.columns || size.lines < LEAST.lines {
            let (least, is) = (LEAST, size);
            let text = format!(
                "{}x{}: smaller than {}x{}",
                is.columns, is.lines, least.columns, least.lines
            );
            return vec![cut(&text, size.columns)];
        }
        let (room, all) = (room(size), self.services.len());
        let first = first.min(all.saturating_sub(room));
        let last = all.min(first + room);
        let mut lines = vec![self.summary.clone(), String::new(), self.columns.clone()];
        lines.extend_from_slice(&self.services[first..last]);
        lines.push(match all > room {
            true => format!(
                "{} to {last} of {all}, up and down show others; q ends",
                first + 1
            ),
            false => "q ends".to_owned(),
        });
        lines.iter().map(|line| cut(line, size.columns)).collect()
    }

    /// The number of the first service that is shown after a key, where it was `first` before.
    pub(super) fn moved(&self, size: Size, first: usize, key: Key) -> usize {
        let room = room(size);
        let most = self.services.len().saturating_sub(room);
        let first = first.min(most);
        let moved = match key {
            Key::Up => first.saturating_sub(1),
            Key::Down => first + 1,
            Key::PageUp => first.saturating_sub(room),
            Key::PageDown => first + room,
            Key::First => 0,
            Key::Last => most,
            Key::Quit => first,
        };
        moved.min(most)
    }
}

/// How many services fit.
fn room(size: Size) -> usize {
    size.lines.saturating_sub(OTHER_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(services: usize) -> Picture {
        Picture {
            summary: "in all".into(),
            columns: "SERVICE".into(),
            services: (0..services)
                .map(|number| format!("service {number}"))
                .collect(),
        }
    }

    const SIZE: Size = Size {
        columns: 60,
        lines: 9,
    };

    #[test]
    fn what_fits_is_there_and_what_does_not_can_be_reached() {
        let all = picture(5).lines(SIZE, 3);
        assert_eq!(all.len(), SIZE.lines);
        assert_eq!((&*all[3], &*all[8]), ("service 0", "q ends"));
        let some = picture(12);
        let lines = some.lines(SIZE, 6);
        assert_eq!((lines.len(), &*lines[3]), (SIZE.lines, "service 6"));
        assert!(lines[8].starts_with("7 to 11 of 12,"), "{lines:?}");
        // A service less at the end, and the last ones are shown.
        assert_eq!(picture(11).lines(SIZE, 7)[3], "service 6");
        for (from, key, to) in [
            (0, Key::Up, 0),
            (0, Key::Down, 1),
            (7, Key::Down, 7),
            (0, Key::PageDown, 5),
            (5, Key::PageDown, 7),
            (7, Key::PageUp, 2),
            (2, Key::Last, 7),
            (9, Key::Up, 6),
            (7, Key::First, 0),
        ] {
            assert_eq!(some.moved(SIZE, from, key), to, "{from} {key:?}");
        }
        assert_eq!(picture(2).moved(SIZE, 0, Key::Down), 0);
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_and_none_is_too_much() {
        for (columns, lines) in [(1, 1), (39, 24), (80, 5), (40, 6), (200, 50)] {
            let size = Size { columns, lines };
            let shown = picture(100).lines(size, 50);
            assert!(shown.len() <= lines, "{size:?}: {shown:?}");
            let fits = |line: &String| line.chars().count() <= columns;
            assert!(shown.iter().all(fits), "{size:?}: {shown:?}");
        }
        let small = Size {
            columns: 39,
            lines: 24,
        };
        assert_eq!(picture(1).lines(small, 0), ["39x24: smaller than 40x6"]);
    }
}
