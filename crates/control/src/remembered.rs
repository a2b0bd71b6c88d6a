//! What a server keeps in its home for the next one, besides addresses.

use std::fs;
use std::path::PathBuf;

use model::Telemetry;

use crate::home::{Home, HomeError, failed, write_atomically};

impl Home {
    /// What the proxies of the last server said of single requests.
    pub fn telemetry(&self) -> Telemetry {
        // Without it, or if it cannot be read, nothing is said.
        let text = fs::read(self.telemetry_file()).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Keeps that for the next server.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_telemetry(&self, telemetry: &Telemetry) -> Result<(), HomeError> {
        let path = self.telemetry_file();
        let written = serde_json::to_vec(telemetry).map_err(Into::into);
        let written = written.and_then(|json| write_atomically(&path, &json));
        written.map_err(|source| failed("write", &path, source))
    }

    pub(crate) fn telemetry_file(&self) -> PathBuf {
        self.path().join("telemetry")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_of_requests_is_remembered_until_all_is_down() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert_eq!(home.telemetry(), Telemetry::default());
        let telemetry = Telemetry {
            access_log: "5%".parse().unwrap(),
            ..Telemetry::default()
        };
        home.remember_telemetry(&telemetry).unwrap();
        assert_eq!(home.telemetry(), telemetry);
        fs::write(home.telemetry_file(), "half").unwrap();
        assert_eq!(home.telemetry(), Telemetry::default());
        home.remember_telemetry(&telemetry).unwrap();
        home.forget_addresses();
        assert_eq!(home.telemetry(), Telemetry::default());
    }
}
