//! The JSON Schema of `roadbed.toml`, from which editors complete and check.

use schemars::generate::SchemaSettings;

use crate::app_file::AppFile;

/// The schema as pretty-printed JSON with a newline at its end: what is committed as
/// `docs/roadbed.schema.json`.
pub fn json_schema() -> String {
    let settings = SchemaSettings::draft07(); // the draft that TOML editors understand
    let schema = settings.into_generator().into_root_schema_for::<AppFile>();
    format!("{:#}\n", schema.as_value())
}
