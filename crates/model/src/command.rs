//! Programs with their arguments.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A program and its arguments, not yet expanded; never empty, never run by a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Command(Vec<String>);

/// A command has no words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a command needs at least the name of a program")]
pub struct EmptyCommand;

impl Command {
    /// A command of `words`, the first of which is the program.
    pub fn new(words: Vec<String>) -> Result<Self, EmptyCommand> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            _ => Err(EmptyCommand),
        }
    }

    /// The program and its arguments. `$NAME` and `${NAME}` in them stand for variables of the
    /// instance's environment and `$$` for a dollar sign.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl TryFrom<Vec<String>> for Command {
    type Error = EmptyCommand;
    fn try_from(words: Vec<String>) -> Result<Self, EmptyCommand> {
        Self::new(words)
    }
}

impl From<Command> for Vec<String> {
    fn from(command: Command) -> Self {
        command.0
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As it could be written in a shell, so that it shows where each word ends.
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@%+$".contains(&b);
        for (place, word) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { " " };
            match !word.is_empty() && word.bytes().all(is_plain) {
                true => write!(f, "{separator}{word}")?,
                false => write!(f, "{separator}'{}'", word.replace('\'', r"'\''"))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_reads_as_in_a_shell() {
        let words = ["sh", "-c", "a; b 'c'", ""].map(str::to_owned).to_vec();
        let command = Command::new(words).unwrap();
        assert_eq!(command.to_string(), r"sh -c 'a; b '\''c'\''' ''");
    }

    #[test]
    fn a_command_is_never_empty() {
        assert!(Command::new(vec![]).is_err());
        assert!(Command::new(vec![String::new()]).is_err());
        assert!(serde_json::from_str::<Command>("[]").is_err());
    }
}
