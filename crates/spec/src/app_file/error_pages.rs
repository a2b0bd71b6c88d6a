//! `[error_pages]` as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::written::{Described, Table, Written};

/// What is shown for some statuses.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Page {
    /// This file, for people if its name ends in `.html` and for programs if it ends in `.json`.
    File(#[schemars(length(min = 1))] String),
    /// One or two files, and more.
    Table(PageTable),
}

/// What is shown for some statuses: at least one of the two files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ErrorPage", extend("anyOf" = [{ "required": ["html"] }, { "required": ["json"] }]))]
pub(crate) struct PageTable {
    /// The file that people are shown.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) html: Written<String>,
    /// The file for programs that ask for JSON.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) json: Written<String>,
    /// Whether they also stand in place of what services answer with these statuses.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub(crate) services: Written<bool>,
}

impl<'de> Deserialize<'de> for Page {
    // By hand, as for commands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Page;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(Page::DESCRIPTION)
            }
            fn visit_str<E>(self, file: &str) -> Result<Page, E> {
                Ok(Page::File(file.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Page, A::Error> {
                PageTable::deserialize(MapAccessDeserializer::new(map)).map(Page::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Described for Page {
    const DESCRIPTION: &'static str = "a file in quotation marks, or a table such as \
                                       { html = \"errors/5xx.html\", services = true }";
}

impl Described for Table<Page> {
    const DESCRIPTION: &'static str = "a table such as { 5xx = \"errors/5xx.html\" }";
}
