//! A terminal that a test makes: a command runs on it, and the test sees what its user would see.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use super::until;

/// A terminal and the command that runs on it, which is killed when this is dropped.
pub(crate) struct Terminal {
    child: Child,
    master: File,
    /// Held, so that the terminal outlives the command.
    slave: OwnedFd,
    settings: String,
    shown: Arc<Mutex<Shown>>,
}

/// What a terminal shows, of what was written to it.
#[derive(Default)]
pub(crate) struct Shown {
    /// The lines of the screen that is shown.
    lines: Vec<Vec<char>>,
    /// Those of the other one, while that is shown that programs draw on.
    behind: Option<Vec<Vec<char>>>,
    is_cursor_hidden: bool,
    /// Line and column of the cursor.
    at: (usize, usize),
    /// What is not understood yet.
    rest: Vec<u8>,
}

impl Terminal {
    /// Runs a command on a terminal of this size.
    pub(crate) fn run(command: &Command, (columns, lines): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        resize(&master, columns, lines);
        let settings = settings(&slave);
        // The terminal has to be that of its session, to be told of a new size.
        let mut on_terminal = Command::new("setsid");
        on_terminal.arg("--ctty").arg(command.get_program());
        on_terminal.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => on_terminal.env(name, value),
                None => on_terminal.env_remove(name),
            };
        }
        let end = || slave.try_clone().unwrap();
        let on_terminal = on_terminal.stdin(end()).stdout(end()).stderr(end());
        let child = on_terminal.spawn().unwrap();
        let shown = Arc::<Mutex<Shown>>::default();
        let mut written = File::from(master.try_clone().unwrap());
        let takes = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = written.read(&mut bytes) {
                takes.lock().unwrap().take(&bytes[..count]);
            }
        });
        Self {
            child,
            master: master.into(),
            slave,
            settings,
            shown,
        }
    }

    /// Gives it another size.
    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        resize(&self.master, columns, lines);
    }

    /// Presses keys, as the terminal sends them.
    pub(crate) fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The lines that are shown.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = self.shown.lock().unwrap();
        let text = |line: &Vec<char>| line.iter().collect::<String>();
        shown.lines.iter().map(text).collect()
    }

    /// Whether a program draws on it.
    pub(crate) fn is_taken(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        shown.behind.is_some() && shown.is_cursor_hidden
    }

    /// Waits until its lines are as they should be.
    pub(crate) fn expect(&self, what: &str, mut is_so: impl FnMut(&[String]) -> bool) {
        until(&format!("the terminal shows {what}"), || {
            is_so(&self.lines())
        });
    }

    /// Waits for the command's end, checks that the terminal is as it was before, and returns the
    /// exit code.
    pub(crate) fn finish(mut self) -> Option<i32> {
        let mut status = None;
        until("the command has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert_eq!(settings(&self.slave), self.settings);
        until("the screen is that of the shell", || {
            let shown = self.shown.lock().unwrap();
            shown.behind.is_none() && !shown.is_cursor_hidden
        });
        status.unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(master: impl AsFd, columns: u16, lines: u16) {
    let size = Winsize {
        ws_col: columns,
        ws_row: lines,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

/// How input is treated.
fn settings(terminal: &OwnedFd) -> String {
    format!("{:?}", tcgetattr(terminal).unwrap())
}

impl Shown {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        // What ends within a character or sequence waits for more.
        let text = match std::str::from_utf8(&rest) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&rest[..error.valid_up_to()]).unwrap(),
        };
        let mut left = text;
        while let Some(character) = left.chars().next() {
            if character != '\x1b' {
                self.put(character);
                left = &left[character.len_utf8()..];
                continue;
            }
            let is_last = |(at, c): &(usize, char)| *at > 1 && c.is_ascii_alphabetic();
            let Some((end, _)) = left.char_indices().find(is_last) else {
                break;
            };
            self.obey(&left[1..=end]);
            left = &left[end + 1..];
        }
        let understood = text.len() - left.len();
        self.rest = rest[understood..].to_vec();
    }

    fn put(&mut self, character: char) {
        match character {
            '\r' => self.at.1 = 0,
            '\n' => self.at.0 += 1,
            _ => {
                let (line, column) = self.at;
                self.lines
                    .resize_with(self.lines.len().max(line + 1), Vec::new);
                let line = &mut self.lines[line];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = character;
                self.at.1 += 1;
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        let (line, column) = self.at;
        match sequence {
            "[?1049h" => self.behind = Some(std::mem::take(&mut self.lines)),
            "[?1049l" => self.lines = self.behind.take().unwrap_or_default(),
            "[?25l" => self.is_cursor_hidden = true,
            "[?25h" => self.is_cursor_hidden = false,
            "[H" => self.at = (0, 0),
            "[K" | "[J" => {
                if let Some(line) = self.lines.get_mut(line) {
                    line.truncate(column);
                }
                if sequence == "[J" {
                    self.lines.truncate(line + 1);
                }
            }
            // Colour is not looked at.
            colour if colour.ends_with('m') => {}
            other => panic!("the terminal does not know {other:?}"),
        }
    }
}
