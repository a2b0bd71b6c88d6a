//! What an instance is told through its environment.

use std::path::PathBuf;

/// The port on 127.0.0.1 to listen on, from `PORT`.
///
/// # Errors
/// The variable is missing or no port.
pub fn port() -> Result<u16, String> {
    let text = variable("PORT")?;
    text.parse()
        .map_err(|_| format!("PORT is {text:?}, which is no port"))
}

/// The address of the service that this one calls, from a variable as `CATALOG_URL` or
/// `COUNTER_ADDR`.
///
/// # Errors
/// The variable is missing.
pub fn address(variable_name: &str) -> Result<String, String> {
    variable(variable_name)
}

/// The folder that outlives the instance, from `DATA_DIR`.
///
/// # Errors
/// The variable is missing.
pub fn data_folder() -> Result<PathBuf, String> {
    variable("DATA_DIR").map(PathBuf::from)
}

fn variable(name: &str) -> Result<String, String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => Err(format!("{name} is not set in the environment")),
    }
}
