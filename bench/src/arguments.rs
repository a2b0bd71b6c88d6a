//! The words after a command's name: options, each with a value or without.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

/// Options as typed, to be taken one by one. What is left at the end is not understood.
#[derive(Debug)]
pub(crate) struct Arguments(BTreeMap<String, Option<String>>);

/// Where the JSON goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JsonTo {
    /// Standard output, in place of the table.
    Stdout,
    /// A file, beside the table.
    File(PathBuf),
}

/// What every bench of the platform is told.
#[derive(Debug)]
pub(crate) struct Common {
    /// How often everything is repeated.
    pub(crate) runs: usize,
    /// Where the JSON goes, if anywhere.
    pub(crate) json: Option<JsonTo>,
    /// A requirement that is missed fails the command.
    pub(crate) strict: bool,
    /// The program, if not the checkout's own release build.
    pub(crate) roadbed: Option<PathBuf>,
}

impl Arguments {
    /// Takes words apart: an option's value is the word after it, unless that is an option too.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = BTreeMap::new();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                return Err(format!("{word:?} is not understood"));
            }
            let value = words.next_if(|next| !next.starts_with("--"));
            if options.contains_key(&word) {
                return Err(format!("{word} is given twice"));
            }
            options.insert(word, value);
        }
        Ok(Self(options))
    }

    /// An option without value: whether it is given.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.0.remove(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(format!("{name} takes no value, so not {value:?}")),
        }
    }

    /// An option with a value.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name) else {
            return Ok(None);
        };
        let value = value.ok_or_else(|| format!("{name} needs a value"))?;
        let parsed = value.parse();
        parsed
            .map(Some)
            .map_err(|_| format!("{name} cannot be {value:?}"))
    }

    /// A whole number within limits.
    pub(crate) fn number(
        &mut self,
        name: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, String> {
        let number = self.value(name)?.unwrap_or(default);
        if range.contains(&number) {
            return Ok(number);
        }
        Err(format!(
            "{name} is from {} to {}",
            range.start(),
            range.end()
        ))
    }

    /// Values with commas between them.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, String> {
        let text: Option<String> = self.value(name)?;
        Ok(text.map(|text| text.split(',').map(str::to_owned).collect()))
    }

    /// What every bench understands.
    pub(crate) fn common(&mut self, runs: usize) -> Result<Common, String> {
        let json = self.0.remove("--json").map(|file| match file {
            Some(file) => JsonTo::File(file.into()),
            None => JsonTo::Stdout,
        });
        Ok(Common {
            runs: self.number("--runs", runs, 1..=1000)?,
            json,
            strict: self.flag("--strict")?,
            roadbed: self.value("--roadbed")?,
        })
    }

    /// Refuses what nobody has taken.
    pub(crate) fn finish(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("{name:?} is not understood")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Result<Arguments, String> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_taken_with_and_without_value() {
        let mut some = arguments("--strict --runs 3 --json").unwrap();
        let common = some.common(10).unwrap();
        assert_eq!(
            (common.runs, common.json, common.strict, common.roadbed),
            (3, Some(JsonTo::Stdout), true, None)
        );
        some.finish().unwrap();
        let mut other = arguments("--json out.json --rate 5").unwrap();
        let common = other.common(10).unwrap();
        assert_eq!(common.json, Some(JsonTo::File("out.json".into())));
        assert_eq!((common.runs, common.strict), (10, false));
        assert_eq!(other.value("--rate"), Ok(Some(5.0)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |text: &str| {
            let mut arguments = arguments(text)?;
            arguments.common(1)?;
            arguments.finish()
        };
        for (text, explained) in [
            ("now", "\"now\" is not understood"),
            ("--fast", "\"--fast\" is not understood"),
            ("--runs 0", "--runs is from 1 to 1000"),
            ("--runs x", "--runs cannot be \"x\""),
            ("--runs", "--runs needs a value"),
            ("--runs 1 --runs 2", "--runs is given twice"),
            ("--strict yes", "--strict takes no value"),
        ] {
            let problem = said(text).unwrap_err();
            assert!(problem.contains(explained), "{text}: {problem}");
        }
    }
}
