//! A service that is a folder of files, as written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::limits;
use crate::written::{Described, Written};

/// A folder whose files are served.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Static {
    /// This folder.
    Folder(#[schemars(length(min = 1))] String),
    /// A folder, and how its files are served.
    Table(StaticTable),
}

/// A folder whose files are served, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Static")]
pub(crate) struct StaticTable {
    /// The folder, below that of the app.
    pub(crate) folder: Written<String>,
    /// A file below the folder that is served in place of pages that are not there: those whose path
    /// has no dot in its last segment.
    #[serde(default)]
    pub(crate) fallback: Written<String>,
    /// How long browsers and caches may keep the files: the value of `Cache-Control`.
    #[serde(default)]
    #[schemars(extend("default" = limits::CACHE_CONTROL))]
    pub(crate) cache_control: Written<String>,
}

impl<'de> Deserialize<'de> for Static {
    // By hand, as for commands.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Static;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(Static::DESCRIPTION)
            }
            fn visit_str<E>(self, folder: &str) -> Result<Static, E> {
                Ok(Static::Folder(folder.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Static, A::Error> {
                StaticTable::deserialize(MapAccessDeserializer::new(map)).map(Static::Table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Described for Static {
    const DESCRIPTION: &'static str = "a folder in quotation marks, or a table such as \
                                       { folder = \"dist\", fallback = \"index.html\" }";
}
