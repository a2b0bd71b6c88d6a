//! Whom the edge of the last server trusted, kept for the next one: a restart must not change what
//! services are told.

use std::fs;
use std::path::PathBuf;

use model::TrustedHops;

use crate::home::{Home, HomeError, failed, write_atomically};

impl Home {
    /// Whom the edge of the last server trusted: nobody, where that is not known.
    pub fn trusted_hops(&self) -> TrustedHops {
        let kept = fs::read_to_string(self.trusted_file());
        kept.ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or_default()
    }

    /// Keeps that for the next server.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember_trusted_hops(&self, hops: &TrustedHops) -> Result<(), HomeError> {
        let path = self.trusted_file();
        write_atomically(&path, hops.to_string().as_bytes())
            .map_err(|source| failed("write", &path, source))
    }

    pub(crate) fn trusted_file(&self) -> PathBuf {
        self.path().join("trusted-hops")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trusted_is_remembered_and_what_cannot_be_read_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
        assert!(home.trusted_hops().is_empty());
        let hops: TrustedHops = "10.0.0.0/8,::1".parse().unwrap();
        home.remember_trusted_hops(&hops).unwrap();
        assert_eq!(home.trusted_hops(), hops);
        fs::write(home.trusted_file(), "10.0.0.0/8,and so on").unwrap();
        assert!(home.trusted_hops().is_empty());
    }
}
