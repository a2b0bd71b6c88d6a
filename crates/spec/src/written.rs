//! A value of the file that knows where it stands, and that may be absent or of the wrong type.
//!
//! serde stops at its first error. A [`Written`] catches the error of the value inside it and
//! remembers only the place, so that reading goes on and one run finds every problem. Nothing is
//! lost by dropping serde's own text: what was expected follows from the type, and what was found
//! is shown from the source.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A value of the file, where there is one.
#[derive(Debug, Default)]
pub(crate) enum Written<T> {
    /// The key is not in the file.
    #[default]
    Absent,
    /// What stands at this place is not a `T`.
    WrongType(Range<usize>),
    /// A `T` and its place.
    Value(Spanned<T>),
}

/// What a reader of messages calls a type.
pub(crate) trait Described {
    /// Continues the sentence "this key takes …".
    const DESCRIPTION: &'static str;
}

/// The value, unless it is of the wrong type.
struct Attempt<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Attempt<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(T::deserialize(deserializer).ok()))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // An optional value is how serde offers a field that is not there.
        let Some(found) = Option::<Spanned<Attempt<T>>>::deserialize(deserializer)? else {
            return Ok(Self::Absent);
        };
        let span = found.span();
        Ok(match found.into_inner() {
            Attempt(Some(value)) => Self::Value(Spanned::new(span, value)),
            Attempt(None) => Self::WrongType(span),
        })
    }
}

impl<T: JsonSchema> JsonSchema for Written<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table whose keys the user chooses.
pub(crate) type Table<T> = BTreeMap<Key, Written<T>>;

/// A key that the user chose, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(crate) struct Key(pub(crate) Spanned<String>);

impl JsonSchema for Key {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }
}

impl Described for String {
    const DESCRIPTION: &'static str = "a string";
}

impl Described for i64 {
    const DESCRIPTION: &'static str = "a whole number, without quotation marks";
}

impl Described for bool {
    const DESCRIPTION: &'static str = "`true` or `false`, without quotation marks";
}

impl Described for Vec<Written<String>> {
    const DESCRIPTION: &'static str = "a list of strings";
}

impl Described for Table<String> {
    const DESCRIPTION: &'static str = "a table of strings, such as { LOG = \"info\" }";
}
