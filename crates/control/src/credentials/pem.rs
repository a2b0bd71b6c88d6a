//! Sections of a file in PEM. Only those that are asked for are taken out of it, so that a key that
//! stands beside its certificate never gets to where certificates go.

/// The sections whose label `is_wanted`, each from its first to its last line.
pub(super) fn sections(text: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut sections = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(label) = label(line, "-----BEGIN ") {
            open = is_wanted(label).then(|| (label, String::new()));
        }
        let Some((begun, section)) = &mut open else {
            continue;
        };
        section.push_str(line);
        section.push('\n');
        if label(line, "-----END ") == Some(begun) {
            sections.extend(open.take().map(|(_, section)| section));
        }
    }
    sections
}

/// The label of a line that begins or ends a section.
fn label<'a>(line: &'a str, start: &str) -> Option<&'a str> {
    line.strip_prefix(start)?.strip_suffix("-----")
}

/// The labels of all sections that begin in a text.
pub(super) fn labels(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim_end);
    lines
        .filter_map(|line| label(line, "-----BEGIN "))
        .collect()
}

/// All certificates of a text; none if one of them is cut short, as when it is only being written.
pub(super) fn certificates(text: &str) -> Result<String, CutShort> {
    let begun = labels(text)
        .into_iter()
        .filter(|label| is_certificate(label));
    let whole = sections(text, is_certificate);
    match whole.len() == begun.count() {
        true => Ok(whole.concat()),
        false => Err(CutShort),
    }
}

/// A section begins and does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutShort;

/// Whether a section of this label holds a private key that needs no passphrase.
pub(super) fn is_key(label: &str) -> bool {
    matches!(label, "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY")
}

/// Whether a section of this label holds a certificate.
fn is_certificate(label: &str) -> bool {
    label == "CERTIFICATE"
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "Bag Attributes\r\n-----BEGIN PRIVATE KEY-----\r\nAAAA\r\n\
        -----END PRIVATE KEY-----\r\n# a comment\n-----BEGIN CERTIFICATE-----\nBBBB\n\
        -----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nCCCC\n";

    #[test]
    fn sections_are_taken_whole_and_by_label() {
        let certificate = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
        assert_eq!(sections(BOTH, is_certificate), [certificate]);
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(sections(BOTH, is_key), [key]);
        assert_eq!(certificates(BOTH), Err(CutShort));
        let whole = BOTH.rsplit_once("-----BEGIN").unwrap().0;
        assert_eq!(certificates(whole), Ok(certificate.to_owned()));
        let labels = labels(BOTH);
        assert_eq!(labels, ["PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]);
    }

    #[test]
    fn a_section_that_another_interrupts_is_none() {
        let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN PRIVATE KEY-----\nBBBB\n\
                    -----END PRIVATE KEY-----\n-----END CERTIFICATE-----\n";
        assert!(sections(text, is_certificate).is_empty());
    }
}
