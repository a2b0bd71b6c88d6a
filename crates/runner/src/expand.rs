//! `$NAME` and `${NAME}` in the words of a command, from an environment and nothing else.

use std::collections::BTreeMap;

/// A word of a command cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// The variable has no value. It is not taken as empty: `--data $DATA_DIR` without a value
    /// would quietly mean something else.
    #[error(
        "${name} in {word:?} is not set in the environment; set it under env, or write $$ for a \
         dollar sign"
    )]
    Unset {
        /// The variable.
        name: String,
        /// The word that names it.
        word: String,
    },
    /// A dollar sign begins nothing that has a meaning.
    #[error(
        "the dollar sign at byte {at} of {word:?} begins no $NAME or ${{NAME}}; write $$ for a \
         dollar sign"
    )]
    Stray {
        /// Where in the word, in bytes from 0.
        at: usize,
        /// The word.
        word: String,
    },
}

/// Expands every word: `$NAME` and `${NAME}` become the variable's value (never split into further
/// words), `$$` a dollar sign. A name has ASCII letters, digits and `_`, and no digit first.
pub fn expand(
    words: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Vec<String>, ExpandError> {
    words
        .iter()
        .map(|word| expand_word(word, environment))
        .collect()
}

fn expand_word(word: &str, environment: &BTreeMap<String, String>) -> Result<String, ExpandError> {
    let mut expanded = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(dollar) = rest.find('$') {
        let at = word.len() - rest.len() + dollar;
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let Some((name, after)) = split_name(rest) else {
            return Err(ExpandError::Stray {
                at,
                word: word.to_owned(),
            });
        };
        let value = environment.get(name).ok_or_else(|| ExpandError::Unset {
            name: name.to_owned(),
            word: word.to_owned(),
        })?;
        expanded.push_str(value);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Splits `NAME…` or `{NAME}…` into the name and what follows.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let (inner, braced) = match text.strip_prefix('{') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let end = inner
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    match braced {
        true => Some((name, after.strip_prefix('}')?)),
        false => Some((name, after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(word: &str) -> Result<String, ExpandError> {
        let environment = [
            ("PORT", "8000"),
            ("A_1", "x y"),
            ("EMPTY", ""),
            ("LOOP", "$PORT"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        expand(&[word.to_owned()], &environment.into()).map(|mut words| words.remove(0))
    }

    #[test]
    fn names_become_values() {
        assert_eq!(one("127.0.0.1:$PORT").unwrap(), "127.0.0.1:8000");
        assert_eq!(one("${PORT}0$PORT/é").unwrap(), "800008000/é");
        assert_eq!(
            one("$A_1-${EMPTY}$").unwrap_err(),
            stray(13, "$A_1-${EMPTY}$")
        );
        assert_eq!(
            one("$A_1").unwrap(),
            "x y",
            "a value is not split into words"
        );
        assert_eq!(
            one("$LOOP").unwrap(),
            "$PORT",
            "a value is not expanded again"
        );
        assert_eq!(one("a$$b$$$PORT").unwrap(), "a$b$8000");
        assert_eq!(one("").unwrap(), "");
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        let error = one("--to=$HOME_TOWN!").unwrap_err();
        assert!(matches!(&error, ExpandError::Unset { name, .. } if name == "HOME_TOWN"));
        assert!(
            error
                .to_string()
                .starts_with("$HOME_TOWN in \"--to=$HOME_TOWN!\" is not set")
        );
        // Not PORT followed by "S": a name is as long as it can be.
        assert!(matches!(one("$PORTS"), Err(ExpandError::Unset { .. })));
    }

    #[test]
    fn a_dollar_sign_that_means_nothing_is_refused() {
        for bad in [
            "$",
            "a$",
            "$1",
            "$ a",
            "${",
            "${}",
            "${PORT",
            "${PORT:-1}",
            "${1}",
            "$(a)",
        ] {
            assert!(
                matches!(one(bad), Err(ExpandError::Stray { .. })),
                "{bad:?}"
            );
        }
        assert_eq!(one("aé$(x)").unwrap_err(), stray(3, "aé$(x)"));
    }

    fn stray(at: usize, word: &str) -> ExpandError {
        ExpandError::Stray {
            at,
            word: word.to_owned(),
        }
    }
}
