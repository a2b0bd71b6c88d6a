//! Text that fits a terminal of 80 columns.

/// The columns that output for people fits.
pub(super) const COLUMNS: usize = 80;

/// `text` on lines that begin with `indent` spaces, two more from the second on. A word that is
/// longer than a line has one of its own.
pub(super) fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut line = " ".repeat(indent);
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            wrapped.push_str(&line);
            wrapped.push('\n');
            line = " ".repeat(indent + 2);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    wrapped.push_str(&line);
    wrapped.push('\n');
    wrapped
}

/// `text`, or its beginning and an ellipsis if it has more than `most` characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_and_no_word_is_lost() {
        let text = "word ".repeat(60);
        let wrapped = wrap(&text, 4);
        assert!(wrapped.lines().all(|line| line.chars().count() <= COLUMNS));
        assert_eq!(wrapped.split_whitespace().count(), 60);
        assert!(wrapped.lines().nth(1).unwrap().starts_with("      word"));
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
