//! Which form of the page its reader wants (RFC 9110 section 12.5.1).

use super::page::Form;
use crate::http::accept::thousandths;
use crate::http::fields::elements;

/// The form that a value of `Accept` asks for. Text is for all who do not name the other one, with
/// exactly what we have of it, or who prefer text.
pub(super) fn wanted(accept: &[u8]) -> Form {
    let (mut binary, mut text) = (0, 0);
    for element in elements(accept) {
        let element = element.to_ascii_lowercase();
        let mut parts = element.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let kind = parts.next().unwrap_or_default();
        let mut quality = 1000;
        let (mut is_family, mut is_delimited) = (false, false);
        for part in parts {
            let (name, value) = parameter(part);
            match name {
                b"q" => quality = thousandths(value),
                b"proto" => is_family = value == b"io.prometheus.client.metricfamily",
                b"encoding" => is_delimited = value == b"delimited",
                _ => {}
            }
        }
        match kind {
            b"application/vnd.google.protobuf" if is_family && is_delimited => {
                binary = binary.max(quality);
            }
            b"text/plain" | b"text/*" => text = text.max(quality),
            _ => {}
        }
    }
    match binary > 0 && binary >= text {
        true => Form::Binary,
        false => Form::Text,
    }
}

/// Name and value, without quotes.
fn parameter(part: &[u8]) -> (&[u8], &[u8]) {
    let equals = memchr::memchr(b'=', part).unwrap_or(part.len());
    let value = part.get(equals + 1..).unwrap_or_default().trim_ascii();
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    (part[..equals].trim_ascii(), unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_value_asks_for_some_form(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let named = value.windows(8).any(|part| part.eq_ignore_ascii_case(b"protobuf"));
            prop_assert!(named || wanted(&value) == Form::Text);
        }

        #[test]
        fn what_is_not_understood_changes_nothing(other in "[a-z*/;=\"0-9 ]{0,40}") {
            let ours = "application/vnd.google.protobuf;encoding=delimited;\
                        proto=io.prometheus.client.MetricFamily";
            prop_assume!(!other.contains("text/"));
            let value = format!("{other},{ours}");
            prop_assert_eq!(wanted(value.as_bytes()), Form::Binary);
        }
    }

    #[test]
    fn only_who_names_the_binary_form_and_prefers_no_text_gets_it() {
        let family = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily";
        let ours = format!("{family};encoding=delimited");
        for yes in [
            ours.clone(),
            // What a Prometheus of 2.40 sends, and one of 3.
            format!(
                "{ours},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            format!(
                "{ours};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
            ),
            format!("text/plain; q=0.9, {family}; encoding=\"DELIMITED\"; q=1"),
            format!("text/plain;q=0.5,{ours};q=0.5"),
        ] {
            assert_eq!(wanted(yes.as_bytes()), Form::Binary, "{yes}");
        }
        for no in [
            String::new(),
            "*/*".into(),
            "application/vnd.google.protobuf".into(),
            "nonsense;;=,".into(),
            family.into(),
            format!("{family};encoding=text"),
            format!("{family};encoding=compact-text"),
            format!("{ours};q=0"),
            format!("{ours};q=x"),
            format!("{ours};q=0.4,text/plain;q=0.5"),
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
                .into(),
        ] {
            assert_eq!(wanted(no.as_bytes()), Form::Text, "{no}");
        }
    }
}
