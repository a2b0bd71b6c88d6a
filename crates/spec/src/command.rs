//! Commands: split into words, and checked as far as the text alone allows.

use std::ops::Range;

use model::Command;
use model::file_path::leaves_folder;
use toml::Spanned;

use crate::app_file::CommandText;
use crate::findings::{Findings, quoted};

/// Where the program of a command may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Within the app's folder, which alone travels with a release; or anywhere on the system by
    /// an absolute path or a bare name.
    Release,
    /// Anywhere: the command runs where the file stands.
    Anywhere,
}

/// Reads the command that stands under `key`.
pub(crate) fn command(
    key: &str,
    text: Spanned<CommandText>,
    reach: Reach,
    findings: &mut Findings,
) -> Option<Command> {
    let whole = text.span();
    let words = match text.into_inner() {
        CommandText::Line(line) => split(key, &line, &whole, findings)?,
        CommandText::Words(words) => {
            let count = words.len();
            let words: Vec<_> = words
                .into_iter()
                .filter_map(|word| findings.item(key, word))
                .collect();
            (words.len() == count).then_some(words)?
        }
    };
    for word in &words {
        check_word(key, word, findings);
    }
    let Some(program) = words.first() else {
        findings
            .add(whole, format!("`{key}` is empty"))
            .hint(name_a_program());
        return None;
    };
    check_program(key, program, reach, findings);
    let words = words.into_iter().map(Spanned::into_inner).collect();
    Command::new(words).ok()
}

fn name_a_program() -> String {
    "name the program to start, such as \"./web\"".into()
}

/// Splits `line` as a POSIX shell splits words. Every word gets the place of the whole line:
/// after quotation and escapes there is no other that is sure to be right.
fn split(
    key: &str,
    line: &str,
    span: &Range<usize>,
    findings: &mut Findings,
) -> Option<Vec<Spanned<String>>> {
    let Some(words) = shlex::split(line) else {
        let message = format!("`{key}` has an open quotation mark, or a backslash at its end");
        findings.add(span.clone(), message);
        return None;
    };
    if let Some(operator) = words
        .iter()
        .find(|word| matches!(word.as_str(), "&&" | "||" | "|"))
    {
        let message = format!("`{key}` has the shell operator `{operator}`, but no shell runs it");
        let hint = format!("to run it by a shell, write {key} = [\"sh\", \"-c\", \"…\"]");
        findings.add(span.clone(), message).hint(hint);
    }
    Some(
        words
            .into_iter()
            .map(|word| Spanned::new(span.clone(), word))
            .collect(),
    )
}

fn check_word(key: &str, word: &Spanned<String>, findings: &mut Findings) {
    if word.get_ref().contains('\0') {
        findings.add(
            word.span(),
            format!("a word of `{key}` has a null character in it"),
        );
    }
    if let Err(problem) = check_variables(word.get_ref()) {
        let hint = "write $NAME or ${NAME} for a variable and $$ for a dollar sign".to_owned();
        findings
            .add(word.span(), format!("`{key}` has {problem}"))
            .hint(hint);
    }
}

/// Checks that every `$` in `word` begins `$NAME`, `${NAME}` or `$$`.
fn check_variables(word: &str) -> Result<(), String> {
    let mut rest = word;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            after
        } else if let Some(braced) = after.strip_prefix('{') {
            let Some(end) = braced.find('}') else {
                return Err("a `${` without its `}`".into());
            };
            let name = &braced[..end];
            if !is_variable(name) {
                return Err(format!(
                    "${{…}} around {}, which names no variable",
                    quoted(name)
                ));
            }
            &braced[end + 1..]
        } else if after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            after
        } else {
            return Err("a `$` that no name follows".into());
        };
    }
    Ok(())
}

/// Whether `text` can name an environment variable.
pub(crate) fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_program(key: &str, program: &Spanned<String>, reach: Reach, findings: &mut Findings) {
    let text = program.get_ref().as_str();
    if text.is_empty() {
        let message = format!("the program of `{key}` is empty");
        findings.add(program.span(), message).hint(name_a_program());
    } else if text
        .split_once('=')
        .is_some_and(|(name, _)| is_variable(name))
    {
        let message = format!("`{key}` begins with {}, which is no program", quoted(text));
        findings
            .add(program.span(), message)
            .hint("set variables in `env`".to_owned());
    } else if reach == Reach::Release && leaves_folder(text) {
        let message = format!(
            "the program {} of `{key}` leaves the app's folder",
            quoted(text)
        );
        let hint = "a release holds only this folder: move the program into it, or name one of \
                    the system by its absolute path"
            .to_owned();
        findings.add(program.span(), message).hint(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dollar_sign_means_something() {
        for word in [
            "",
            "$A",
            "${A}",
            "$$",
            "$$$A",
            "a$_b-c${D1}$$",
            "$PORT:$PORT",
            "}",
        ] {
            assert_eq!(check_variables(word), Ok(()), "{word}");
        }
        for word in [
            "$", "${", "${A", "${}", "${1}", "$1", "$(date)", "$$$", "${A${B}}", "$é",
        ] {
            assert!(check_variables(word).is_err(), "{word}");
        }
    }
}
