//! A terminal that shows one picture, drawn again and again, and takes single keys. It is as it was
//! before when this is dropped, whatever the reason.

use std::io::{self, IsTerminal, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::failure::Failure;
use crate::output::{Reader, print};

/// A second screen beside the one with the shell's lines, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The cursor, and the first screen again.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first line.
const HOME: &str = "\x1b[H";
/// Clears what is right of the cursor.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears what is right of and below the cursor.
const CLEAR_REST: &str = "\x1b[J";

/// How much a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) lines: usize,
}

/// What somebody wants who presses a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Quit,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// The terminal that standard output is.
#[derive(Debug)]
pub(crate) struct Screen {
    keys: Option<Keys>,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn open() -> Result<Self, Failure> {
        let keys = match io::stdin().is_terminal() {
            true => Some(Keys::take().map_err(failed)?),
            false => None,
        };
        let screen = Self { keys };
        print(ENTER)?;
        Ok(screen)
    }

    /// How much it shows now.
    pub(crate) fn size(&self) -> Size {
        // One that does not say is taken for what terminals were at first.
        let usual = Size {
            columns: 80,
            lines: 24,
        };
        tcgetwinsize(io::stdout()).map_or(usual, |size| match (size.ws_col, size.ws_row) {
            (0, _) | (_, 0) => usual,
            (columns, lines) => Size {
                columns: columns.into(),
                lines: lines.into(),
            },
        })
    }

    /// Shows these lines in place of what there is. There may be no more than fit.
    pub(crate) fn draw(&self, lines: &[String]) -> Result<Reader, Failure> {
        let mut picture = String::from(HOME);
        for (number, line) in lines.iter().enumerate() {
            if number > 0 {
                picture.push_str("\r\n");
            }
            picture.push_str(line);
            picture.push_str(CLEAR_LINE);
        }
        picture.push_str(CLEAR_REST);
        print(&picture)
    }

    /// Waits for keys.
    pub(crate) async fn keys(&mut self) -> Vec<Key> {
        match &mut self.keys {
            // Without a terminal there is nobody to look.
            Some(keys) => keys.pressed.recv().await.unwrap_or(vec![Key::Quit]),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to put right.
        let mut out = io::stdout().lock();
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("cannot use the terminal: {error}")).hint("`roadbed top --once`")
}

/// Keys that are read and not acted on yet; more wait in the terminal.
const KEYS: usize = 16;

/// Standard input, read key by key without showing them.
#[derive(Debug)]
struct Keys {
    before: Termios,
    pressed: Receiver<Vec<Key>>,
}

impl Keys {
    fn take() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut now = before.clone();
        // Ctrl-C and Ctrl-Z are keys too: nothing stops us but we ourselves, with all put right.
        now.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN);
        // A read takes what there is, and does not wait.
        now.special_codes[SpecialCodeIndex::VMIN] = 0;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &now)?;
        let (presses, pressed) = channel(KEYS);
        let keys = Self { before, pressed };
        // It ends with the process.
        let thread = std::thread::Builder::new().name("keys".into());
        thread.spawn(move || read(&presses))?;
        Ok(keys)
    }
}

/// Passes keys on until the terminal or their receiver is gone.
fn read(presses: &Sender<Vec<Key>>) {
    let input = io::stdin();
    loop {
        let mut ends = [PollFd::new(&input, PollFlags::IN)];
        let has_ended = match poll(&mut ends, None) {
            Ok(_) => !ends[0].revents().contains(PollFlags::IN),
            Err(Errno::INTR) => continue,
            Err(_) => true,
        };
        if has_ended {
            return;
        }
        let mut bytes = [0; 64];
        match rustix::io::read(&input, &mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                if presses.blocking_send(decode(&bytes[..count])).is_err() {
                    return;
                }
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // As above.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

/// The keys that mean something. What a key sends comes together.
fn decode(bytes: &[u8]) -> Vec<Key> {
    let named: [(&[u8], Key); 18] = [
        (b"\x1b[A", Key::Up),
        (b"\x1bOA", Key::Up),
        (b"\x1b[B", Key::Down),
        (b"\x1bOB", Key::Down),
        (b"\x1b[5~", Key::PageUp),
        (b"\x1b[6~", Key::PageDown),
        (b"\x1b[H", Key::First),
        (b"\x1b[1~", Key::First),
        (b"\x1b[F", Key::Last),
        (b"\x1b[4~", Key::Last),
        (b"k", Key::Up),
        (b"j", Key::Down),
        (b"b", Key::PageUp),
        (b" ", Key::PageDown),
        (b"g", Key::First),
        (b"G", Key::Last),
        (b"q", Key::Quit),
        // Ctrl-C.
        (b"\x03", Key::Quit),
    ];
    let (mut rest, mut keys) = (bytes, Vec::new());
    while !rest.is_empty() {
        let found = named.iter().find(|(start, _)| rest.starts_with(start));
        let length = match found {
            Some((start, key)) => {
                keys.push(*key);
                start.len()
            }
            None => unknown(rest),
        };
        rest = &rest[length..];
    }
    keys
}

/// How long the key at the beginning is that means nothing: a character, or a control sequence up
/// to its last one (ECMA-48 section 5.4).
fn unknown(bytes: &[u8]) -> usize {
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
            2 + end.map_or(rest.len(), |end| end + 1)
        }
        [0x1b, b'O', _, ..] => 3,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_mean_something_are_told_from_others() {
        assert_eq!(decode(b"jkq"), [Key::Down, Key::Up, Key::Quit]);
        assert_eq!(
            decode(b"\x1b[A\x1b[6~\x03"),
            [Key::Up, Key::PageDown, Key::Quit]
        );
        // F5, Ctrl-Right and Alt-x have letters in them that would mean something alone.
        assert_eq!(decode(b"\x1b[15~\x1b[1;5Cx\x1b\x1a"), []);
        assert_eq!(decode(b"\x1b[1;2q\x1bOqG"), [Key::Last]);
        assert_eq!(decode("äü\x1b[".as_bytes()), []);
        assert_eq!(decode(b""), []);
    }
}
